"""Text-to-image models and the sets of images they made."""
