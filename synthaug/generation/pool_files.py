"""A pool that was read from shards or a table: image files by label, with their captions.

    <pool>/<label>/<shard>-<number>.<ending>     with the bytes of the source, under names of our own
    <pool>/captions.csv                          label, file, shard, key, hash and caption of each image
    <pool>/SHA256SUMS                            by which the files are checked
    <pool>/pool.json                             the request, shards and what was left out; written last
    <pool>/.shards/<shard>.csv                   what a shard gave, until all are read

A shard counts once it has its list: a stopped command begins anew with the first one that has none.
"""

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from synthaug import locks
from synthaug.checked_rows import read_checked_rows, write_checked_rows
from synthaug.data import checksums
from synthaug.data.folders import folder_of_class
from synthaug.errors import UserError
from synthaug.files import file_state, read_json, write_json
from synthaug.generation.webdataset import PoolEntry
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

RECORD, CAPTIONS = "pool.json", "captions.csv"
_COLUMNS = ("label", "file", "shard", "key", "sha256", "caption")
_SHARDS, _LEFT_OUT = ".shards", "left out"  # in the place of a label
_MOST_LISTED = 100  # of what was left out, in the record


@dataclass(frozen=True)
class Shard:
    """A part of a pool's source.

    Attributes:
        name: for messages.
        read: yields its images; is given what to call with the key of what is left out, and the reason.
        file: whose change makes it another one; None for what is not a file here.
    """

    name: str
    read: Callable[[Callable[[str, str], None]], Iterator[PoolEntry]]
    file: Path | None


def captions(pool: Path) -> dict[str, str]:
    """Return SHA-256 → caption of the images of a pool that have one.

    Args:
        pool: its folder; it need not have captions.
    """
    path = pool / CAPTIONS
    rows = read_checked_rows(path, _COLUMNS)[0] if path.is_file() else []
    return {sha256: caption for *_, sha256, caption in rows if caption}


def write_pool(root: Path, request: Mapping[str, Any], shards: Callable[[], Sequence[Shard]]) -> None:
    """Write the images of a source into a folder, once.

    Args:
        root: the folder.
        request: all that decides which images the pool has.
        shards: returns the parts of the source.

    Raises:
        UserError: a source that cannot be read, or that has changed since.
    """
    if (root / RECORD).is_file():
        _check_unchanged(root)
        return
    (root / _SHARDS).mkdir(parents=True, exist_ok=True)
    with locks.exclusive(root.parent / f".{root.name}.lock", f"reads the pool {root}"):
        if (root / RECORD).is_file():
            return
        parts = shards()
        states = {part.name: file_state(part.file) for part in parts if part.file}
        rows = [row for number, part in enumerate(parts) for row in _shard_rows(root, number, part)]
        _finish(root, request, rows, states)


def _shard_rows(root: Path, number: int, shard: Shard) -> list[list[str]]:
    """Return the rows of a shard, which is read where it was not."""
    path = root / _SHARDS / f"{number:05d}.csv"
    state = file_state(shard.file) if shard.file else ""
    if path.is_file():
        rows, damaged = read_checked_rows(path, _COLUMNS)
        if not damaged and rows and rows[0][2:4] == [shard.name, state]:
            return rows[1:]
    for leftover in root.glob(f"*/{number:05d}-*"):
        leftover.unlink()
    rows = [["", "", shard.name, state, "", ""]]  # tells that the shard is the same one
    for row in _read(root, number, shard):
        rows.append(row)
    write_checked_rows(path, _COLUMNS, rows)
    return rows[1:]


def _read(root: Path, number: int, shard: Shard) -> Iterator[list[str]]:
    left_out: list[list[str]] = []

    def leave_out(key: str, reason: str) -> None:
        left_out.append([_LEFT_OUT, "", shard.name, _text(key), "", _text(reason)])

    for count, entry in enumerate(tqdm(shard.read(leave_out), f"reading {shard.name}", unit="image", disable=None)):
        label = str(entry.label)
        folder = folder_of_class(label)
        if folder != label or len(folder.encode()) > 200:
            leave_out(entry.key, f"its class {label[:50]!r} cannot be the name of a folder")
            continue
        file = f"{number:05d}-{count:06d}{entry.suffix}"
        (root / folder).mkdir(exist_ok=True)
        (root / folder / file).write_bytes(entry.content)
        sha256 = hashlib.sha256(entry.content).hexdigest()
        yield [folder, file, shard.name, _text(entry.key), sha256, _text(entry.caption)]
    yield from left_out


def _text(text: str) -> str:
    """Return a text that a file can hold, whatever bytes a name had."""
    return text.encode("utf-8", "replace").decode()


def _finish(root: Path, request: Mapping[str, Any], rows: Sequence[list[str]], states: Mapping[str, str]) -> None:
    images = [row for row in rows if row[0] != _LEFT_OUT or row[1]]
    left_out = [f"{row[2]}, {row[3]}: {row[5]}" for row in rows if row[0] == _LEFT_OUT and not row[1]]
    if not images:
        raise UserError(f"The pool {root} would have no images:\n{bullets(left_out) or '  - its source is empty'}")
    if left_out:
        log.warning("%s: %s left out:\n%s", root, plural(len(left_out), "entry is", "entries are"), bullets(left_out))
    write_checked_rows(root / CAPTIONS, _COLUMNS, images)
    checksums.write(root, {f"{row[0]}/{row[1]}": row[4] for row in images})
    classes = dict(sorted(Counter(row[0] for row in images).items()))
    record = {
        "request": dict(request),
        "classes": classes,
        "captions": sum(bool(row[5]) for row in images),
        "left_out": len(left_out),
        "left_out_first": left_out[:_MOST_LISTED],
        "states": dict(states),
    }
    write_json(root / RECORD, record)
    shutil.rmtree(root / _SHARDS, ignore_errors=True)
    log.info("%s: %s of %s read", root, plural(len(images), "image"), plural(len(classes), "class", "classes"))


def _check_unchanged(root: Path) -> None:
    """Check that the shards are those that were read; ones that are gone by now are no longer needed."""
    states = read_json(root / RECORD).get("states", {})
    changed = [
        name for name, state in states.items() if (current := file_state(Path(name))) not in (state, "missing")
        and current
    ]  # fmt: skip
    if changed:
        raise UserError(
            f"The pool {root} was read from other files than there are now:\n{bullets(changed)}\n"
            f"Move {root} away to read them again, or restore them."
        )
