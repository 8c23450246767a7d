"""Rows of numbers that are found by a 64-bit key, in twelve bytes more than they have."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROOM = 16  # for further rows, at least
_FEW = 1024  # rows that are found by a dictionary, at least; the others by bisection


class KeyedRows:
    """A growing table; several rows may have one key.

    Args:
        dtype: of a row.
        room: rows for which there is room at once; what is not used takes no memory.
    """

    def __init__(self, dtype: "np.dtype[np.void]", room: int = 0) -> None:
        self._rows: NDArray[np.void] = np.empty(room, dtype=dtype)
        self._count = 0
        self._keys = np.empty(0, dtype=np.uint64)  # sorted, of all but the recent rows
        self._numbers = np.empty(0, dtype=np.uint32)  # of the rows that have them
        self._recent: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": self.rows.copy()}

    @property
    def rows(self) -> NDArray[np.void]:
        """All rows, in the order in which they were added; not to be kept while rows are added."""
        return self._rows[: self._count]

    def reserve(self, count: int) -> None:
        """Make room for further rows at once: memory that grows step by step leaves holes behind."""
        self._rows.resize(max(len(self._rows), self._count + count), refcheck=False)

    def add(self, key: int, row: tuple[Any, ...]) -> None:
        """Append a row.

        Args:
            key: below 2⁶⁴.
            row: one value per field.
        """
        if self._count == len(self._rows):  # in place: a copy would hold all rows twice
            self._rows.resize(self._count + self._count // 8 + _ROOM, refcheck=False)
        self._rows[self._count] = row
        self._recent.setdefault(key, []).append(self._count)
        self._count += 1
        if len(self._recent) > max(_FEW, self._count // 32):
            self._arrange()

    def extend(self, keys: NDArray[np.uint64], rows: NDArray[np.void]) -> None:
        """Append many rows, in a tenth of the time.

        Args:
            keys: N of them.
            rows: N of them.
        """
        self._arrange()
        count = self._count + len(rows)
        if count > len(self._rows):
            self._rows.resize(count + count // 8 + _ROOM, refcheck=False)
        self._rows[self._count : count] = rows
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(self._keys, keys[order], side="right")
        self._keys = np.insert(self._keys, places, keys[order])
        self._numbers = np.insert(self._numbers, places, (self._count + order).astype(np.uint32))
        self._count = count

    def numbers(self, key: int) -> Iterator[int]:
        """Yield the numbers of the rows with a key."""
        wanted = np.uint64(key)
        place = int(np.searchsorted(self._keys, wanted))
        while place < len(self._keys) and self._keys[place] == wanted:
            yield int(self._numbers[place])
            place += 1
        yield from self._recent.get(key, ())

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of the first row with each of many keys, a hundred times as fast as one by one; −1: none.

        Args:
            keys: N of them.
        """
        self._arrange()
        if not len(self._keys):
            return np.full(len(keys), -1, dtype=np.int64)
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._numbers[places].astype(np.int64), -1)

    def _arrange(self) -> None:
        """Sort the recent rows in among the others."""
        if not self._recent:
            return
        pairs = sorted((key, number) for key, numbers in self._recent.items() for number in numbers)
        self._recent = {}
        keys = np.array([key for key, _ in pairs], dtype=np.uint64)
        places = np.searchsorted(self._keys, keys, side="right")
        self._keys = np.insert(self._keys, places, keys)
        self._numbers = np.insert(self._numbers, places, np.array([number for _, number in pairs], dtype=np.uint32))
