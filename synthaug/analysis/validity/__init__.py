"""Checks of the validity of a study."""
