"""Files of images, which may lie in a tar file: `set/images-0-of-1-00000.tar!/cat/000001@1536+8342.png`.

Such a path has offset and length of the image within the tar file, so that it is read by itself, without an index and
without unpacking.
"""

import errno
import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_MEMBER = re.compile(r"(.+\.tar)!/(.+)@(\d+)\+(\d+)(\.\w+)", re.DOTALL)


@dataclass(frozen=True)
class Member:
    """An image in a tar file.

    Attributes:
        tar: path of the tar file.
        name: of the member, without its ending.
        offset: of its content, in bytes.
        size: of its content.
        suffix: its ending.
    """

    tar: str
    name: str
    offset: int
    size: int
    suffix: str

    @classmethod
    def of(cls, path: str | Path) -> "Member | None":
        """Return the member that a path leads to; None for a file of its own."""
        match = _MEMBER.fullmatch(text) if "!" in (text := os.fspath(path)) else None
        return match and cls(match[1], match[2], int(match[3]), int(match[4]), match[5])

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.size

    def __str__(self) -> str:
        return f"{self.tar}!/{self.name}@{self.offset}+{self.size}{self.suffix}"


def size_of(path: str | Path) -> int:
    """Return the bytes of an image's file; -1 where it is gone, or its tar file is cut before its end."""
    member = Member.of(path)
    try:
        size = os.stat(member.tar if member else path).st_size  # noqa: PTH116  # a path takes ten times as long
    except OSError:
        return -1
    return size if member is None else member.size if member.end <= size else -1


def is_image_file(path: Path) -> bool:
    """Return whether an image's file is there."""
    member = Member.of(path)
    return path.is_file() if member is None else Path(member.tar).is_file() and size_of(path) >= 0


def open_image_file(path: Path) -> io.BufferedReader | io.BytesIO:
    """Open the file of an image to read its bytes.

    Raises:
        OSError: it cannot be read, or is a pipe or a device; a tar file that ends before the image does.
    """
    member = Member.of(path)
    if member is None:
        return open(path, "rb", opener=_regular)
    with open(member.tar, "rb", opener=_regular) as stream:
        stream.seek(member.offset)
        content = stream.read(member.size)
    if len(content) < member.size:
        raise OSError(errno.EIO, "its tar file is cut", member.tar)
    return io.BytesIO(content)


def _regular(path: str, flags: int) -> int:
    """Open a file without waiting for whoever may write into it, as for a pipe."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder is refused by whoever asked
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return descriptor


def image_bytes(path: Path) -> bytes:
    """Return the bytes of an image's file.

    Raises:
        OSError: it cannot be read.
    """
    with open_image_file(path) as stream:
        return stream.read()
