"""Package data: the embedded tiny text-to-image model."""
