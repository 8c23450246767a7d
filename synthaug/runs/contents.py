"""What a run folder holds: training images, predictions, learning curves.

What is read must be what the run wrote: `result.json` has the hashes.
"""

import contextlib
import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from synthaug.data.sample_list import Sample, Samples
from synthaug.errors import UserError
from synthaug.files import open_regular
from synthaug.runs import image_lists, prediction_files
from synthaug.runs.layout import (
    HISTORY,
    LAST,
    MIX,
    MIX_ROWS,
    PREDICTION_ARRAYS,
    PREDICTIONS,
    PREVIOUS,
    RESULT,
    mix_file,
    predictions_file,
    recorded_hash,
)
from synthaug.runs.prediction_files import Predictions


class UnreadableFileError(UserError):
    """A file of a run is missing, damaged, or not the one that the run wrote."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file} cannot be read ({reason}): move {file.parent} away and run the same command again.")
        self.reason = reason


def write_mix(folder: Path, images: Iterable[Sample], sources: Iterable[Iterable[Sample]] = ()) -> None:
    """Write the list of training images: `mix.csv`, or `mix.npz` where that would be large.

    Args:
        folder: of the run.
        images: every one that was trained on.
        sources: lists that they were selected from, which the runs of a study share.
    """
    table, rows, listed = folder / MIX, folder / MIX_ROWS, Samples.of(images)
    if len(listed) > image_lists.MOST_ROWS:
        image_lists.write_selection(rows, listed, map(Samples.of, sources))
        table.unlink(missing_ok=True)
    else:
        image_lists.write_table(table, listed)
        rows.unlink(missing_ok=True)


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


def read_mix(folder: Path, result: Mapping[str, Any] | None = None) -> Samples:
    """Read what `write_mix` wrote; labels are places among the classes of the list.

    Args:
        folder: of the run.
        result: content of its `result.json`, whose hash is verified.

    Raises:
        UnreadableFileError: there is none that is whole.
    """
    file = mix_file(folder)
    if file.name == MIX:
        with _table(file, result) as (header, rows):
            return image_lists.from_table(header, rows)
    with _stream(file, result) as stream:
        return image_lists.from_selection(stream, folder)


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
