"""A finished run evaluated on shift sets: its best checkpoint is loaded once, and each set is read once."""

import datetime
import logging
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_f1_score

from synthaug import progress_bar
from synthaug.arms.shifts import Corruption, ShiftSet
from synthaug.data.corruption import CorruptedPixels
from synthaug.data.datamodule import MixDataModule
from synthaug.data.pixels import Pixels
from synthaug.errors import UserError, raise_all
from synthaug.files import read_json
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.runs.prediction_files import Predictions
from synthaug.training.callbacks import PredictionWriter
from synthaug.training.checkpoint_files import load_tensors
from synthaug.training.lightning_rules import TRAINER_ARGUMENTS
from synthaug.training.provenance import provenance

log = logging.getLogger(__name__)

_FILE_ONLY = {"file_only": True}  # a terminal has a bar


def evaluate(
    label: str,
    run: Path,
    settings: Mapping[str, Any],
    shift_sets: Sequence[ShiftSet],
    classes: Sequence[str],
    store: Pixels,
    make_model: Callable[..., Classifier],
    make_trainer: Callable[..., lightning.Trainer],
) -> None:
    """Write a finished run's predictions for each shift set, and the set's `result.json` last.

    Args:
        label: of the run, for messages.
        run: its folder, which holds `best.ckpt`.
        settings: the run's configuration.
        shift_sets: to be evaluated on; the folder of each is in the run's.
        classes: of the dataset.
        store: pixels of the sets.
        make_model: takes `classes` and `seed`.
        make_trainer: takes Lightning's Trainer arguments that are not configuration.

    Raises:
        UserError: there is no checkpoint; a corruption that fails.
    """
    if not shift_sets:
        return
    best = require_checkpoint(run)
    model = make_model(classes=list(classes), seed=settings["seed"])
    model.load_state_dict(load_tensors(best)["state_dict"])
    writer = PredictionWriter(run, [], list, classes)
    trainer = make_trainer(
        logger=False, callbacks=[writer], default_root_dir=run, enable_checkpointing=False, **TRAINER_ARGUMENTS
    )
    computed_with: dict[str, Any] = {}
    with progress_bar.bar("shift sets", len(shift_sets), "set") as bar:
        for shift_set in shift_sets:
            writer.folder = layout.shift_folder(run, shift_set.name)
            writer.samples, writer.clusters = shift_set.samples, partial(list, shift_set.clusters)
            trainer.test(model, datamodule=_datamodule(shift_set, settings, store), verbose=False)
            if trainer.is_global_zero:
                computed_with = computed_with or provenance(trainer)  # known once the processes have started
                record(label, writer.folder, shift_set, computed_with)
                bar.update()


def require_checkpoint(run: Path) -> Path:
    """Return the best checkpoint of a finished run, as the run wrote it.

    Raises:
        UserError: it is gone, or has changed.
    """
    best = run / layout.CHECKPOINT
    if not best.is_file():
        raise UserError(
            f"There is no {best} to evaluate on shift sets: it was removed. Restore it, leave the sets out with "
            "shift=none, or train the run again with overwrite=true."
        )
    layout.require_as_written(run, layout.CHECKPOINT, read_json(run / layout.RESULT))
    return best


def record(label: str, folder: Path, shift_set: ShiftSet, computed_with: Mapping[str, Any]) -> None:
    """Write the `result.json` of predictions for a shift set.

    Args:
        label: of the run.
        folder: of the predictions, in that of the run.
        shift_set: that they are for.
        computed_with: the fields `machine` and `versions`.
    """
    result = _result(shift_set, contents.read_predictions(folder))
    finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    layout.finish(folder, {**result, **computed_with, "finished": finished}, (layout.predictions_file(folder).name,))
    accuracy = 100 * result["accuracy"]
    log.info("%s: %s: accuracy %.1f %% on %d images", label, shift_set.name, accuracy, result["n"], extra=_FILE_ONLY)


def check_corruptions(shift_sets: Sequence[ShiftSet], settings: Mapping[str, Any], store: Pixels) -> None:
    """Corrupt one image of each set, so that arguments which fail do so before hours of training.

    Args:
        shift_sets: of which some have a corruption.
        settings: the run's configuration.
        store: pixels of the sets.

    Raises:
        UserError: all corruptions that fail.
    """
    problems = []
    for shift_set in shift_sets:
        try:
            pixels_of(shift_set, settings["dataset"], store).batch([shift_set.samples[0].sha256])
        except UserError as error:
            problems.append(f"{shift_set.name}: {error}")
    raise_all("Shift sets that cannot be made:", problems)


def pixels_of(shift_set: ShiftSet, dataset: Mapping[str, Any], store: Pixels) -> Pixels:
    """Return where the images of a shift set are read: the store, or corrupted on the way.

    Args:
        shift_set: with or without a corruption.
        dataset: the settings of the group `dataset`.
        store: of the images.
    """
    if shift_set.corruption is None:
        return store
    transform = _transform(shift_set.corruption)
    return CorruptedPixels(store, transform, dataset["image_size"], dataset["crop_pct"], shift_set.corruption.pixels)


def _transform(corruption: Corruption) -> Callable[[Tensor], Tensor]:
    try:
        transform: Callable[[Tensor], Tensor] = pkgutil.resolve_name(corruption.transform)(**corruption.arguments)
    except Exception as error:  # of whatever kind the library raises
        reason = " ".join(str(error).split())
        arguments = ", ".join(f"{name}={value}" for name, value in corruption.arguments.items())
        raise UserError(f"{corruption.transform}({arguments}): {type(error).__name__}: {reason:.200}") from error
    return transform


def _datamodule(shift_set: ShiftSet, settings: Mapping[str, Any], store: Pixels) -> MixDataModule:
    dataset = settings["dataset"]
    return MixDataModule(
        [],
        [],
        shift_set.samples,
        pixels_of(shift_set, dataset, store),
        image_size=dataset["image_size"],
        # A corrupted image is what evaluation shows already.
        crop_pct=dataset["crop_pct"] if shift_set.corruption is None else 1.0,
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        num_workers=settings["num_workers"],
    )


def _result(shift_set: ShiftSet, predictions: Predictions) -> dict[str, Any]:
    """Return `result.json`; classes of which the set has no image do not count and have no accuracy."""
    names, labels = predictions.classes, torch.from_numpy(predictions.labels)
    probabilities = torch.from_numpy(predictions.probabilities)
    predicted = torch.from_numpy(predictions.predicted)
    correct = predicted == labels
    present = [label for label in range(len(names)) if bool((labels == label).any())]
    f1 = multiclass_f1_score(predicted, labels, num_classes=len(names), average=None)
    error = multiclass_calibration_error(probabilities, labels, num_classes=len(names), n_bins=15)
    return {
        "format": layout.FORMAT,
        "name": shift_set.name,
        "origin": shift_set.origin,
        "paired_with": shift_set.paired_with,
        "n": len(labels),
        **({"label_conflicts": shift_set.label_conflicts} if shift_set.label_conflicts else {}),
        "accuracy": float(correct.double().mean()),
        "macro_f1": round(float(f1[present].mean()), 7),
        "calibration_error": round(float(error), 7),
        "confidence": float(probabilities.max(dim=1).values.mean()),
        "class_accuracy": {
            name: float(correct[labels == label].double().mean()) if label in present else None
            for label, name in enumerate(names)
        },
        "digest": shift_set.digest,
        "settings": shift_set.settings,
    }
