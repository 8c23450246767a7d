"""What a run folder holds: training images, predictions, learning curves."""

import csv
import dataclasses
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug.files import write_rows
from synthaug.runs.layout import HISTORY, MIX, PREDICTIONS

_COLUMNS = ("path", "label", "predicted", "cluster")
PROBABILITY = "p:"  # prefix of the probability columns: a class may be called "path"


@dataclass(frozen=True)
class Predictions:
    """Predictions for N test images.

    Attributes:
        paths: of the images.
        labels: true classes, (N,), indices into `classes`.
        predicted: predicted classes, (N,).
        probabilities: (N, classes), or (N, 0) where they were not read.
        classes: names.
        clusters: near duplicates have the same number, (N,).
    """

    paths: list[str]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: list[str]
    clusters: NDArray[np.int64]


@dataclass(frozen=True)
class MixRow:
    """One image that was trained on. `origin` is "real" or "synthetic"."""

    path: str
    label: str
    origin: str
    sha256: str


def write_mix(folder: Path, rows: Iterable[MixRow]) -> None:
    """Write `mix.csv`.

    Args:
        folder: of the run.
        rows: every image trained on.
    """
    names = [field.name for field in dataclasses.fields(MixRow)]
    write_rows(folder / MIX, names, (dataclasses.astuple(row) for row in rows))


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write `predictions.csv`: path, label, predicted, cluster and one probability per class, per test image.

    Args:
        folder: of the run, or of one of its shift sets.
        predictions: with probabilities.
    """
    names = predictions.classes
    write_rows(
        folder / PREDICTIONS,
        [*_COLUMNS, *(PROBABILITY + name for name in names)],
        (
            [path, names[label], names[guess], cluster, *(f"{p:.6g}" for p in probabilities)]
            for path, label, guess, cluster, probabilities in zip(
                predictions.paths,
                predictions.labels,
                predictions.predicted,
                predictions.clusters,
                predictions.probabilities,
                strict=True,
            )
        ),
    )


def read_predictions(folder: Path, probabilities: bool = True) -> Predictions:
    """Read what `write_predictions` wrote.

    Args:
        folder: of the run, or of one of its shift sets.
        probabilities: whether they are read; they are most of the file.
    """
    stop = None if probabilities else len(_COLUMNS)
    with (folder / PREDICTIONS).open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        rows = [row[:stop] for row in reader]
    classes = [name.removeprefix(PROBABILITY) for name in header[len(_COLUMNS) :]]
    number = {name: index for index, name in enumerate(classes)}
    return Predictions(
        paths=[row[0] for row in rows],
        labels=np.array([number[row[1]] for row in rows], dtype=np.int64),
        predicted=np.array([number[row[2]] for row in rows], dtype=np.int64),
        probabilities=np.array([[float(p) for p in row[len(_COLUMNS) :]] for row in rows], dtype=np.float64),
        classes=classes,
        clusters=np.array([int(row[3]) for row in rows], dtype=np.int64),
    )


def read_mix(folder: Path) -> list[MixRow]:
    """Read what `write_mix` wrote; runs that list the same images share their texts in memory."""
    with (folder / MIX).open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        return [MixRow(**{name: sys.intern(value) for name, value in row.items()}) for row in rows]


def read_history(folder: Path) -> dict[str, list[float]]:
    """Read the learning curves: column name → one value per epoch, NaN where a cell is empty."""
    with (folder / HISTORY).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name] or math.nan) for row in rows] for name in (rows[0] if rows else {})}
