"""Imports what the commands import, in the process that tests fork them from; not the commands themselves."""

import gc
import importlib
import sys

# W&B makes a temporary folder when it is imported, and removes it at the end of each process: timm goes without.
sys.modules["wandb"] = None  # type: ignore[assignment]
for module in (
    "torchvision",
    "torchmetrics",
    "pytorch_lightning",
    "scipy.stats",
    "sklearn.linear_model",
    "matplotlib.figure",
    "timm",
    "synthaug.execution.session",
    "synthaug.execution.preflight",
    "synthaug.execution.runner",
    "synthaug.execution.probe_runs",
    "synthaug.training.fit",
    "synthaug.training.evaluation",
    "synthaug.analysis.pipeline",
):
    importlib.import_module(module)
del sys.modules["wandb"]
# What is imported stays: no collector of a command looks through it.
gc.collect()
gc.freeze()
