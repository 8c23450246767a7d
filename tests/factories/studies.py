"""A study folder made up for tests, written through the same writers as a real one."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Arm, Group
from synthaug.data.sample_list import Sample
from synthaug.files import read_json, write_json, write_rows
from synthaug.runs import contents, layout, planning
from synthaug.runs.identity import arm_settings
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun
from synthaug.runs.prediction_files import Predictions

DIGITS = tuple("0123456789")
SWEEP = {"real": (1.0, 0.0), "55": (0.5, 0.5), "64": (0.4, 0.6), "73": (0.3, 0.7), "82": (0.2, 0.8)}
WEAKNESS = {"real": 0.0, "55": 0.004, "64": 0.012, "73": 0.02, "82": 0.035}


@dataclass(frozen=True)
class MadeUp:
    """What to make up. Every number of a run follows from these and the run's arm and seed."""

    arms: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=lambda: dict(SWEEP))
    seeds: Sequence[int] = (0,)
    classes: Sequence[str] = DIGITS
    n_test: int = 1500
    n_train: int = 1000
    images: int = 0  # image files per class and origin
    dataset: str = "digits"
    generator: str = "tiny_digits"
    model: str = "resnet18"
    epochs: int = 8
    failed: Sequence[tuple[str, int]] = ()
    missing: Sequence[tuple[str, int]] = ()
    unfinished: Sequence[tuple[str, int]] = ()
    augment: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # of arms that have their own
    numbers: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # real_per_class and fill
    folds: int | None = None
    compare: str | Sequence[Sequence[str]] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # that differ, by dotted key

    def folder(self, arm: str) -> str:
        """Name of the folder of an arm."""
        others = [name for name in (self.generator, self.model) if name not in ("tiny_digits", "resnet18")]
        folds = [] if self.folds is None else [f"folds{self.folds}"]
        return "-".join([arm, *others, *folds, *(f"{key}_{value}" for key, value in self.settings.items())])


def make_study(study: Path, content: MadeUp | None = None) -> Path:
    """Write a study; calling it again with another content adds to it.

    Args:
        study: its folder.
        content: `MadeUp()` by default.
    """
    content = content or MadeUp()
    keys = [
        (RunKey(content.dataset, content.folder(arm), seed, fold), arm, *mix)
        for arm, mix in content.arms.items()
        for seed in content.seeds
        for fold in ([None] if content.folds is None else range(content.folds))
    ]
    runs = [
        PlannedRun(key, arm_settings(settings(key, arm, real, synthetic, content)))
        for key, arm, real, synthetic in keys
    ]
    planning.plan(study, runs, compare=content.compare)
    pictures = write_images(study / "images", content) if content.images else []
    for key, arm, real, synthetic in keys:
        _make_run(study / key.folder, key, arm, real, synthetic, content, pictures)
    return study


def _make_run(
    folder: Path, key: RunKey, arm: str, real: float, synthetic: float, content: MadeUp, pictures: list[Sample]
) -> None:
    who = (arm, key.seed) if key.fold is None else (f"{arm}-fold{key.fold}", key.seed)
    if who in content.missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / layout.CONFIG).write_text("made: up\n", encoding="utf-8")
    if who in content.failed:
        failure = {
            "error": "loss is <nan> at step 12",
            "type": "ValueError",
            "when": "2025-01-01T10:00:00+00:00",
        }
        write_json(folder / layout.FAILED, failure)
        return
    if who in content.unfinished:
        return
    predictions = within_fold(predict(arm, key.seed, content), key.fold, content.folds)
    contents.write_predictions(folder, predictions)
    wanted = {origin for origin, amount in (("real", real), ("synthetic", synthetic)) if amount}
    contents.write_mix(folder, [row for row in pictures if row.origin in wanted])
    _write_history(folder, content, arm, key.seed)
    write_json(folder / layout.RESULT, result(key, arm, real, synthetic, content, predictions))


def predict(arm: str, seed: int, content: MadeUp) -> Predictions:
    """Return predictions whose errors arms and seeds share in part: hard images, then the weakness of the arm.

    Args:
        arm: its mix.
        seed: of the run.
        content: of the study.
    """
    n, classes = content.n_test, len(content.classes)
    labels = np.arange(n) % classes
    hard = np.random.default_rng(0).random(n)
    noise = np.random.default_rng([*arm.encode(), seed]).random((n, 2))
    weakness = WEAKNESS.get(arm, 0.01) * (1 + labels / classes)
    wrong = (hard + 0.05 * noise[:, 0] < 0.045) | (noise[:, 1] < weakness)
    neighbours = (labels + 1 + (hard * 1e4).astype(int) % 3) % classes
    predicted = np.where(wrong, neighbours, labels)
    probabilities = np.full((n, classes), 0.1 / max(1, classes - 1))
    probabilities[np.arange(n), predicted] = 0.9
    paths = [f"data/test/{label}/{index}.png" for index, label in enumerate(labels)]
    return Predictions(paths, labels, predicted, probabilities, list(content.classes), np.arange(n))


def within_fold(predictions: Predictions, fold: int | None, folds: int | None) -> Predictions:
    """The predictions for the images of a fold; of each class every so many are in one."""
    if fold is None or folds is None:
        return predictions
    rows = np.flatnonzero(np.arange(len(predictions.labels)) // len(predictions.classes) % folds == fold)
    return dataclasses.replace(
        predictions,
        paths=[predictions.paths[row] for row in rows],
        clusters=np.arange(len(rows)),
        **{name: getattr(predictions, name)[rows] for name in ("labels", "predicted", "probabilities")},
    )


def settings(key: RunKey, arm: str, real: float, synthetic: float, content: MadeUp) -> dict[str, Any]:
    """The configuration of a run."""
    augment = content.augment.get(arm)
    configuration: dict[str, Any] = {
        "experiment": "made_up",
        "seed": key.seed,
        "folds": content.folds,
        "fold": key.fold,
        "batch_size": 32,
        "dataset": {"name": content.dataset, "root": "data", "image_size": 32},
        "mix": {
            "name": arm,
            "real": real,
            "synthetic": synthetic,
            "augment": dict(augment) if augment else None,
            **content.numbers.get(arm, {}),
        },
        "generator": {"name": content.generator, "guidance_scale": 2.0},
        "model": {"name": content.model, "lr": 0.001},
        "trainer": {"max_epochs": content.epochs, "precision": "32-true"},
    }
    for path, value in content.settings.items():
        *groups, name = path.split(".")
        (configuration[groups[0]] if groups else configuration)[name] = value
    return configuration


def result(
    key: RunKey, arm: str, real: float, synthetic: float, content: MadeUp, predictions: Predictions
) -> dict[str, object]:
    """The content of `result.json`."""
    correct = predictions.predicted == predictions.labels
    n_real, n_synthetic = round(content.n_train * real), round(content.n_train * synthetic)
    each = len(content.classes)
    of_fold = "" if key.fold is None else f" {key.fold}"
    return {
        "format": layout.FORMAT,
        "experiment": "made_up",
        **key.names,
        "synthetic_fraction": synthetic / (real + synthetic),
        "settings": settings(key, arm, real, synthetic, content),
        "classes": list(content.classes),
        "counts": {
            "real": n_real,
            "synthetic": n_synthetic,
            "per_class": {c: {"real": n_real // each, "synthetic": n_synthetic // each} for c in content.classes},
            "val": 500,
            "test": len(correct),
            "left_out": 0,
        },
        "test": {
            "accuracy": float(correct.mean()),
            "macro_f1": float(correct.mean()) - 0.001,
            "calibration_error": 0.02,
            "loss": 0.15,
            "class_accuracy": {
                name: float(correct[predictions.labels == label].mean()) if label < content.n_test else 0.0
                for label, name in enumerate(content.classes)
            },
        },
        "val": {"accuracy": 0.97, "epoch": content.epochs - 1, "images": 500, "n_selection": 500},
        "training": {
            "steps": 31 * content.epochs,
            "epochs": content.epochs,
            "batch_size": 32,
            "seconds": 41.2,
        },
        "data": {
            "train": hashlib.sha256(f"{arm}-{key.seed}{of_fold}".encode()).hexdigest(),
            "val": hashlib.sha256(f"val{of_fold}".encode()).hexdigest(),
            "test": hashlib.sha256(f"test {content.n_test} {content.classes}{of_fold}".encode()).hexdigest(),
        },
        "machine": {"cpu": "A CPU <2.5 GHz>", "cores": 2, "memory_gib": 8.0, "gpu": "none"},
        "versions": {"python": "3.11.2", "torch": "2.14.1", "synthaug": "0.1.0"},
        "started": "2025-01-01T10:00:00+00:00",
        "finished": "2025-01-01T10:00:41+00:00",
    }


def _write_history(folder: Path, content: MadeUp, arm: str, seed: int) -> None:
    noise = np.random.default_rng([*arm.encode(), seed]).normal(0, 0.01, content.epochs)
    fall = np.exp(-np.arange(content.epochs) / 1.5)
    weakness = WEAKNESS.get(arm, 0.01)
    header = ["epoch", "step", "train/loss", "val/loss", "val/accuracy", "lr", "seconds"]
    rows = [
        [
            e,
            31 * (e + 1),
            0.05 + 2.2 * fall[e],
            0.1 + 2 * fall[e],
            0.97 - weakness - 0.6 * fall[e] + noise[e],
            1e-3,
            5,
        ]
        for e in range(content.epochs)
    ]
    rows[0][2] = ""  # a cell that was never logged
    write_rows(folder / layout.HISTORY, header, rows)


def write_images(folder: Path, content: MadeUp) -> list[Sample]:
    """Write small pictures of every class and return the rows of a `mix.csv`.

    Args:
        folder: to write to.
        content: of the study.
    """
    rows = []
    for label, name in enumerate(content.classes):
        for origin in ("real", "synthetic"):
            for index in range(content.images):
                path = folder / origin / str(label) / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                _picture(label, index, origin).save(path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                rows.append(Sample(str(path), 0, name, origin, digest))
    return rows


def _picture(label: int, index: int, origin: str) -> Image.Image:
    if origin == "real":
        picture = Image.new("L", (28, 28), 0)
        ImageDraw.Draw(picture).text((8 + index % 4, 6 + index % 5), str(label % 10), fill=255)
        return picture
    picture = Image.new("RGB", (64, 48), (20 + 20 * (label % 10), 90, 60 + 10 * (index % 8)))
    ImageDraw.Draw(picture).ellipse((10 + index, 8, 40 + index, 40), fill=(250, 220, 120))
    return picture


# --- reading and changing a study --------------------------------------------------------------------


def one_group(study: Path) -> Group:
    """The group of a study that has one."""
    (group,) = compare(study).groups
    return group


def arm_of(group: Group, name: str) -> Arm:
    """The arm of this name."""
    return next(arm for arm in group.arms if arm.name == name)


def run_folder(study: Path, arm: str, seed: int = 0) -> Path:
    """Folder of a run of the dataset, generator and model that studies have by default."""
    return study / RunKey("digits", arm, seed).folder


def edit_result(folder: Path, change: Mapping[str, object]) -> None:
    """Change a run's `result.json`: values by their dotted path."""
    content = read_json(folder / layout.RESULT)
    for path, value in change.items():
        *parents, last = path.split(".")
        parent = content
        for name in parents:
            parent = parent[name]
        parent[last] = value
    write_json(folder / layout.RESULT, content)


def rewrite_predictions(folder: Path, change: Mapping[str, Any]) -> None:
    """Change fields of a run's predictions."""
    old = contents.read_predictions(folder)
    contents.write_predictions(folder, dataclasses.replace(old, **change))
