"""The exchange rate between real and synthetic images."""
