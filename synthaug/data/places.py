"""Where the images of a pixel store lie, in a few bytes an image."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

_ROW = np.dtype([("key", "S32"), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4"), ("content", "u1", 32)])


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
    """File hash → place: one table, sorted by hash, in which 80 bytes are an image.

    Args:
        places: in any order; of equal hashes the last one counts.
    """

    def __init__(self, places: Iterable[tuple[str, Place]] = ()) -> None:
        rows = np.fromiter(map(_row, places), dtype=_ROW)
        order = np.argsort(rows["key"], kind="stable")
        self._rows = rows[order]
        keys = self._rows["key"]
        if len(keys) > 1:
            self._rows = self._rows[np.append(keys[1:] != keys[:-1], True)]

    @property
    def end(self) -> int:
        """Offset of the first byte behind all images."""
        rows = self._rows
        sizes = 3 * rows["height"].astype(np.int64) * rows["width"]
        return int((rows["offset"] + sizes).max(initial=0))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return (bytes(key).ljust(32, b"\0").hex() for key in self._rows["key"])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> Place:
        index = self._find(key)
        if index is None:
            raise KeyError(key)
        row = self._rows[index]
        return Place(int(row["offset"]), int(row["height"]), int(row["width"]), row["content"].tobytes().hex())

    def joined(self, added: Mapping[str, Place]) -> Self:
        """Return these and others.

        Args:
            added: count where both have a hash.
        """
        return type(self)((*self.items(), *added.items()))

    def _find(self, key: str) -> int | None:
        wanted = bytes.fromhex(key)
        index = int(np.searchsorted(self._rows["key"], np.bytes_(wanted)))
        return index if index < len(self) and self._rows["key"][index] == wanted.rstrip(b"\0") else None


def _row(item: tuple[str, Place]) -> tuple[bytes, int, int, int, np.ndarray]:
    key, place = item
    content = np.frombuffer(bytes.fromhex(place.content), dtype=np.uint8)
    return bytes.fromhex(key), place.offset, place.height, place.width, content
