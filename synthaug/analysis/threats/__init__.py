"""Threats to the validity of a study that the program finds by itself."""
