"""Content hashes of files by (path, size, modification time): a file is read once per change, not once per run."""

import struct
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from synthaug import files
from synthaug.checked_rows import checked_rows, write_checked_rows

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
_ENTRY = struct.Struct("<qqq32s")


class HashCache:
    """SHA-256 of files, kept in a CSV file from one `with` block to the next.

    Of two commands that end their blocks at once the entries of one are lost, and those files are hashed again.

    Args:
        path: the CSV file; what is damaged in it is hashed again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, bytes] = {}  # path → stamp and hash, a third of what they take as numbers and text
        self._added: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._entries = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entries = {}
        if self._added:
            files.remove_unfinished(self.path.parent)
            entries = self._read() | self._added
            write_checked_rows(self.path, _COLUMNS, ([name, *_unpacked(entry)] for name, entry in entries.items()))
            self._added = {}

    def sha256(self, path: Path) -> str:
        """Return the hex SHA-256 of a file's bytes, which are read only if the file has changed."""
        name, stamp = str(path.absolute()), Stamp.of(path)
        entry = self._entries.get(name)
        if entry:
            *recorded, sha256 = _unpacked(entry)
            if tuple(recorded) == stamp:
                return str(sha256)
        start = time.time_ns()
        sha256 = files.sha256(path)
        is_settled = start - max(stamp.mtime_ns, stamp.ctime_ns) > SETTLED_NS
        if is_settled and Stamp.of(path) == stamp and _is_text(name):
            self._entries[name] = self._added[name] = _packed(stamp, sha256)
        return sha256

    def _read(self) -> dict[str, bytes]:
        try:
            return {
                name: _packed(Stamp(*map(int, stamp)), sha256)
                for name, *stamp, sha256 in checked_rows(self.path, _COLUMNS, [])
            }
        except OSError:
            return {}


def _packed(stamp: Stamp, sha256: str) -> bytes:
    return _ENTRY.pack(*stamp, bytes.fromhex(sha256))


def _unpacked(entry: bytes) -> tuple[int, int, int, str]:
    size, mtime_ns, ctime_ns, sha256 = _ENTRY.unpack(entry)
    return size, mtime_ns, ctime_ns, sha256.hex()


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; Linux allows any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
