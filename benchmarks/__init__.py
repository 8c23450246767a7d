"""Simulations that check what the package promises."""
