"""Rows of numbers that are found by a 64-bit key, or by a hash, in twelve bytes more than they have."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROOM = 16  # for further rows, at least
_FEW = 1024  # rows that are found by a dictionary, at least; the others by bisection
_BLOCK = 2**13  # hashes that are looked up at once: what a million of them need meanwhile is as much as the table


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

    def add(self, key: int, row: tuple[Any, ...] | np.void) -> None:
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


class HashedRows:
    """A growing table in which each row has another hash.

    Args:
        dtype: of a row, whose field `key` has the 32 bytes of the hash.
        room: as of `KeyedRows`.
    """

    def __init__(self, dtype: "np.dtype[np.void]", room: int = 0) -> None:
        self._table = KeyedRows(dtype, room)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def rows(self) -> NDArray[np.void]:
        """All rows, in the order in which they were added; not to be kept while rows are added."""
        return self._table.rows

    def reserve(self, count: int) -> None:
        """Make room for further rows."""
        self._table.reserve(count)

    def put(self, rows: NDArray[np.void]) -> None:
        """Append rows, or put them in the place of those with the same hashes; of equal ones the last counts."""
        short = short_keys(rows["key"])
        if len(np.unique(short)) == len(short) and (self._table.find(short) < 0).all():
            self._table.extend(short, rows)
            return
        for key, row in zip(short.tolist(), rows, strict=True):
            number = self._number(key, row["key"].tobytes())
            if number is None:
                self._table.add(key, row)
            else:
                self._table.rows[number] = row

    def add(self, key: str, row: tuple[Any, ...]) -> None:
        """Append a row of a hash that has none yet.

        Args:
            key: the hash in hex.
            row: one value per field.
        """
        self._table.add(int(key[:16], 16), row)

    def number(self, key: str) -> int | None:
        """Return the number of the row with a hash in hex."""
        return self._number(int(key[:16], 16), bytes.fromhex(key))

    def numbers(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the number of the row with each of many hashes; −1: none.

        Args:
            digests: their bytes, (N, 32).
        """
        numbers = np.empty(len(digests), dtype=np.int64)
        for start in range(0, len(digests), _BLOCK):
            numbers[start : start + _BLOCK] = self._block(digests[start : start + _BLOCK])
        return numbers

    def _block(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        numbers = self._table.find(short_keys(digests))
        listed = np.flatnonzero(numbers >= 0)
        differ = listed[(self.rows["key"][numbers[listed]] != digests[listed]).any(axis=1)]
        for index in differ.tolist():  # another hash that begins alike
            number = self.number(digests[index].tobytes().hex())
            numbers[index] = -1 if number is None else number
        return numbers

    def _number(self, short: int, wanted: bytes) -> int | None:
        keys = self.rows["key"]
        return next((number for number in self._table.numbers(short) if keys[number].tobytes() == wanted), None)


def digests_of(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return the bytes of hashes in hex, (N, 32)."""
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=np.uint8).reshape(-1, 32)


def short_keys(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first 64 bits of hashes, (N,).

    Args:
        digests: their bytes, (N, 32).
    """
    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def repeats(digests: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield (first, again) for each hash that an earlier one equals: numbers of the first such and of itself.

    Args:
        digests: their bytes, (N, 32).
    """
    short = short_keys(digests)
    ordered = np.sort(short)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    del ordered
    firsts: dict[bytes, int] = {}
    for number in np.flatnonzero(are_among(short, twice)).tolist():
        first = firsts.setdefault(digests[number].tobytes(), number)
        if first != number:
            yield first, number


def are_among(keys: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which keys are among sorted ones, (N,); NumPy's own sorts all of them and holds them thrice.

    Args:
        keys: N of them.
        ordered: any number, ascending.
    """
    among = np.zeros(len(keys), dtype=bool)
    for start in range(0, len(keys) if len(ordered) else 0, _BLOCK):
        block = keys[start : start + _BLOCK]
        among[start : start + _BLOCK] = ordered[np.searchsorted(ordered, block).clip(max=len(ordered) - 1)] == block
    return among
