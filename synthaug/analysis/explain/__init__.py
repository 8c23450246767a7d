"""One run, down to its images."""
