"""Images of a synthetic set in tar files of the WebDataset layout, which one writer appends to.

    <set>/images-<shard>-<number>.tar    of samples `<class>/<index>.json` and `<class>/<index>.png`

A hundred thousand files are more than some disks take or serve well. Rows of the manifest have offset, length and hash
of each image; what is behind the last of them, a killed process has left, and it is cut away.
"""

import contextlib
import json
import os
import tarfile
from pathlib import Path

from synthaug.generation.shard import Shard
from synthaug.image_files import Member

MOST_BYTES = 2**30  # size at which the next tar file is begun
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)  # the mark that ends a tar file


class TarStore:
    """The tar files of one writer; its lock is the caller's.

    Args:
        folder: of the set.
        shard: that is made.
        ends: name of each tar file of the set → offset behind the last image that has a row.
    """

    def __init__(self, folder: Path, shard: Shard, ends: dict[str, int]) -> None:
        self._folder = folder
        self._prefix = f"images-{shard}-"
        names = [name for name in ends if name.startswith(self._prefix)]
        self._number = max((int(name.removeprefix(self._prefix).removesuffix(".tar")) for name in names), default=0)
        for path in folder.glob(f"{self._prefix}*.tar"):  # begun by a process that was killed before its first row
            if path.name not in ends and path.name != self._name:
                path.unlink()
        self._open(_padded(ends.get(self._name, 0)))

    def __enter__(self) -> "TarStore":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # of a full disk: only other programs need the mark
            self._write(_END)
        self._stream.close()

    @property
    def _name(self) -> str:
        return f"{self._prefix}{self._number:05d}.tar"

    def _open(self, end: int) -> None:
        path = self._folder / self._name
        path.touch()
        self._stream = path.open("r+b", buffering=0)
        self._stream.truncate(end)
        self._stream.seek(end)

    def append(self, name: str, suffix: str, content: bytes, described: dict[str, object]) -> str:
        """Append an image; return its path below the set. It is on the disk after `sync`.

        Args:
            name: class and number.
            suffix: of its file.
            content: of its file.
            described: what its JSON file says.
        """
        if self._stream.tell() > MOST_BYTES:
            self.sync()
            self._write(_END)
            self._stream.close()
            self._number += 1
            self._open(0)
        self._append(f"{name}.json", json.dumps(described, ensure_ascii=False).encode())
        offset = self._append(f"{name}{suffix}", content)
        return str(Member(self._name, name, offset, len(content), suffix))

    def _append(self, name: str, content: bytes) -> int:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        header = entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        offset = self._stream.tell() + len(header)
        self._write(header + content + bytes(_padded(len(content)) - len(content)))
        return offset

    def _write(self, content: bytes) -> None:
        """Write all of the content, or restore the file."""
        start, rest = self._stream.tell(), memoryview(content)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._stream.seek(start)
                self._stream.truncate()
            raise

    def sync(self) -> None:
        """Flush appended images to the disk."""
        os.fsync(self._stream.fileno())


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
