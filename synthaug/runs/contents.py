"""What a run folder holds: training images, predictions, learning curves.

What is read must be what the run wrote: `result.json` has the hashes.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.errors import UserError
from synthaug.files import open_regular, write_rows
from synthaug.runs.layout import HISTORY, MIX, PREDICTIONS, recorded_hash

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


class UnreadableFileError(UserError):
    """A file of a run is missing, damaged, or not the one that the run wrote."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file} cannot be read ({reason}): move {file.parent} away and run the same command again.")
        self.reason = reason


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


def read_predictions(folder: Path, probabilities: bool = True, result: Mapping[str, Any] | None = None) -> Predictions:
    """Read what `write_predictions` wrote.

    Args:
        folder: of the run, or of one of its shift sets.
        probabilities: whether they are read; they are most of the file.
        result: content of the `result.json` beside it, whose hash is verified.

    Raises:
        UnreadableFileError: there are none that are whole.
    """
    with _table(folder / PREDICTIONS, result) as (header, rows):
        return _predictions(header, rows, probabilities)


def _predictions(header: list[str], rows: list[list[str]], probabilities: bool) -> Predictions:
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS:
        raise ValueError("its first line does not name the columns")
    classes = [name.removeprefix(PROBABILITY) for name in header[len(_COLUMNS) :]]
    number = {name: index for index, name in enumerate(classes)}
    return Predictions(
        paths=[row[0] for row in rows],
        labels=np.array([number[row[1]] for row in rows], dtype=np.int64),
        predicted=np.array([number[row[2]] for row in rows], dtype=np.int64),
        probabilities=np.array(
            [[float(p) for p in row[len(_COLUMNS) :]] if probabilities else [] for row in rows], dtype=np.float64
        ),
        classes=classes,
        clusters=np.array([int(row[3]) for row in rows], dtype=np.int64),
    )


def read_mix(folder: Path, result: Mapping[str, Any] | None = None) -> list[MixRow]:
    """Read what `write_mix` wrote; runs that list the same images share their texts in memory.

    Args:
        folder: of the run.
        result: content of its `result.json`, whose hash is verified.

    Raises:
        UnreadableFileError: there is none that is whole.
    """
    names = [field.name for field in dataclasses.fields(MixRow)]
    with _table(folder / MIX, result) as (header, rows):
        if header != names:
            raise ValueError("its first line does not name the columns")
        return [MixRow(*map(sys.intern, row)) for row in rows]


def read_history(folder: Path, result: Mapping[str, Any] | None = None) -> dict[str, list[float]]:
    """Read the learning curves: column name → one value per epoch, NaN where a cell is empty.

    Args:
        folder: of the run.
        result: content of its `result.json`, whose hash is verified.

    Raises:
        UnreadableFileError: there are none that are whole.
    """
    with _table(folder / HISTORY, result) as (header, rows):
        columns = zip(*rows, strict=True)
        return {name: [float(cell or math.nan) for cell in cells] for name, cells in zip(header, columns, strict=False)}


@contextlib.contextmanager
def _table(file: Path, result: Mapping[str, Any] | None) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield header and rows of a CSV file; whatever is wrong with them becomes an `UnreadableFileError`."""
    try:
        with open_regular(file) as stream:
            content = stream.read()
        if not content:
            raise ValueError("it is empty")
        if recorded_hash(result, file.name) not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError("it is not what the run wrote")
        header, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
        uneven = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
        if uneven:
            raise ValueError(f"its row {uneven} is not whole")
        yield header, rows
    except OSError as error:
        raise UnreadableFileError(file, str(error.strerror)) from None
    except KeyError as error:
        raise UnreadableFileError(file, f"{error} is no class of it") from None
    except (ValueError, csv.Error) as error:
        raise UnreadableFileError(file, str(error)) from None
