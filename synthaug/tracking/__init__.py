"""Experiment tracking: loggers, W&B artifacts, the summary run of a study."""
