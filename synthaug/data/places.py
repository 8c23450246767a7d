"""Where the images of a pixel store lie, in a few bytes an image."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from synthaug.data.keyed_rows import KeyedRows

_HASH = ("u1", 32)
_ROW = np.dtype([("key", *_HASH), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4"), ("content", *_HASH)])


@dataclass(frozen=True)
class Place:
    """Where an image lies in `pixels.bin`, its shape, and the hash of its RGB bytes and shape."""

    offset: int
    height: int
    width: int
    content: str

    @property
    def stop(self) -> int:
        """Offset of the first byte behind the image."""
        return self.offset + self.height * self.width * 3


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
        rows = self._table.rows
        sizes = 3 * rows["height"].astype(np.int64) * rows["width"]
        return int((rows["offset"] + sizes).max(initial=0))

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


def _short(key: str) -> int:
    return int(key[:16], 16)
