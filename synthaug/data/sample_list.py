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
        path: Path,
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


class _Table:
    """Columns of images: a number for the kind, 32 bytes for a hash, the bytes of the names one after the other.

    Args:
        samples: read once, none is kept.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
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
        self.kinds = list(kinds)
        # As they are: copies would need as much memory again.
        self.kind = np.frombuffer(numbers, dtype=np.int32)
        self.hashes = np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32)
        self._names, self._ends, self._indices, self._payloads = names, ends, indices, payloads
        self.labels = np.array([label for _, label, _, _ in self.kinds], dtype=np.int64)
        self.synthetic = np.array([origin == SYNTHETIC for *_, origin in self.kinds], dtype=bool)

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def has_payload(self) -> bool:
        """Whether metadata was left out of the hash of some image."""
        return bool(self._payloads)

    def numbered(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of the class of each kind among sorted names."""
        return np.array([bisect_left(names, name) for _, _, name, _ in self.kinds], dtype=np.int64)

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
        table = _Table(samples)
        self._tables: tuple[_Table, ...] = (table,)
        self._places: NDArray[np.int64] = np.arange(len(table))

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
