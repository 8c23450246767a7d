"""Arms on shift sets."""
