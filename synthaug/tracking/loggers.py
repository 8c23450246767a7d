"""Weights & Biases, TensorBoard and CSV: what a logger is told beyond Lightning's curves, and how it is closed."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from pytorch_lightning.loggers import Logger, WandbLogger

from synthaug.data.pixels import decode
from synthaug.data.samples import REAL, SYNTHETIC, Sample
from synthaug.runs.contents import Predictions
from synthaug.tracking import run_ids

SHOWN_PER_ORIGIN = 8


def logger_arguments(target: str, label: str, study: Path, folder: Path) -> dict[str, Any]:
    """What the program itself passes to a logger: where to write, and for W&B which run this is.

    Args:
        target: dotted path of the logger class.
        label: name of the run.
        study: the study's folder; its name groups the runs of a multirun in W&B.
        folder: the run's folder.
    """
    if target.endswith("WandbLogger"):
        return {
            **run_ids.init_arguments(folder),  # before `configure_mode`, which makes W&B read its environment
            "name": label,
            "group": study.name,
            "save_dir": str(study),
            "mode": run_ids.configure_mode(study),
            "resume": "allow",
        }
    if target.endswith("TensorBoardLogger"):
        return {"save_dir": str(folder), "name": "tensorboard", "version": ""}
    # Lightning's CSVLogger deletes the file of an earlier attempt, so each has a folder.
    attempts = len(list(folder.glob("csv/attempt*")))
    return {"save_dir": str(folder), "name": "csv", "version": f"attempt{attempts}"}


def log_run(folder: Path, loggers: Sequence[Logger], facts: Mapping[str, Any], train: Sequence[Sample]) -> None:
    """Tell W&B what the arm consists of: counts, share, and a few training images of each origin."""
    for run in runs_of(loggers):
        import wandb

        if not run.disabled:  # where it says "dummy"
            run_ids.update_record(folder, {"project": run.project, "entity": run.entity})
        run.config.update(dict(facts), allow_val_change=True)
        chooser = random.Random(0)  # the same places in every arm
        for origin in (REAL, SYNTHETIC):
            own = [sample for sample in train if sample.origin == origin]
            chosen = chooser.sample(own, min(SHOWN_PER_ORIGIN, len(own)))
            pictures = [wandb.Image(_thumbnail(s.path), caption=s.class_name) for s in chosen]
            if pictures:
                run.log({f"images/{origin}": pictures})


def log_test(loggers: Sequence[Logger], predictions: Predictions, class_accuracy: Mapping[str, float]) -> None:
    """Add the confusion matrix and the accuracy per class to W&B."""
    for run in runs_of(loggers):
        import wandb

        table = wandb.Table(columns=["class", "accuracy"], data=[list(row) for row in class_accuracy.items()])
        matrix = wandb.plot.confusion_matrix(
            y_true=predictions.labels.tolist(),
            preds=predictions.predicted.tolist(),
            class_names=predictions.classes,
        )
        bars = wandb.plot.bar(table, "class", "accuracy", title="test accuracy per class")
        run.log({"test/confusion_matrix": matrix, "test/class_accuracy": bars})


def close(loggers: Sequence[Logger], failed: bool) -> None:
    """Finish every logger; without this the next run of a multirun would be swallowed by this one."""
    try:
        for logger in loggers:
            logger.finalize("failed" if failed else "success")
    finally:  # a full disk fails the other loggers' last writing
        if any(isinstance(logger, WandbLogger) for logger in loggers):
            import wandb

            wandb.finish(exit_code=int(failed))


def runs_of(loggers: Sequence[Logger]) -> list[Any]:
    """The W&B run of each logger that has one."""
    return [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]


def _thumbnail(path: Path) -> Image.Image:
    # W&B shows images of one step at one size: all are made square.
    return ImageOps.pad(Image.fromarray(decode(path, short_side=128)), (128, 128))
