"""Where the images of a pixel store lie, in a few bytes an image."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from synthaug.data.keyed_rows import KeyedRows

_HASH = ("u1", 32)
_ROW = np.dtype([("key", *_HASH), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4"), ("content", *_HASH)])


_MOST_AT_ONCE = 2**14  # images that are added to the table at a time
NOT_STORED = -1  # offset of an image that is decoded whenever it is read


@dataclass(frozen=True)
class Place:
    """Where an image lies in `pixels.bin`, its shape, and the hash of its RGB bytes and shape."""

    offset: int
    height: int
    width: int
    content: str

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self.height * self.width * 3

    @property
    def stop(self) -> int:
        """Offset of the first byte behind the image."""
        return self.offset + self.size

    @property
    def is_stored(self) -> bool:
        """Whether the pixels are kept."""
        return self.offset != NOT_STORED


class Places(Mapping[str, Place]):
    """File hash → place: a table in which 92 bytes are an image.

    Args:
        places: in any order; of equal hashes the last one counts.
        room: for so many of them memory is reserved at once.
    """

    def __init__(self, places: Iterable[tuple[str, Place]] = (), room: int = 0) -> None:
        self._table = KeyedRows(_ROW, room)
        self.update(places)

    def reserve(self, count: int) -> None:
        """Make room for further images."""
        self._table.reserve(count)

    def update(self, places: Iterable[tuple[str, Place]]) -> None:
        """Add images, in the place of those with the same hashes."""
        rest = iter(places)
        while chunk := list(islice(rest, _MOST_AT_ONCE)):
            self._update(chunk)

    def _update(self, places: Sequence[tuple[str, Place]]) -> None:
        rows = np.empty(len(places), dtype=_ROW)
        rows["key"] = digests_of(key for key, _ in places)
        rows["content"] = digests_of(place.content for _, place in places)
        rows["offset"] = [place.offset for _, place in places]
        rows["height"] = [place.height for _, place in places]
        rows["width"] = [place.width for _, place in places]
        short = short_keys(rows["key"])
        if len(np.unique(short)) == len(short) and (self._table.find(short) < 0).all():
            self._table.extend(short, rows)
            return
        for key, place in places:
            hashes = (np.frombuffer(bytes.fromhex(text), dtype=np.uint8) for text in (key, place.content))
            row = (next(hashes), place.offset, place.height, place.width, next(hashes))
            number = self._find(key)
            if number is None:
                self._table.add(_short(key), row)
            else:
                self._table.rows[number] = row

    @property
    def end(self) -> int:
        """Offset of the first byte behind all images."""
        stored = self._table.rows["offset"] != NOT_STORED
        return int((self._table.rows["offset"] + self._sizes)[stored].max(initial=0))

    def missing(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return of which images nothing is known, (N,).

        Args:
            digests: bytes of the file hashes, (N, 32).
        """
        return self._numbers(digests) < 0

    def not_stored(self, digests: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], int]:
        """Return which images are known but not stored, (N,), and the bytes that they take, copies counted once.

        Args:
            digests: as for `missing`.
        """
        numbers = self._numbers(digests)
        are_known = numbers >= 0
        chosen = np.zeros(len(numbers), dtype=bool)
        chosen[are_known] = self._table.rows["offset"][numbers[are_known]] == NOT_STORED
        return chosen, int(self._sizes[np.unique(numbers[chosen])].sum())

    def contents(self, digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bytes of the content hashes of images, (N, 32).

        Args:
            digests: as for `missing`.

        Raises:
            KeyError: nothing is known of one of them.
        """
        numbers = self._numbers(digests)
        if (numbers < 0).any():
            raise KeyError(digests[numbers.argmin()].tobytes().hex())
        return np.asarray(self._table.rows["content"][numbers])

    @property
    def _sizes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = 3 * self._table.rows["height"].astype(np.int64) * self._table.rows["width"]
        return sizes

    def _numbers(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the number of each image's row; −1: none."""
        numbers = self._table.find(short_keys(digests))
        listed = np.flatnonzero(numbers >= 0)
        differ = listed[(self._table.rows["key"][numbers[listed]] != digests[listed]).any(axis=1)]
        for index in differ.tolist():  # of another image whose hash begins alike
            number = self._find(digests[index].tobytes().hex())
            numbers[index] = -1 if number is None else number
        return numbers

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[str]:
        return (self._table.rows["key"][number].tobytes().hex() for number in range(len(self)))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> Place:
        number = self._find(key)
        if number is None:
            raise KeyError(key)
        _, offset, height, width, content = self._table.rows[number]
        return Place(int(offset), int(height), int(width), content.tobytes().hex())

    def _find(self, key: str) -> int | None:
        rows, wanted = self._table.rows, bytes.fromhex(key)
        numbers = self._table.numbers(_short(key))
        return next((number for number in numbers if rows["key"][number].tobytes() == wanted), None)


def digests_of(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return the bytes of hashes in hex, (N, 32)."""
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=np.uint8).reshape(-1, 32)


def short_keys(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first 64 bits of hashes, (N,).

    Args:
        digests: their bytes, (N, 32).
    """
    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _short(key: str) -> int:
    return int(key[:16], 16)
