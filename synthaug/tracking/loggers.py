"""Weights & Biases, TensorBoard and CSV: what is logged beyond Lightning's curves, and how a logger is closed."""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from pytorch_lightning.loggers import Logger, WandbLogger

from synthaug.analysis.validity import check_result
from synthaug.data.decoding import decode
from synthaug.data.samples import REAL, SYNTHETIC, Sample
from synthaug.runs.layout import LAST
from synthaug.runs.prediction_files import Predictions
from synthaug.tracking import connection, run_ids, tolerant

log = logging.getLogger(__name__)

SHOWN_PER_ORIGIN = 8


def logger_arguments(target: str, label: str, study: Path, folder: Path) -> dict[str, Any]:
    """Return the arguments that the program passes to a logger: where to write, and for W&B which run this is.

    Args:
        target: dotted path of the logger class.
        label: name of the run.
        study: the study's folder; its name groups the runs of a multirun in W&B.
        folder: the run's folder.
    """
    if target.endswith("WandbLogger"):
        if (folder / LAST).is_file() and run_ids.is_lost(study, folder):
            log.warning("%s: its W&B run is gone from %s and begins anew with the next epoch", label, study / "wandb")
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


def log_arm(folder: Path, loggers: Sequence[Logger], config: Mapping[str, Any], train: Sequence[Sample]) -> None:
    """Log the configuration, and a few training images of each origin, in W&B.

    Args:
        folder: of the run.
        loggers: open ones.
        config: settings of the run, and counts of its images.
        train: the images that it trains on.
    """
    for run in wandb_runs(loggers):
        if not run.disabled:  # where it says "dummy"
            run_ids.update_record(folder, {"project": run.project, "entity": run.entity})
        with connection.warn_on_failure("configuration and images are"):
            _log_arm(run, config, train)


def _log_arm(run: Any, config: Mapping[str, Any], train: Sequence[Sample]) -> None:
    import wandb

    run.config.update(dict(config), allow_val_change=True)
    if config.get("debug"):
        run.tags = (*(run.tags or ()), check_result.DEBUG)
    chooser = random.Random(0)  # the same places in every arm
    for origin in (REAL, SYNTHETIC):
        samples = [sample for sample in train if sample.origin == origin]
        chosen = chooser.sample(samples, min(SHOWN_PER_ORIGIN, len(samples)))
        pictures = [wandb.Image(_thumbnail(s.path), caption=s.class_name) for s in chosen]
        if pictures:
            run.log({f"images/{origin}": pictures})


def log_test(loggers: Sequence[Logger], predictions: Predictions, class_accuracy: Mapping[str, float]) -> None:
    """Log the accuracy per class in W&B, and the confusion matrix where a table of W&B has room for its cells.

    Args:
        loggers: open ones.
        predictions: for the test images.
        class_accuracy: class → fraction.
    """
    for run in wandb_runs(loggers):
        import wandb

        table = wandb.Table(columns=["class", "accuracy"], data=[list(row) for row in class_accuracy.items()])
        plots = {"test/class_accuracy": wandb.plot.bar(table, "class", "accuracy", title="test accuracy per class")}
        if len(predictions.classes) ** 2 <= wandb.Table.MAX_ROWS:
            plots["test/confusion_matrix"] = wandb.plot.confusion_matrix(
                y_true=predictions.labels.tolist(),
                preds=predictions.predicted.tolist(),
                class_names=predictions.classes,
            )
        with connection.warn_on_failure("tables of the test are"):
            run.log(plots)


def close(loggers: Sequence[Logger], failed: bool) -> None:
    """Finish every logger, or W&B would log the next run of a sweep into this one.

    Args:
        loggers: open ones.
        failed: whether the run was.
    """
    try:
        for logger in loggers:
            logger.finalize("failed" if failed else "success")
    finally:  # a full disk fails the other loggers' last writing
        if any(isinstance(logger, WandbLogger) for logger in loggers):
            tolerant.finish(loggers, failed)


def wandb_runs(loggers: Sequence[Logger]) -> list[Any]:
    """Return the W&B run of each logger that has one."""
    return [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]


def _thumbnail(path: Path) -> Image.Image:
    # W&B shows images of one step at one size: all are made square.
    return ImageOps.pad(Image.fromarray(decode(path, short_side=128)), (128, 128))
