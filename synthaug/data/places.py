"""Where the images of a pixel store lie, in a few bytes an image."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from synthaug.data.keyed_rows import HashedRows

_HASH = ("u1", 32)
_ROW = np.dtype([("key", *_HASH), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4"), ("content", *_HASH)])
_PACKED = struct.Struct("<32sqii32s")  # the bytes of a row: objects of many images at once take ten times as much


_MOST_AT_ONCE = 2**12  # images that are added to the table at a time
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
        self._table = HashedRows(_ROW, room)
        self.update(places)

    def reserve(self, count: int) -> None:
        """Make room for further images."""
        self._table.reserve(count)

    def update(self, places: Iterable[tuple[str, Place]]) -> None:
        """Add images, in the place of those with the same hashes."""
        rest = iter(places)
        while packed := b"".join(_packed(*item) for item in islice(rest, _MOST_AT_ONCE)):
            self._table.put(np.frombuffer(packed, dtype=_ROW))

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
        return self._table.numbers(digests) < 0

    def not_stored(self, digests: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], int]:
        """Return which images are known but not stored, (N,), and the bytes that they take, copies counted once.

        Args:
            digests: as for `missing`.
        """
        numbers = self._table.numbers(digests)
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
        numbers = self._table.numbers(digests)
        if (numbers < 0).any():
            raise KeyError(digests[numbers.argmin()].tobytes().hex())
        return np.asarray(self._table.rows["content"][numbers])

    @property
    def _sizes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = 3 * self._table.rows["height"].astype(np.int64) * self._table.rows["width"]
        return sizes

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[str]:
        return (self._table.rows["key"][number].tobytes().hex() for number in range(len(self)))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._table.number(key) is not None

    def __getitem__(self, key: str) -> Place:
        number = self._table.number(key)
        if number is None:
            raise KeyError(key)
        _, offset, height, width, content = self._table.rows[number]
        return Place(int(offset), int(height), int(width), content.tobytes().hex())


def _packed(key: str, place: Place) -> bytes:
    hashes = bytes.fromhex(key), bytes.fromhex(place.content)
    return _PACKED.pack(hashes[0], place.offset, place.height, place.width, hashes[1])
