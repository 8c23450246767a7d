"""Which images of a synthetic set are trained on: criteria, and a file of verdicts that every arm obeys."""
