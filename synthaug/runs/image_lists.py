"""The two forms of the list of a run's training images: a table, and for large sets the rows of shared lists.

`mix.csv` has a line for each image, 130 bytes of it. From `MOST_ROWS` images on, `mix.npz` takes its place, with a bit
for each image of a list that the runs of a study share: of the real images, and of the synthetic ones. Such a list has
path, class and hash of each image, 60 bytes of it. It lies in the folder `image_lists` of the study, named by its hash,
and is looked for in all folders around a run, so a study can be moved as a whole.
"""

import functools
import hashlib
import sys
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from synthaug.data.sample_list import REAL, SYNTHETIC, Columns, Sample, Samples
from synthaug.files import open_regular, write_rows
from synthaug.runs.array_files import archive_errors, joined, parted, read_array, write_arrays
from synthaug.runs.layout import IMAGE_LISTS, STUDY_DEPTH

MOST_ROWS = 40_000  # of a table, 5 MB
HEADER = ["path", "label", "origin", "sha256"]
_LEAST_SHARE = 1 / 4  # of a list that a run uses; of less it has a list to itself
_LISTS_IN_MEMORY = 4
_COLUMNS = {"kinds": "|u1", "kind": "<i4", "names": "|u1", "ends": "<u4", "hashes": "|u1"}  # of a list


# --- the table -------------------------------------------------------------------------------------


def write_table(file: Path, images: Samples) -> None:
    """Write path, class, origin and hash, a line for each image.

    Args:
        file: to write.
        images: that were trained on.
    """
    write_rows(file, HEADER, ((s.file, s.class_name, s.origin, s.sha256) for s in images))


def from_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Samples:
    """Return the images of a table.

    Args:
        header: its first line.
        rows: the others, read twice.

    Raises:
        ValueError: it is no such table.
    """
    if list(header) != HEADER:
        raise ValueError("its first line does not name the columns")
    label = {name: number for number, name in enumerate(sorted({row[1] for row in rows}))}
    return Samples(
        Sample(path, label[name], sys.intern(name), _origin(origin), key) for path, name, origin, key in rows
    )


def _origin(text: str) -> str:
    if text not in (REAL, SYNTHETIC):
        raise ValueError(f"{text!r} is no origin")
    return sys.intern(text)


# --- the rows of lists -----------------------------------------------------------------------------


def write_selection(file: Path, images: Samples, sources: Iterable[Samples]) -> None:
    """Write which images of which lists a run was trained on, and the lists where they are not there.

    Args:
        file: to write, in the folder of a run.
        images: that were trained on.
        sources: lists without repetitions that they were selected from.
    """
    folder = file.parents[STUDY_DEPTH] / IMAGE_LISTS
    names, selected = [], []
    for listed, is_used in _parts(images, sources):
        names.append(_write_list(folder, listed))
        selected.append(is_used)
    arrays = {
        "lists": joined(names),
        "sizes": np.array([len(is_used) for is_used in selected], dtype="<i8"),
        "selected": np.packbits(np.concatenate([*selected, np.empty(0, dtype=bool)])),
    }
    write_arrays(file, arrays)


def from_selection(stream: IO[bytes], folder: Path) -> Samples:
    """Return the images of a selection.

    Args:
        stream: of its file.
        folder: of the run.

    Raises:
        ValueError: it is no such file, or a list that it refers to is gone or damaged.
    """
    with archive_errors(), zipfile.ZipFile(stream) as archive:
        names = parted(read_array(archive, "lists", "|u1"))
        sizes = read_array(archive, "sizes", "<i8", (len(names),))
        if sizes.min(initial=0) < 0:
            raise ValueError("a list has less than no images")
        total = sum(sizes.tolist())
        bits = read_array(archive, "selected", "|u1", (-(-total // 8),))
    parts = np.split(np.unpackbits(bits, count=total).astype(bool), np.cumsum(sizes)[:-1])
    lists = [_listed(folder, name) for name in names]
    if [len(listed) for listed in lists] != sizes.tolist():
        raise ValueError("a list has not as many images as the run wrote")
    return Samples.joined(listed.take(np.flatnonzero(part)) for listed, part in zip(lists, parts, strict=False))


def lists_of(file: Path) -> list[Path]:
    """Return the files of the lists that a selection refers to, as far as they are there.

    Args:
        file: of the selection.
    """
    with archive_errors(), zipfile.ZipFile(file) as archive:
        names = parted(read_array(archive, "lists", "|u1"))
    return [path for name in names if (path := _list_file(file.parent, name)) is not None]


def _parts(images: Samples, sources: Iterable[Samples]) -> Iterator[tuple[Samples, NDArray[np.bool_]]]:
    """Yield lists and which of their images are used, until each image was in one of them."""
    for listed in sources:
        rows = images.rows_in(listed)
        is_used = np.zeros(len(listed), dtype=bool)
        is_used[rows[rows >= 0]] = True
        if is_used.any() and is_used.sum() >= _LEAST_SHARE * len(listed):
            yield listed, is_used
            images = images.take(np.flatnonzero(rows < 0))
    if len(images):
        yield images, np.ones(len(images), dtype=bool)


# --- a list ----------------------------------------------------------------------------------------


def _write_list(folder: Path, listed: Samples) -> str:
    """Write a list unless it is there, and return its name."""
    columns = listed.columns
    arrays: dict[str, NDArray[Any]] = {
        "kinds": joined([part for directory, _, name, origin in columns.kinds for part in (directory, name, origin)]),
        "kind": columns.kind.astype("<i4", copy=False),
        "names": np.frombuffer(columns.names, dtype=np.uint8),
        "ends": np.frombuffer(columns.ends, dtype=np.uint32).astype("<u4", copy=False),
        "hashes": columns.hashes.reshape(-1),
    }
    name = _name_of(arrays)
    file = folder / f"{name}.npz"
    try:
        _read_list(file, name)
    except (OSError, ValueError):
        write_arrays(file, arrays)
    return name


def _name_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the hash of arrays."""
    hashed = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        hashed.update(f"{name} {values.size}\n".encode())
        hashed.update(np.ascontiguousarray(values).data)
    return hashed.hexdigest()


def _list_file(folder: Path, name: str) -> Path | None:
    """Return the file of a list, in one of the folders around a run."""
    places = (path / IMAGE_LISTS / f"{Path(name).name}.npz" for path in folder.absolute().parents)
    return next((path for path in places if path.is_file()), None)


def _listed(folder: Path, name: str) -> Samples:
    """Return a list that a run refers to; runs that refer to the same share it in memory."""
    file = _list_file(folder, name)
    if file is None:
        raise ValueError(f"its list {IMAGE_LISTS}/{name}.npz is gone")
    try:
        return _shared_list(file, name)
    except (OSError, ValueError) as error:
        raise ValueError(f"its list {file} is damaged: {error}") from None


@functools.lru_cache(maxsize=_LISTS_IN_MEMORY)
def _shared_list(file: Path, name: str) -> Samples:
    return _read_list(file, name)


def _read_list(file: Path, name: str) -> Samples:
    """Return the images of the file of a list, which is named by their hash."""
    with open_regular(file) as stream, archive_errors(), zipfile.ZipFile(stream) as archive:
        arrays = {column: read_array(archive, column, kind) for column, kind in _COLUMNS.items()}
    if _name_of(arrays) != name:
        raise ValueError("it is not what a run wrote")
    kinds, kind, ends = parted(arrays["kinds"]), arrays["kind"], arrays["ends"].astype(np.uint32, copy=False)
    names, hashes = arrays["names"].tobytes(), arrays["hashes"]
    is_whole = len(kinds) % 3 == 0 and len(hashes) == 32 * len(kind) and len(ends) == len(kind)
    if not is_whole or (np.diff(ends.astype(np.int64), prepend=0) < 0).any() or (len(ends) and ends[-1] != len(names)):
        raise ValueError("its columns are not of one length")
    if len(kind) and not 0 <= kind.min() <= kind.max() < len(kinds) // 3:
        raise ValueError("an image is of no kind")
    label = {text: number for number, text in enumerate(sorted(set(kinds[1::3])))}
    whole = [
        (sys.intern(directory), label[text], sys.intern(text), _origin(origin))
        for directory, text, origin in zip(kinds[::3], kinds[1::3], kinds[2::3], strict=True)
    ]
    return Samples.of_columns(Columns(whole, kind, names, array("I", ends.tobytes()), hashes.reshape(-1, 32)))
