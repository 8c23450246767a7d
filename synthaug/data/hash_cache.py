"""Content hashes of files by (path, size, modification time): a file is read once per change, not once per run."""

import contextlib
import hashlib
import os
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from synthaug import files
from synthaug.checked_rows import append_checked_rows, checked_rows, write_checked_rows
from synthaug.data.folders import is_litter
from synthaug.data.keyed_rows import KeyedRows

HASHES = "hashes.csv"
# A file may be written again within one tick of the clock that stamps it (2 s on FAT), with the stamp unchanged.
SETTLED_NS = 2_000_000_000


class Stamp(NamedTuple):
    """What changes with a file's content.

    Attributes:
        size: bytes.
        mtime_ns: time of the last modification.
        ctime_ns: time of the last change of the inode, which unlike `mtime_ns` cannot be set back.
    """

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the stamp of a file."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


_COLUMNS = ("path", *Stamp._fields, "sha256")
_ROW = np.dtype([("version", "<u8"), ("sha256", "u1", 32)])
_KEYED = np.dtype([("key", "<u8"), ("row", _ROW)])
_PACKED = struct.Struct("<QQ32s")  # the bytes of such a row: lists of cells take ten times as much
_SHORTEST = 100  # bytes of a line, at least
_MOST_AT_ONCE = 2**12  # hashes that are added to the table at a time
_MANY, _THREADS = 8, 16  # new files of a folder from which on threads read them, and how many do
_CHUNK = 512  # hashes between two writings: what a killed process loses at most


class HashCache:
    """SHA-256 of files, kept in a CSV file from one `with` block to the next, and for 52 bytes a file within a block.

    Files are told by 128 bits of a hash of path and stamp. Rows are appended, until most are of earlier contents.

    Args:
        path: the CSV file; what is damaged in it is hashed again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._table = KeyedRows(_ROW, self.path.stat().st_size // _SHORTEST)
        rest = self._read()
        while packed := b"".join(map(_packed, islice(rest, _MOST_AT_ONCE))):
            self._keep_all(np.frombuffer(packed, dtype=_KEYED))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write down what is new and free the memory, where the block goes on without asking for hashes."""
        self._write()
        if self._replaced > len(self._table):
            write_checked_rows(self.path, _COLUMNS, (cells for cells in self._read() if self._is_kept(cells)))
        self._forget()

    def sha256(self, path: Path) -> str:
        """Return the hex SHA-256 of a file's bytes, which are read only if the file has changed.

        With the first new file of a folder its others are read too, many at a time: disks and servers take as long for
        one small file as for ten.
        """
        name = str(path.absolute())
        recorded = self._find(*_digests(name, Stamp.of(path)))
        if recorded is not None:
            return recorded
        folder = os.path.dirname(name)  # noqa: PTH120  # a path takes ten times as long
        if folder not in self._read_folders:
            self._read_folders.add(folder)
            self._read_folder(folder)
            recorded = self._find(*_digests(name, Stamp.of(path)))
        return self._keep_hash(*_hashed(path)) if recorded is None else recorded

    def _read_folder(self, folder: str) -> None:
        with os.scandir(folder) as entries:
            paths = [Path(entry.path) for entry in entries if entry.is_file()]
        new = [path for path in paths if not is_litter(path, Path(folder)) and self._is_new(path)]
        if len(new) < _MANY:
            return
        with ThreadPoolExecutor(_THREADS) as threads:
            for result in threads.map(_hashed_if_readable, new):
                if result is not None:
                    self._keep_hash(*result)

    def _is_new(self, path: Path) -> bool:
        return self._find(*_digests(str(path.absolute()), Stamp.of(path))) is None

    def _keep_hash(self, path: Path, stamp: Stamp, is_settled: bool, sha256: str) -> str:
        name = str(path.absolute())
        if is_settled and _is_text(name):
            cells = [name, *map(str, stamp), sha256]
            self._keep(np.frombuffer(_packed(cells), dtype=_KEYED)[0])
            self._unwritten.append(cells)
            if len(self._unwritten) == _CHUNK:
                self._write()
        return sha256

    def _forget(self) -> None:
        self._table = KeyedRows(_ROW)
        self._replaced = 0
        self._unwritten: list[list[str]] = []
        self._read_folders: set[str] = set()

    def _write(self) -> None:
        if self._unwritten:
            files.remove_unfinished(self.path.parent)
            append_checked_rows(self.path, _COLUMNS, self._unwritten)
            self._unwritten = []

    def _read(self) -> Iterator[list[str]]:
        try:
            yield from checked_rows(self.path, _COLUMNS, [])
        except OSError:
            return

    def _keep_all(self, listed: NDArray[np.void]) -> None:
        keys = np.ascontiguousarray(listed["key"])
        if len(np.unique(keys)) == len(keys) and (self._table.find(keys) < 0).all():
            self._table.extend(keys, listed["row"])
            return
        for keyed in listed:
            self._keep(keyed)

    def _keep(self, keyed: np.void) -> None:
        key, row = int(keyed["key"]), keyed["row"]
        number = next(self._table.numbers(key), None)
        if number is None:
            self._table.add(key, row)
        else:
            self._table.rows[number] = row
            self._replaced += 1

    def _find(self, key: int, version: int) -> str | None:
        number = next(self._table.numbers(key), None)
        if number is None or self._table.rows["version"][number] != version:
            return None
        return str(self._table.rows["sha256"][number].tobytes().hex())

    def _is_kept(self, cells: Sequence[str]) -> bool:
        name, *stamp, sha256 = cells
        return self._find(*_digests(name, Stamp(*map(int, stamp)))) == sha256


def _hashed(path: Path) -> tuple[Path, Stamp, bool, str]:
    """Return a file's stamp, whether it can have had no other content under it, and its hash."""
    stamp, start = Stamp.of(path), time.time_ns()
    sha256 = files.sha256(path)
    is_settled = start - max(stamp.mtime_ns, stamp.ctime_ns) > SETTLED_NS and Stamp.of(path) == stamp
    return path, stamp, is_settled, sha256


def _hashed_if_readable(path: Path) -> tuple[Path, Stamp, bool, str] | None:
    try:
        return _hashed(path)
    except OSError:  # said where it is asked for
        return None


def _packed(cells: Sequence[str]) -> bytes:
    name, *stamp, sha256 = cells
    return _PACKED.pack(*_digests(name, Stamp(*map(int, stamp))), bytes.fromhex(sha256))


def _digests(name: str, stamp: Stamp) -> tuple[int, int]:
    """Return 64 bits of a path, and 64 of its present version."""
    path = hashlib.blake2b(os.fsencode(name), digest_size=8)
    version = hashlib.blake2b(repr((name, *stamp)).encode(errors="backslashreplace"), digest_size=8)
    return int.from_bytes(path.digest()), int.from_bytes(version.digest())


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; Linux allows any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
