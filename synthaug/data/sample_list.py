"""Lists of image files in few bytes an image: there may be millions, and a list of objects takes ten times as much."""

import os
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

REAL, SYNTHETIC = "real", "synthetic"

_ROW_BITS = 40  # of a number that says which row of which table; the rest is that of the table
_ROW_MASK = (1 << _ROW_BITS) - 1
_CHUNK = 1024  # places that become Python's numbers at a time
_BLOCK = 2**16  # images whose names are gathered at a time
_NO_INDEX = -1


class _Fields(NamedTuple):
    folder: str
    name: str
    label: int
    class_name: str
    origin: str
    sha256: str
    order: int | None
    payload: str


class Sample(_Fields):
    """One image file: a tuple, which is made several times as fast as another object.

    Attributes:
        folder: where it is.
        name: of the file.
        label: index into the dataset's classes.
        class_name: name of that class.
        origin: `REAL` or `SYNTHETIC`.
        sha256: hex hash of the file's bytes; identifies an image, wherever it is.
        order: place in the order in which a generator made it; None for images found in a folder.
        payload: hex hash of the file's bytes without its metadata, where these say how it was made.
    """

    __slots__ = ()

    def __new__(
        cls,
        path: Path | str,
        label: int,
        class_name: str,
        origin: str,
        sha256: str,
        order: int | None = None,
        payload: str = "",
    ) -> Self:
        folder, name = os.path.split(path)
        return tuple.__new__(cls, (sys.intern(folder), name, label, class_name, origin, sha256, order, payload))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, *self[2:])

    @property
    def path(self) -> Path:
        """Where it is; a path takes five times as much memory as its text, so it is made when it is asked for."""
        return Path(self.folder, self.name)

    @property
    def file(self) -> str:
        """The text of `path`."""
        return os.path.join(self.folder, self.name)  # noqa: PTH118  # a path takes ten times as long

    @property
    def random_key(self) -> str:
        """What its random numbers in training depend on: the image, and not what is written about it."""
        return self.payload or self.sha256


_Kind = tuple[str, int, str, str]  # folder, label, class name and origin, which many images share


class Columns(NamedTuple):
    """What identifies images, in columns.

    Attributes:
        kinds: folder, label, class name and origin, which many images share.
        kind: number of each image's.
        names: bytes of the names of all files, one after the other.
        ends: where the name of each ends.
        hashes: of the files, (N, 32).
    """

    kinds: list[_Kind]
    kind: NDArray[np.int32]
    names: bytes | bytearray
    ends: "array[int]"
    hashes: NDArray[np.uint8]


class _Table:
    """Columns of images.

    Args:
        columns: of the images.
        indices: places in the order of a generator, up to the last image that has one.
        payloads: bytes of the hashes without metadata, likewise.
    """

    def __init__(self, columns: Columns, indices: "array[int]", payloads: bytearray) -> None:
        self.columns = columns
        self.kinds, self.kind, self._names, self._ends, self.hashes = columns
        self._indices, self._payloads = indices, payloads
        self.labels = np.array([label for _, label, _, _ in self.kinds], dtype=np.int64)
        self.synthetic = np.array([origin == SYNTHETIC for *_, origin in self.kinds], dtype=bool)

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Self:
        """Return the table of images, which are read once and not kept."""
        kinds: dict[_Kind, int] = {}
        numbers, ends, indices = array("i"), array("I"), array("q")
        names, hashes, payloads = bytearray(), bytearray(), bytearray()
        for row, sample in enumerate(samples):
            kind = (sample.folder, sample.label, sample.class_name, sample.origin)
            numbers.append(kinds.setdefault(kind, len(kinds)))
            names += os.fsencode(sample.name)
            ends.append(len(names))
            hashes += _digest(sample.sha256)
            if sample.order is not None:  # which most lists do not have
                indices.extend([_NO_INDEX] * (row - len(indices)))
                indices.append(sample.order)
            if sample.payload:
                payloads.extend(bytes(32 * row - len(payloads)))
                payloads += _digest(sample.payload)
        # As they are: copies would need as much memory again.
        rows = np.frombuffer(numbers, dtype=np.int32), np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32)
        return cls(Columns(list(kinds), rows[0], names, ends, rows[1]), indices, payloads)

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def has_payload(self) -> bool:
        """Whether metadata was left out of the hash of some image."""
        return bool(self._payloads)

    def numbered(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of the class of each kind among sorted names."""
        return np.array([bisect_left(names, name) for _, _, name, _ in self.kinds], dtype=np.int64)

    def selected(self, rows: NDArray[np.int64]) -> Columns:
        """Return the columns of some rows; names are gathered in blocks, or their places would take most memory."""
        ends = np.frombuffer(self._ends, dtype=np.uint32)
        stops = ends[rows].astype(np.int64)
        lengths = stops - np.where(rows > 0, ends[rows - 1], 0)
        text, names = np.frombuffer(self._names, dtype=np.uint8), bytearray()
        for start in range(0, len(rows), _BLOCK):
            size = lengths[start : start + _BLOCK]
            shifts = np.repeat(stops[start : start + _BLOCK] - np.cumsum(size), size)
            names += text[np.arange(len(shifts)) + shifts].tobytes()
        new_ends = array("I", np.cumsum(lengths).astype(np.uint32).tobytes())
        return Columns(self.kinds, self.kind[rows], names, new_ends, self.hashes[rows])

    def sample(self, row: int) -> Sample:
        """Make the sample of a row."""
        folder, label, class_name, origin = self.kinds[self.kind[row]]
        start = self._ends[row - 1] if row else 0
        order = self._indices[row] if row < len(self._indices) else _NO_INDEX
        name = os.fsdecode(bytes(self._names[start : self._ends[row]]))
        fields = (
            folder,
            name,
            label,
            class_name,
            origin,
            self.hashes[row].tobytes().hex(),
            None if order == _NO_INDEX else order,
            self._payload(row),
        )
        return tuple.__new__(Sample, fields)

    def _payload(self, row: int) -> str:
        payload = self._payloads[32 * row : 32 * row + 32]
        return payload.hex() if any(payload) else ""


class Samples(Sequence[Sample]):
    """A list of images whose samples are made when they are asked for.

    What is selected of a list shares the columns of that list, and takes eight bytes an image.

    Args:
        samples: read once.
    """

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._of_table(_Table.of(samples))

    def _of_table(self, table: _Table) -> None:
        self._tables: tuple[_Table, ...] = (table,)
        self._places: NDArray[np.int64] = np.arange(len(table))

    @classmethod
    def of_columns(cls, columns: Columns) -> "Samples":
        """Return the images of columns, which are kept as they are."""
        samples = object.__new__(cls)
        samples._of_table(_Table(columns, array("q"), bytearray()))
        return samples

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Samples":
        """Return images as such a list: themselves if they are one."""
        return samples if isinstance(samples, Samples) else cls(samples)

    @classmethod
    def joined(cls, lists: Iterable[Iterable[Sample]]) -> "Samples":
        """Return lists one after the other."""
        parts = [cls.of(samples) for samples in lists]
        tables = tuple(dict.fromkeys(table for part in parts for table in part._tables))
        places = [part._numbered(tables) for part in parts]
        return cls._view(tables, np.concatenate(places) if places else np.empty(0, dtype=np.int64))

    @classmethod
    def _view(cls, tables: tuple[_Table, ...], places: NDArray[np.int64]) -> "Samples":
        view = object.__new__(cls)
        view._tables, view._places = tables, places
        return view

    def _numbered(self, tables: tuple[_Table, ...]) -> NDArray[np.int64]:
        """Return the places in other tables, among which this list's are."""
        if self._tables == tables[: len(self._tables)]:
            return self._places
        numbers = np.array([tables.index(table) for table in self._tables], dtype=np.int64)
        which, row = self._split()
        return (numbers[which] << _ROW_BITS) + row

    def _split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._places >> _ROW_BITS, self._places & _ROW_MASK

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Samples":
        """Return some of the images, in the order of their numbers."""
        return self._view(self._tables, self._places[np.asarray(rows, dtype=np.int64)])

    def where(self, keep: Callable[[Sample], object]) -> "Samples":
        """Return the images for which a function is true."""
        return self.take(np.flatnonzero(np.fromiter(map(bool, map(keep, self)), dtype=bool, count=len(self))))

    def arranged(self, key: Callable[[Sample], object]) -> "Samples":
        """Return the images in the order of what a function returns for each."""
        keys = [key(sample) for sample in self]
        return self.take(sorted(range(len(self)), key=keys.__getitem__))  # type: ignore[arg-type]

    def rows_in(self, listed: "Samples") -> NDArray[np.int64]:
        """Return the row of each image in a list that was selected from the same one; -1 where it is not in that.

        Args:
            listed: without repetitions.
        """
        tables = tuple(dict.fromkeys((*listed._tables, *self._tables)))
        places, wanted = listed._numbered(tables), self._numbered(tables)
        order = np.argsort(places)
        at = np.searchsorted(places, wanted, sorter=order).clip(max=max(0, len(places) - 1))
        if not len(places):
            return np.full(len(wanted), _NO_INDEX, dtype=np.int64)
        rows: NDArray[np.int64] = np.where(places[order[at]] == wanted, order[at], _NO_INDEX)
        return rows

    @property
    def columns(self) -> Columns:
        """The images as columns; whatever else they have is left out."""
        if len(self._tables) > 1:
            return _Table.of(self).columns
        (table,) = self._tables
        is_whole = np.array_equal(self._places, np.arange(len(table)))
        return table.columns if is_whole else table.selected(self._places)

    def of_origin(self, origin: str) -> "Samples":
        """Return the real images, or the synthetic ones.

        Args:
            origin: `REAL` or `SYNTHETIC`.
        """
        return self.take(np.flatnonzero(self.synthetic == (origin == SYNTHETIC)))

    @property
    def distinct(self) -> "Samples":
        """The images without repetitions, in any order, joined from lists that have none."""
        once = self._view(self._tables, np.unique(self._places))
        is_of_one_list = not len(once) or once._places[0] >> _ROW_BITS == once._places[-1] >> _ROW_BITS
        return once if is_of_one_list else Samples(dict.fromkeys(once))

    @property
    def of_folders(self) -> "Samples":
        """The first image of each folder."""
        kinds = self._gathered(lambda table, rows: table.kind[rows], np.int64)
        _, first = np.unique((self._places >> _ROW_BITS << _ROW_BITS) + kinds, return_index=True)
        return self.take(np.sort(first))

    @property
    def labels(self) -> NDArray[np.int64]:
        """The label of each image."""
        return self._gathered(lambda table, rows: table.labels[table.kind[rows]], np.int64)

    @property
    def rows_of_classes(self) -> dict[str, NDArray[np.int64]]:
        """Class name → the numbers of its images, in their order."""
        names = sorted({name for table in self._tables for _, _, name, _ in table.kinds})
        numbers = self._gathered(lambda table, rows: table.numbered(names)[table.kind[rows]], np.int64)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=len(names)))
        return {name: rows for name, rows in zip(names, np.split(order, ends), strict=False) if len(rows)}

    @property
    def of_classes(self) -> "dict[str, Samples]":
        """Class name → its images in the order of their hashes, which is arbitrary and stays the same."""
        keys = self.digests.view("S32").reshape(-1)
        classes = self.rows_of_classes.items()
        return {name: self.take(rows[np.argsort(keys[rows], kind="stable")]) for name, rows in classes}

    @property
    def synthetic(self) -> NDArray[np.bool_]:
        """Whether each image is synthetic."""
        return self._gathered(lambda table, rows: table.synthetic[table.kind[rows]], np.bool_)

    @property
    def digests(self) -> NDArray[np.uint8]:
        """The bytes of the file hashes, (N, 32)."""
        return self._gathered(lambda table, rows: table.hashes[rows], np.uint8, 32)

    @property
    def keys(self) -> list[str]:
        """The file hash of each image."""
        return [row.tobytes().hex() for row in self.digests]

    @property
    def random_keys(self) -> list[str]:
        """`Sample.random_key` of each image."""
        return [sample.random_key for sample in self] if any(table.has_payload for table in self._tables) else self.keys

    def _gathered(
        self, column: Callable[[_Table, NDArray[np.int64]], NDArray[Any]], dtype: type[np.generic], *shape: int
    ) -> NDArray[Any]:
        if len(self._tables) == 1:
            return column(self._tables[0], self._places)
        values = np.empty((len(self), *shape), dtype=dtype)
        which, row = self._split()
        for number, table in enumerate(self._tables):
            rows = which == number
            values[rows] = column(table, row[rows])
        return values

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, item: int) -> Sample: ...
    @overload
    def __getitem__(self, item: slice) -> "Samples": ...
    def __getitem__(self, item: int | slice) -> "Sample | Samples":
        if isinstance(item, slice):
            return self._view(self._tables, self._places[item])
        return self._sample(int(self._places[item]))

    def _sample(self, place: int) -> Sample:
        return self._tables[place >> _ROW_BITS].sample(place & _ROW_MASK)

    def __iter__(self) -> Iterator[Sample]:
        parts = (self._places[start : start + _CHUNK].tolist() for start in range(0, len(self), _CHUNK))
        return map(self._sample, chain.from_iterable(parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples | list | tuple) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Samples({list(self)!r})"


def _digest(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != 32:
        raise ValueError(f"{text!r} is not a SHA-256 in hex")
    return digest
