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
from typing import Any, BinaryIO

from synthaug.errors import UserError
from synthaug.files import open_regular, write_rows
from synthaug.runs import prediction_files
from synthaug.runs.layout import (
    HISTORY,
    LAST,
    MIX,
    PREDICTION_ARRAYS,
    PREDICTIONS,
    PREVIOUS,
    RESULT,
    predictions_file,
    recorded_hash,
)
from synthaug.runs.prediction_files import Predictions


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
    """Write the predictions of a run: `predictions.csv`, or `predictions.npz` where that would be large.

    Args:
        folder: of the run, or of one of its shift sets.
        predictions: with probabilities.
    """
    table, arrays = folder / PREDICTIONS, folder / PREDICTION_ARRAYS
    if prediction_files.is_large(predictions):
        prediction_files.write_arrays(arrays, predictions)
        table.unlink(missing_ok=True)
    else:
        prediction_files.write_table(table, predictions)
        arrays.unlink(missing_ok=True)


def read_predictions(folder: Path, probabilities: bool = True, result: Mapping[str, Any] | None = None) -> Predictions:
    """Read what `write_predictions` wrote.

    Args:
        folder: of the run, or of one of its shift sets.
        probabilities: whether those of all classes are read; they are most of the file.
        result: content of the `result.json` beside it, whose hash is verified.

    Raises:
        UnreadableFileError: there are none that are whole.
    """
    file = predictions_file(folder)
    if file.name == PREDICTIONS:
        with _table(file, result) as (header, rows):
            return prediction_files.from_table(header, rows, probabilities)
    with _stream(file, result) as stream:
        return prediction_files.from_arrays(stream, probabilities)


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


def kept_epochs(folder: Path) -> int:
    """Return after how many epochs a run that is not finished goes on; 0 where it begins anew.

    Args:
        folder: of the run.
    """
    if (folder / RESULT).is_file() or not any((folder / name).is_file() for name in (LAST, PREVIOUS)):
        return 0
    try:
        return len(read_history(folder)["epoch"])
    except (UserError, LookupError):
        return 0


@contextlib.contextmanager
def _table(file: Path, result: Mapping[str, Any] | None) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield header and rows of a CSV file; whatever is wrong with them becomes an `UnreadableFileError`."""
    with _stream(file, result) as stream:
        header, *rows = csv.reader(io.StringIO(stream.read().decode("utf-8"), newline=""))
        uneven = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
        if uneven:
            raise ValueError(f"its row {uneven} is not whole")
        yield header, rows


@contextlib.contextmanager
def _stream(file: Path, result: Mapping[str, Any] | None) -> Iterator[BinaryIO]:
    """Yield an open file that is the one a result names; whatever is wrong with it is an `UnreadableFileError`."""
    try:
        with open_regular(file) as stream:
            if not file.stat().st_size:
                raise ValueError("it is empty")
            expected = recorded_hash(result, file.name)
            if expected not in (None, hashlib.file_digest(stream, "sha256").hexdigest()):
                raise ValueError("it is not what the run wrote")
            stream.seek(0)
            yield stream
    except OSError as error:
        raise UnreadableFileError(file, str(error.strerror)) from None
    except KeyError as error:
        raise UnreadableFileError(file, f"{error} is not a class of it") from None
    except (ValueError, csv.Error) as error:
        raise UnreadableFileError(file, str(error)) from None
