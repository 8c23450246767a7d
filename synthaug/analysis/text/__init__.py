"""Numbers and findings as text."""
