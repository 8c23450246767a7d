"""The report command, one module per question."""
