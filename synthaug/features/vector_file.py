"""Vectors on disk by a key: computed once, whoever asks for them, and read without being loaded.

A file holds one record per key: the key, its vector in single precision, and a check of both. Records are only ever
appended, under a lock: half a record that a killed process left is cut off, one that has changed on the disk is
computed again, and what was computed before a kill stays.
"""

import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from synthaug import locks, progress_bar
from synthaug.errors import UserError
from synthaug.files import write_json
from synthaug.messages import plural

log = logging.getLogger(__name__)

FEATURES = "features.bin"
_KEY, _CHECK = 32, 8  # bytes
_ENOUGH = 256  # records whose disk space is not worth a look

Batches = Iterator[tuple[list[str], NDArray[np.float32]]]


@dataclass(frozen=True)
class Vectors:
    """What a file holds.

    Attributes:
        rows: key → row, of the keys that were asked for.
        values: (rows, D), a memory map of the file.
        damaged: how many more would be there, had their records not changed on the disk.
    """

    rows: dict[str, int]
    values: NDArray[np.float32]
    damaged: int = 0


class VectorFile:
    """The vectors of one backbone.

    Args:
        folder: of the file; created on demand.
        dimension: D, length of a vector.
        name: of the backbone, for people.
        digest: hash of all that decides on the vectors.
    """

    def __init__(self, folder: Path, dimension: int, name: str, digest: str) -> None:
        self.folder = folder
        self.dimension = dimension
        self.name = name
        self.digest = digest
        self._size = _KEY + 4 * dimension + _CHECK

    def complete(self, keys: Iterable[str], compute: Callable[[list[str]], Batches]) -> Vectors:
        """Return vectors; those that are not on disk are computed.

        Args:
            keys: 64 hexadecimal digits each.
            compute: yields (keys, vectors) of missing ones, batch by batch; they are sorted, so that the batches do not
                depend on the order of the request.

        Raises:
            UserError: no room on the disk; vectors that are not finite; what `compute` raises, once what it has
                yielded is on disk.
        """
        wanted = dict.fromkeys(keys)
        vectors = self._read(wanted)
        if len(vectors.rows) < len(wanted):
            self.folder.mkdir(parents=True, exist_ok=True)
            with locks.exclusive(self.folder / ".lock", f"computes features by {self.name}"):
                vectors = self._read(wanted)  # another process may have computed them meanwhile
                if vectors.damaged:
                    damaged = plural(vectors.damaged, "record")
                    log.warning("%s: %s changed on the disk, computed anew", self.folder / FEATURES, damaged)
                if missing := sorted(key for key in wanted if key not in vectors.rows):
                    self._append(missing, compute)
            vectors = self._read(wanted)
        return vectors

    def _read(self, keys: Iterable[str]) -> Vectors:
        """Return the rows of those keys whose record is as it was written."""
        path = self.folder / FEATURES
        count = path.stat().st_size // self._size if path.is_file() else 0
        if not count:
            return Vectors({}, np.zeros((0, self.dimension), dtype=np.float32))
        # Copy on write: PyTorch takes no array that cannot be written.
        records = np.memmap(path, dtype=np.uint8, mode="c", shape=(count, self._size))
        wanted = {bytes.fromhex(key): key for key in keys}
        stored = records[:, :_KEY].tobytes()
        rows, damaged = dict[str, int](), set[str]()
        for row in range(count):
            key = wanted.get(stored[row * _KEY : (row + 1) * _KEY])
            if key is None or key in rows:
                continue
            if _is_whole(records[row].tobytes()):
                rows[key] = row
            else:
                damaged.add(key)
        return Vectors(rows, records[:, _KEY:-_CHECK].view(np.float32), len(damaged - rows.keys()))

    def _append(self, missing: list[str], compute: Callable[[list[str]], Batches]) -> None:
        self._require_room(len(missing))
        if not (self.folder / "backbone.json").is_file():
            write_json(self.folder / "backbone.json", {"name": self.name, "digest": self.digest})
        with (
            self._open_end() as stream,
            progress_bar.bar(f"features ({self.name})", len(missing)) as bar,
        ):
            done, started = 0, time.monotonic()
            logged = started
            for keys, vectors in compute(missing):
                if not np.isfinite(vectors).all():
                    raise UserError(f"backbone {self.name}: its features are not finite; choose another.")
                stream.write(b"".join(_record(key, vector) for key, vector in zip(keys, vectors, strict=True)))
                stream.flush()
                bar.update(len(keys))
                done += len(keys)
                if not sys.stderr.isatty() and time.monotonic() - logged >= progress_bar.LOG_SECONDS:
                    logged = time.monotonic()
                    minutes = (logged - started) / done * (len(missing) - done) / 60
                    log.info("features (%s): %d of %d, %.0f min left", self.name, done, len(missing), minutes)
            os.fsync(stream.fileno())

    def _require_room(self, records: int) -> None:
        """Raise UserError unless the disk has room for so many records."""
        needed, free = records * self._size, shutil.disk_usage(self.folder).free
        if records > _ENOUGH and needed > free:
            raise UserError(
                f"{self.folder}: the features of {plural(records, 'image')} take {needed / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free: make room, choose another disk with output_dir=<folder>, or compute "
                "fewer (model.views of a frozen network)."
            )

    def _open_end(self) -> BinaryIO:
        """Open the file behind its last whole record."""
        path = self.folder / FEATURES
        path.touch()
        stream = path.open("r+b")
        stream.truncate(path.stat().st_size // self._size * self._size)
        stream.seek(0, os.SEEK_END)
        return stream


def _record(key: str, vector: NDArray[np.float32]) -> bytes:
    content = bytes.fromhex(key) + np.ascontiguousarray(vector, dtype=np.float32).tobytes()
    return content + _check(content)


def _is_whole(record: bytes) -> bool:
    return record[-_CHECK:] == _check(record[:-_CHECK])


def _check(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK).digest()
