"""The execution of a study: checks before the start, then its runs."""
