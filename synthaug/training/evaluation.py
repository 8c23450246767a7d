"""A finished run judged on further test sets: one forward pass of its best checkpoint for each, never a second one."""

import datetime
import logging
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_f1_score

from synthaug.arms.shifts import Corruption, ShiftSet
from synthaug.data.corruption import CorruptedPixels
from synthaug.data.datamodule import MixDataModule
from synthaug.data.pixels import Pixels
from synthaug.errors import UserError, raise_all
from synthaug.files import write_json
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.runs.contents import Predictions
from synthaug.training.callbacks import PredictionWriter
from synthaug.training.fit import machine, versions

log = logging.getLogger(__name__)


def judge(
    run: Path,
    settings: Mapping[str, Any],
    sets: Sequence[ShiftSet],
    classes: Sequence[str],
    store: Pixels,
    make_model: Callable[..., Classifier],
    make_trainer: Callable[..., lightning.Trainer],
) -> None:
    """Write a finished run's answers to each set, and `result.json` last.

    Args:
        run: its folder, which holds `best.ckpt`.
        settings: the run's configuration.
        sets: from `shifted.prepare`.
        classes: of the dataset.
        store: pixels of the sets.
        make_model: takes `classes` and `seed`.
        make_trainer: takes Lightning's Trainer arguments that are not configuration.

    Raises:
        UserError: there is no checkpoint; a corruption that fails.
    """
    best = run / layout.CHECKPOINT
    if not best.is_file():
        raise UserError(
            f"There is no {best} to judge on further test sets: it was removed. Bring it back, leave the sets out with "
            "shift=none, or train the run again with overwrite=true."
        )
    model = make_model(classes=list(classes), seed=settings["seed"])
    for one in sets:
        folder = layout.shift_folder(run, one.name)
        trainer = make_trainer(
            logger=False,
            callbacks=[PredictionWriter(folder, one.samples, classes)],
            default_root_dir=run,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
        )
        trainer.test(model, datamodule=_data(one, settings, store), ckpt_path=best, verbose=False)
        if trainer.is_global_zero:
            result = _result(one, contents.read_predictions(folder))
            when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            facts = {"machine": machine(trainer), "versions": versions(), "finished": when}
            write_json(folder / layout.RESULT, result | facts)
            log.info("%s: accuracy %.1f %% on %d images", one.name, 100 * result["accuracy"], result["n"])


def try_out(sets: Sequence[ShiftSet], settings: Mapping[str, Any], store: Pixels) -> None:
    """Change one image by every corruption: arguments that it refuses should not be found out after hours of training.

    Raises:
        UserError: all corruptions that fail.
    """
    problems = []
    for one in sets:
        try:
            pixels_of(one, settings["dataset"], store).batch([one.samples[0].sha256])
        except UserError as error:
            problems.append(f"{one.name}: {error}")
    raise_all("Test sets that cannot be made:", problems)


def pixels_of(shifted: ShiftSet, dataset: Mapping[str, Any], store: Pixels) -> Pixels:
    """Where a set's images are read: the store, or corrupted on the way.

    Args:
        shifted: the set.
        dataset: the settings of the group `dataset`.
        store: of the images.
    """
    if shifted.corruption is None:
        return store
    transform = _transform(shifted.corruption)
    return CorruptedPixels(store, transform, dataset["image_size"], dataset["crop_pct"], shifted.corruption.pixels)


def _transform(corruption: Corruption) -> Callable[[Tensor], Tensor]:
    try:
        made: Callable[[Tensor], Tensor] = pkgutil.resolve_name(corruption.transform)(**corruption.arguments)
    except Exception as error:  # of whatever kind the library raises
        reason = " ".join(str(error).split())
        given = ", ".join(f"{name}={value}" for name, value in corruption.arguments.items())
        raise UserError(f"{corruption.transform}({given}): {type(error).__name__}: {reason:.200}") from error
    return made


def _data(shifted: ShiftSet, settings: Mapping[str, Any], store: Pixels) -> MixDataModule:
    dataset = settings["dataset"]
    return MixDataModule(
        [],
        [],
        shifted.samples,
        pixels_of(shifted, dataset, store),
        image_size=dataset["image_size"],
        # A corrupted image is what evaluation shows already.
        crop_pct=dataset["crop_pct"] if shifted.corruption is None else 1.0,
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        num_workers=settings["num_workers"],
    )


def _result(shifted: ShiftSet, answers: Predictions) -> dict[str, Any]:
    """What `result.json` says; classes of which the set has no image count for nothing and have no accuracy."""
    names, labels = answers.classes, torch.from_numpy(answers.labels)
    probabilities = torch.from_numpy(answers.probabilities)
    predicted = torch.from_numpy(answers.predicted)
    right = predicted == labels
    present = [label for label in range(len(names)) if bool((labels == label).any())]
    f1 = multiclass_f1_score(predicted, labels, num_classes=len(names), average=None)
    error = multiclass_calibration_error(probabilities, labels, num_classes=len(names), n_bins=15)
    return {
        "format": layout.FORMAT,
        "name": shifted.name,
        "origin": shifted.origin,
        "paired_with": shifted.paired_with,
        "n": len(labels),
        "accuracy": float(right.double().mean()),
        "macro_f1": round(float(f1[present].mean()), 7),
        "calibration_error": round(float(error), 7),
        "confidence": float(probabilities.max(dim=1).values.mean()),
        "class_accuracy": {
            name: float(right[labels == label].double().mean()) if label in present else None
            for label, name in enumerate(names)
        },
        "digest": shifted.digest,
        "settings": shifted.settings,
    }
