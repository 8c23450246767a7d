"""The two forms of a run's predictions: a table to be read by people, and arrays where a table would be large.

`predictions.csv` has a line for each test image. From `MOST_CELLS` probabilities on, `predictions.npz` takes its place:
50,000 images of 1,000 classes are 103 MB, written and read in a second, where the table takes 400 MB and a minute. Its
probabilities have half precision (11 bits, and 0 below 6e-8), those of the predicted and of the true class, from which
calibration and losses are computed, single precision.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from synthaug.files import write_rows
from synthaug.runs import array_files
from synthaug.runs.array_files import archive_errors, joined, parted, read_array

MOST_CELLS = 500_000  # images times classes of a table, 5 MB
PROBABILITY = "p:"  # prefix of the probability columns: a class may be called "path"
_COLUMNS = ("path", "label", "predicted", "cluster")
_INTEGERS = ("labels", "predicted", "clusters")
_EXACT = ("confidence", "of_label")


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
        confidence: probability of the predicted class, (N,), of predictions that were read.
    """

    paths: list[str]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.floating[Any]]
    classes: list[str]
    clusters: NDArray[np.int64]
    confidence: NDArray[np.float64] | None = None


def is_large(predictions: Predictions) -> bool:
    """Return whether predictions are stored as arrays."""
    return len(predictions.paths) * len(predictions.classes) > MOST_CELLS


# --- the table -------------------------------------------------------------------------------------


def write_table(file: Path, predictions: Predictions) -> None:
    """Write path, label, predicted, cluster and one probability per class, a line for each test image.

    Args:
        file: to write.
        predictions: with probabilities.
    """
    names = predictions.classes
    write_rows(
        file,
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


def from_table(header: Sequence[str], rows: Sequence[Sequence[str]], probabilities: bool) -> Predictions:
    """Return the predictions of a table.

    Args:
        header: its first line.
        rows: the others, as long as the first.
        probabilities: whether those of all classes are read.

    Raises:
        ValueError: it is no such table.
        KeyError: it has a class that its first line does not name.
    """
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS:
        raise ValueError("its first line does not name the columns")
    classes = [name.removeprefix(PROBABILITY) for name in header[len(_COLUMNS) :]]
    number = {name: index for index, name in enumerate(classes)}
    predicted = [number[row[2]] for row in rows]
    values = [row[len(_COLUMNS) :] for row in rows] if probabilities else [[] for _ in rows]
    return Predictions(
        paths=[row[0] for row in rows],
        labels=np.array([number[row[1]] for row in rows], dtype=np.int64),
        predicted=np.array(predicted, dtype=np.int64),
        probabilities=np.array(values, dtype=np.float64).reshape(len(rows), -1 if rows else 0),
        classes=classes,
        clusters=np.array([row[3] for row in rows], dtype=np.int64),
        confidence=np.array(
            [float(row[len(_COLUMNS) + guess]) for row, guess in zip(rows, predicted, strict=True)], dtype=np.float64
        ),
    )


# --- the arrays ------------------------------------------------------------------------------------


def write_arrays(file: Path, predictions: Predictions) -> None:
    """Write the arrays of predictions, atomically.

    Args:
        file: to write.
        predictions: with probabilities.
    """
    shape, rows = (len(predictions.paths), len(predictions.classes)), np.arange(len(predictions.paths))
    if predictions.probabilities.shape != shape:
        raise ValueError(f"probabilities of {predictions.probabilities.shape} for {shape}")
    chosen = zip(_EXACT, (predictions.predicted, predictions.labels), strict=True)
    arrays: dict[str, Any] = {
        "paths": joined(predictions.paths),
        "classes": joined(predictions.classes),
        **{name: getattr(predictions, name).astype("<i4") for name in _INTEGERS},
        **{name: predictions.probabilities[rows, column].astype("<f4") for name, column in chosen},
        "probabilities": predictions.probabilities.astype("<f2"),
    }
    array_files.write_arrays(file, arrays)


def from_arrays(stream: IO[bytes], probabilities: bool) -> Predictions:
    """Return the predictions of a file of arrays.

    Args:
        stream: of the file.
        probabilities: whether those of all classes are read.

    Raises:
        ValueError: it is no such file, or is cut short.
    """
    with archive_errors(), zipfile.ZipFile(stream) as archive:
        paths, classes = (parted(read_array(archive, name, "|u1")) for name in ("paths", "classes"))
        labels, predicted, clusters = (
            read_array(archive, name, "<i4", (len(paths),)).astype(np.int64) for name in _INTEGERS
        )
        confidence, of_label = (read_array(archive, name, "<f4", (len(paths),)) for name in _EXACT)
        for name, numbers in (("label", labels), ("prediction", predicted)):
            if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(classes):
                raise ValueError(f"a {name} is not one of its {len(classes)} classes")
        values = np.zeros((len(paths), 0), dtype=np.float32)
        if probabilities:
            values = read_array(archive, "probabilities", "<f2", (len(paths), len(classes)), np.float32)
            rows = np.arange(len(paths))
            values[rows, labels], values[rows, predicted] = of_label, confidence
    return Predictions(paths, labels, predicted, values, classes, clusters, confidence.astype(np.float64))
