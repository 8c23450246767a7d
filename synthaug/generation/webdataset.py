"""Samples of WebDataset shards: tar files whose members share a name up to its first dot, such as 0001.jpg, 0001.cls.

Nothing is extracted: members are read into memory, and what becomes of them has names of our own. So a member with a
path out of the archive, a link or a device can do no harm; it is left out and named.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from synthaug.data.decoding import MOST_FILE_BYTES
from synthaug.data.folders import is_litter
from synthaug.errors import UserError

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif")
FOLDER = "folder"  # the value of `label` that takes the folder of a sample
_JSON = re.compile(r"json\.(.+)")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # whose formats have an end of their own
_END_MARK = 1024  # zeros that end a tar file
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class PoolEntry:
    """An image of a pool.

    Attributes:
        key: of the sample, in its shard.
        label: its class, as the shard has it; None where it has none.
        suffix: of the image file.
        content: of the image file.
        caption: what describes it; may be empty.
    """

    key: str
    label: str | None
    suffix: str
    content: bytes
    caption: str


@dataclass
class _Sample:
    key: str
    folder: str
    parts: dict[str, bytes] = field(default_factory=dict)


def expand(pattern: str) -> list[str]:
    """Return the addresses that a pattern with braces stands for: `{000..012}` is a range, `{a,b}` a choice.

    Args:
        pattern: of file names or addresses.
    """
    match = _BRACES.search(pattern)
    if not match:
        return [pattern]
    numbers = _RANGE.fullmatch(match[1])
    if numbers:
        first, last = numbers[1], numbers[2]
        choices = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    else:
        choices = match[1].split(",")
    return [url for choice in choices for url in expand(pattern[: match.start()] + choice + pattern[match.end() :])]


def read_shard(
    path: Path, name: str, label: str, caption: str, leave_out: Callable[[str, str], None]
) -> Iterator[PoolEntry]:
    """Yield the samples of a shard that have an image and a class.

    Args:
        path: of the file.
        name: of the shard, for messages.
        label: where the class is: a member's ending ("cls"), "json.<field>" or "folder".
        caption: where the caption is: an ending ("txt") or "json.<field>".
        leave_out: is told key and reason of what is left out.

    Raises:
        UserError: it is not a tar file, or ends too early; no sample in it has a class.
    """
    endings: set[str] = set()
    yielded = unlabelled = 0
    for sample in _samples(path, name, leave_out):
        endings |= sample.parts.keys()
        image = next((ending for ending in sample.parts if ending.rpartition(".")[2] in IMAGES), None)
        if image is None:
            leave_out(sample.key, f"no image (it has {', '.join(sample.parts) or 'nothing'})")
            continue
        class_name = sample.folder.rpartition("/")[2] if label == FOLDER else _text(sample, label)
        if not class_name:
            unlabelled += 1
            leave_out(sample.key, f"no class ({label})")
            continue
        yielded += 1
        yield PoolEntry(
            sample.key, class_name, f".{image.rpartition('.')[2]}", sample.parts[image], _text(sample, caption) or ""
        )
    if unlabelled and not yielded:
        raise UserError(
            f"{name}: no sample has a class in {label}; its members end in {', '.join(sorted(endings))}. Say where the "
            "class is with generator.label=<ending>, json.<field> or folder."
        )


def _text(sample: _Sample, place: str) -> str | None:
    """Return the text at a place of a sample; None where there is none, or it cannot be read."""
    match = _JSON.fullmatch(place)
    content = sample.parts.get("json" if match else place)
    if content is None:
        return None
    try:
        text = content.decode("utf-8")
        if not match:
            return text.strip()
        value: Any = json.loads(text)
        for name in match[1].split("."):
            value = value[name]
        return None if value is None else str(value)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _samples(path: Path, name: str, leave_out: Callable[[str, str], None]) -> Iterator[_Sample]:
    """Yield members by their key, as long as they follow one another."""
    current, keys = None, set[str]()
    for member, content in _members(path, name, leave_out):
        place = PurePosixPath(member)
        stem, _, ending = place.name.partition(".")
        key = str(place.with_name(stem))
        if current is None or key != current.key:
            if current is not None:
                yield current
            current = _Sample(key, str(place.parent).removeprefix("."))
            if key in keys:
                leave_out(key, "its name occurs before in the shard")
                current = _Sample(key, current.folder)
            keys.add(key)
        if ending.lower() in current.parts:
            leave_out(member, "its name occurs twice in the sample")
        else:
            current.parts[ending.lower()] = content
    if current is not None:
        yield current


def _members(path: Path, name: str, leave_out: Callable[[str, str], None]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the regular files of a tar file."""
    read = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isdir():
                    continue
                if reason := _refusal(member):
                    leave_out(member.name, reason)
                    continue
                if is_litter(Path("root", member.name), Path("root")):
                    continue
                stream = archive.extractfile(member)
                content = stream.read() if stream else b""
                if len(content) < member.size:
                    raise EOFError
                yield member.name, content
                read += 1
        if not _has_end(path):
            raise EOFError
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, tarfile.TarError):
            raise
        reason = "is not a tar file" if not read and isinstance(error, tarfile.ReadError) and not _is_cut(error) else ""
        raise UserError(
            f"{name} {reason or f'ends in the middle (after {read} whole members): it is truncated'}. Fetch it again; "
            "what was read of other shards stays."
        ) from None


def _is_cut(error: tarfile.ReadError) -> bool:
    return "unexpected end" in str(error)


def _refusal(member: tarfile.TarInfo) -> str:
    """Return why a member is not read."""
    if member.issym() or member.islnk():
        return f"a link to {member.linkname}"
    if not member.isreg():
        return "a device, a pipe or the like"
    if member.name.startswith(("/", "\\")) or ".." in PurePosixPath(member.name.replace("\\", "/")).parts:
        return "its path leads out of the archive"
    return f"larger than {MOST_FILE_BYTES >> 30} GiB" if member.size > MOST_FILE_BYTES else ""


def _has_end(path: Path) -> bool:
    """Whether a tar file has its end mark; without it, it may have been cut between two members."""
    with path.open("rb") as stream:
        if stream.read(6).startswith(_COMPRESSED):
            return True
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _END_MARK))
        return size >= _END_MARK and not any(stream.read())
