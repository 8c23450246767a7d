"""Validation and test images of a folder: drawn once by a rule, recorded, and kept from then on.

    <folder>/split.json     the rule
    <folder>/split.csv      the split of every image

An image is identified by the hash of its file, so it keeps its split when it is moved or renamed. Copies of one another
(see `fingerprints`) are drawn together, so that no test image has a near duplicate in training.
"""

import hashlib
import importlib.metadata
import logging
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice, starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug import files, locks
from synthaug.checked_rows import checked_rows, read_checked_rows, write_checked_rows
from synthaug.data import fingerprints
from synthaug.data.fingerprints import FingerprintReader, FingerprintTable
from synthaug.data.folders import Hash, class_files, class_folders
from synthaug.data.keyed_rows import HashedRows
from synthaug.data.layouts import existing_folders, layout_problems
from synthaug.data.samples import (
    RealImages,
    Sample,
    Samples,
    label_conflicts,
    per_class,
    require_distinct,
    scan,
)
from synthaug.data.split_rule import IN_WORDS, Rule, apportion, draw
from synthaug.errors import UserError, raise_all
from synthaug.files import read_json, remove_unfinished, write_json
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

RULE, IMAGES = "split.json", "split.csv"
LEFT_OUT = "left out"
FROZEN = "validation_and_test"  # key of the digest of what never changes
FORMAT = 3


@dataclass(frozen=True)
class Divided:
    """A dataset with its three lists.

    Attributes:
        real: the dataset.
        bad: file → why it is not a whole image, for those left out before the split.
        copies: files that were left out as near duplicates of validation or test images.
        conflicts: files that were left out since their pixels are in more than one class.
    """

    real: RealImages
    bad: dict[Path, str]
    copies: list[Path]
    conflicts: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    """One image in `split.csv`; `path` is relative to the dataset's root."""

    path: str
    class_name: str
    split: str
    sha256: str
    group: str
    pixels: str


_HEADER = ("path", "class", "split", "sha256", "group", "pixels")
_SPLITS = ("train", "val", "test", LEFT_OUT)
_BLOCK = 2**12  # images whose rows are made at once
_NOWHERE = -1  # of images that are not in the record


@dataclass(frozen=True)
class _Request:
    """Images that are to be split, and how; see `divide`."""

    root: Path
    real: RealImages
    rule: Rule
    drawn: Sequence[str]
    folder: Path
    refuse: Callable[[Mapping[Path, str]], None]
    drop_conflicts: bool
    read: FingerprintReader


@dataclass(frozen=True)
class _Assigned:
    """What became of the images.

    Attributes:
        splits: place in `_SPLITS` of each, (N,), or `_NOWHERE`.
        bad: file → why it is not a whole image.
        conflicts: files left out since their pixels are in two classes.
    """

    splits: NDArray[np.int8]
    bad: dict[Path, str] = field(default_factory=dict)
    conflicts: list[Path] = field(default_factory=list)


def divide(
    root: Path,
    split_folders: Mapping[str, str],
    rule: Rule | None,
    folder: Path,
    refuse: Callable[[Mapping[Path, str]], None],
    sha256: Hash = files.sha256,
    drop_conflicts: bool = False,
    read: FingerprintReader = fingerprints.fingerprint_files,
) -> Divided:
    """List a dataset whose folder is split by hand, in part, or not at all.

    Args:
        root: `<root>/<split>/<class>/`, or `<root>/<class>/`; of the splits only "train" must be there.
        split_folders: split → folder name below `root`.
        rule: draws the splits that have no folder; None demands all three.
        folder: where the split is recorded.
        refuse: called with file → reason for files that are not whole images; raises where they may not be left out.
        sha256: of a file.
        drop_conflicts: whether images whose pixels are in more than one class are left out instead of refused.
        read: computes fingerprints, of which it may store the pixels.

    Raises:
        UserError: the folder cannot be used or split, or is not the one that was split before.
    """
    real = scan(root, split_folders, can_split=rule is not None, sha256=sha256)
    drawn = [split for split in ("test", "val") if split not in existing_folders(root, split_folders)]
    if rule is None or not drawn:
        return Divided(real, {}, [])
    folder.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(folder / ".lock", f"splits the images of {root}"):
        remove_unfinished(folder)
        request = _Request(root, real, rule, drawn, folder, refuse, drop_conflicts, read)
        is_drawn = (folder / IMAGES).is_file()
        assigned = (_unchanged(request) or _update(request)) if is_drawn else _draw_first(request)
    listed = Samples.of(real.train)
    lists = {name: listed.take(np.flatnonzero(assigned.splits == _SPLITS.index(name))) for name in ("train", *drawn)}
    copies = [sample.path for sample in listed.take(np.flatnonzero(assigned.splits == _SPLITS.index(LEFT_OUT)))]
    return Divided(RealImages(real.classes, **{**real.splits, **lists}), assigned.bad, copies, assigned.conflicts)


def redraw_validation(real: RealImages, seed: int) -> RealImages:
    """Return a dataset with other images for validation, drawn from those for training and validation; as many a class.

    Args:
        real: the dataset.
        seed: another one draws others.
    """
    train, val = [], []
    counts = {name: len(samples) for name, samples in per_class(real.val, real.classes).items()}
    for name, samples in per_class(Samples.joined([real.train, real.val]), real.classes).items():
        ranked = samples.arranged(lambda sample: _rank(seed, sample))
        val.append(ranked[: counts[name]])
        train.append(ranked[counts[name] :])
    return RealImages(real.classes, _sorted(train), _sorted(val), real.test, real.more)


def _rank(seed: int, sample: Sample) -> tuple[str, str]:
    text = f"validation\0{seed}\0{sample.class_name}\0{sample.sha256}"
    return hashlib.sha256(text.encode()).hexdigest(), sample.file


def _sorted(lists: Iterable[Iterable[Sample]]) -> Samples:
    return Samples.joined(lists).arranged(lambda sample: (sample.label, sample.file))


def count_test(root: Path, split_folders: Mapping[str, str], share: float) -> tuple[int, bool]:
    """Count the test images of a dataset, or those that will be drawn, by file names alone.

    Args:
        root: as for `divide`.
        split_folders: split → folder name below `root`.
        share: of all images that would be drawn for the test, or their number, as `Rule.test`.

    Returns:
        The number, and whether it is that of a folder rather than of images still to be drawn.

    Raises:
        UserError: the folder does not look like a dataset, or holds too few images for so many test images.
    """
    problems = layout_problems(root, split_folders, can_split=True)
    names = existing_folders(root, split_folders) if not problems else {}
    test = names.get("test")
    folder = root / (test or names.get("train", "."))
    counts = {name: len(class_files(folder, name)) for name in class_folders(folder)} if not problems else {}
    if not problems and (len(counts) < 2 or not all(counts.values())):
        problems.append(f"{folder} has no two folders of images, one per class")
    raise_all(f"The dataset folder {root} cannot be used:", problems)
    if test:
        return sum(counts.values()), True
    total, drawn = sum(counts.values()), sum(apportion(counts, share).values())
    if drawn >= total:
        raise UserError(f"{root} holds {plural(total, 'image')}: {drawn} for the test would leave none to train on.")
    return drawn, False


# --- the first time --------------------------------------------------------------------------------


def _draw_first(request: _Request) -> _Assigned:
    """Draw the split and record it."""
    root, real, folder, drawn = request.root, request.real, request.folder, request.drawn
    prints, bad = read_fingerprints(real.train, request.refuse, request.read)
    usable, conflicts = without_conflicts(real, real.train, prints, request.drop_conflicts)
    group_of = groups_of_copies(usable, real.classes, prints, request.rule.near_duplicates)
    groups = MembersOfGroups(usable, real.classes, group_of)
    chosen = draw(groups, request.rule, drawn)
    contents = prints.contents(usable)
    del prints  # more than all that is held from here on

    def rows() -> Iterator[_Row]:  # again and again: a million of them take a gigabyte
        for start in range(0, len(usable), _BLOCK):
            block = slice(start, start + _BLOCK)
            for sample, group, content in zip(usable[block], group_of[block], contents[block], strict=True):
                name = group.tobytes().hex()
                split = chosen.get((sample.class_name, name), "train")
                yield _row(root, sample, split, name, content.tobytes().hex())

    sizes, splits = Counter[tuple[str, str]](), np.empty(len(usable), dtype=np.int8)
    for number, row in enumerate(rows()):
        sizes[row.split, row.class_name] += 1
        splits[number] = _SPLITS.index(row.split)
    counts = {split: {name: sizes[split, name] for name in real.classes} for split in ("train", *drawn)}
    copies = _count_copies(groups)
    frozen = _frozen(rows())
    if (folder / RULE).is_file() and read_json(folder / RULE).get(FROZEN) not in (None, frozen):
        raise UserError(
            f"{folder / IMAGES} is gone, and the images have changed since they were split: bring it back from a copy, "
            f"or move {folder} away to have a new split drawn; what was tested on the old one does not compare with it."
        )
    write_json(
        folder / RULE,
        {
            "format": FORMAT,
            **_rule_settings(request.rule, drawn),
            "rule": IN_WORDS,
            "counts": counts,
            "copies": copies,
            FROZEN: frozen,
            "versions": {name: importlib.metadata.version(name) for name in ("pillow", "numpy", "scipy")},
        },
    )
    _write(folder, rows())
    listed = ", ".join(f"{sum(by_class.values())} {split}" for split, by_class in counts.items())
    log.warning("%s: its images were split for good: %s (see %s)", root, listed, folder / IMAGES)
    if copies["groups"]:
        what = f"{copies['images']} images are copies of one another"
        log.warning("%s: %s, in %s that stay together", root, what, plural(copies["groups"], "group"))
    of_all = np.full(len(real.train), _NOWHERE, dtype=np.int8)
    of_all[usable.rows_in(Samples.of(real.train))] = splits
    return _Assigned(of_all, bad, conflicts)


def _splits_of(samples: Sequence[Sample], splits: Iterable[tuple[str, str]]) -> NDArray[np.int8]:
    """Return the place in `_SPLITS` of each image, (N,), or `_NOWHERE`.

    Args:
        samples: the images.
        splits: file hash and split of images; of equal hashes the last one counts.
    """
    table = HashedRows(np.dtype([("key", "u1", 32), ("split", "i1")]), len(samples))
    packed = (struct.pack("32sb", bytes.fromhex(key), _SPLITS.index(split)) for key, split in splits)
    while block := b"".join(islice(packed, _BLOCK)):
        table.put(np.frombuffer(block, dtype=table.rows.dtype))
    numbers = table.numbers(Samples.of(samples).digests)
    codes = np.full(len(samples), _NOWHERE, dtype=np.int8)
    codes[numbers >= 0] = table.rows["split"][numbers[numbers >= 0]]
    return codes


def groups_of_copies(
    samples: Samples, classes: Sequence[str], prints: FingerprintTable, near_duplicates: bool
) -> NDArray[np.uint8]:
    """Return the group of each image, named by the least pixel hash in it: an image and its copies within the class.

    Args:
        samples: the images.
        classes: names.
        prints: their fingerprints.
        near_duplicates: whether copies that were changed a little count.

    Returns:
        The bytes of the hashes, (N, 32).
    """
    rows_of_classes = samples.rows_of_classes
    by_class = [rows_of_classes[name] for name in classes if name in rows_of_classes]
    named = np.empty((len(samples), 32), dtype=np.uint8)
    lists = [prints.of(samples.take(rows)) for rows in by_class]
    for rows, labels in zip(by_class, fingerprints.groups_of_lists(lists, near_duplicates), strict=True):
        least: dict[int, bytes] = {}
        for label, content in zip(labels, prints.contents(samples.take(rows)), strict=True):
            pixels = content.tobytes()
            least[label] = min(least.get(label, pixels), pixels)
        for label, row in zip(labels, rows.tolist(), strict=True):
            named[row] = np.frombuffer(least[label], dtype=np.uint8)
    return named


class MembersOfGroups(Mapping[str, dict[str, list[str]]]):
    """Class → group → files of its images, made for one class at a time.

    Args:
        samples: the images.
        classes: names.
        group_of: from `groups_of_copies`.
    """

    def __init__(self, samples: Samples, classes: Sequence[str], group_of: NDArray[np.uint8]) -> None:
        self._samples, self._classes, self._group_of = samples, list(classes), group_of
        self._rows = samples.rows_of_classes

    def __len__(self) -> int:
        return len(self._classes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __getitem__(self, name: str) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for row in self._rows.get(name, np.empty(0, dtype=np.int64)).tolist():
            groups.setdefault(self._group_of[row].tobytes().hex(), []).append(self._samples[row].file)
        return groups


def _count_copies(groups: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, int]:
    """Count groups of more than one image, the images in them, and those in the largest."""
    sizes = [len(members) for of_class in groups.values() for members in of_class.values() if len(members) > 1]
    return {"groups": len(sizes), "images": sum(sizes), "largest": max(sizes, default=1)}


# --- from then on ----------------------------------------------------------------------------------


def _unchanged(request: _Request) -> _Assigned | None:
    """Return the split as it was recorded, if the folder has these images at these places and no others.

    The record is read row by row beside the list of images: held as a whole, a million rows take a gigabyte.
    """
    folder, samples = request.folder, request.real.train
    damaged: list[int] = []
    codes = np.full(len(samples), _NOWHERE, dtype=np.int8)
    unseen: set[tuple[str, str]] = set()
    rows = checked_rows(folder / IMAGES, _HEADER, damaged)
    start = _start(request.root)
    for number, (sample, cells) in enumerate(zip(samples, rows, strict=False)):
        path, class_name, split, sha256 = cells[:4]
        if (sample.sha256, sample.class_name, sample.file) != (sha256, class_name, start + path):
            return None
        codes[number] = _SPLITS.index(split)
        if split in ("val", "test"):
            unseen.add((split, sha256))
    if next(rows, None) is not None or damaged or (codes == _NOWHERE).any():
        return None
    written = read_json(folder / RULE) if (folder / RULE).is_file() else {}
    if written.get(FROZEN) != _digest(unseen):
        return None
    _require_same_rule(folder, written, request.rule, request.drawn)
    return _Assigned(codes)


def _update(request: _Request) -> _Assigned:
    """Return the split as it was recorded, with the images that are new since."""
    root, real, folder = request.root, request.real, request.folder
    recorded = _read(folder)
    written = read_json(folder / RULE) if (folder / RULE).is_file() else {}
    if written.get(FROZEN) != _frozen(recorded):
        raise _damaged(folder, "images are missing that were drawn" if written else f"{RULE} is gone")
    _require_same_rule(folder, written, request.rule, request.drawn)
    _require_present(root, real.train, recorded, folder)
    by_hash = {row.sha256: row for row in recorded}
    listed = Samples.of(real.train)
    new = listed.where(lambda sample: sample.sha256 not in by_hash)
    prints, bad = read_fingerprints(new, request.refuse, request.read)
    joining, conflicts = without_conflicts(real, new, prints, request.drop_conflicts)
    unseen = listed.where(lambda sample: sample.sha256 in by_hash and by_hash[sample.sha256].split in ("val", "test"))
    near = _near_unseen(joining, unseen, prints) if request.rule.near_duplicates else {}
    by_hash |= {row.sha256: row for row in _join(root, joining, prints, recorded, near)}
    present = [sample for sample in listed if sample.sha256 in by_hash]
    rows = [_moved(root, sample, by_hash[sample.sha256]) for sample in present]
    hashes = {row.sha256 for row in rows}
    rows += [row for row in recorded if row.sha256 not in hashes]  # missing training images may come back
    if rows != recorded:
        _write(folder, rows)
    joined = sum(by_hash[sample.sha256].split == "train" for sample in joining)
    if joined:
        what = plural(joined, "new image joins", "new images join")
        log.warning("%s: %s the training images (see %s)", root, what, folder / IMAGES)
    return _Assigned(_splits_of(listed, ((row.sha256, row.split) for row in rows)), bad, conflicts)


def _require_same_rule(folder: Path, recorded: Mapping[str, Any], rule: Rule, drawn: Sequence[str]) -> None:
    differing = [
        f"{key}: {recorded.get(key)} there, {value} now"
        for key, value in _rule_settings(rule, drawn).items()
        if recorded.get(key) != value
    ]
    if differing:
        listed = bullets([f"dataset.split.{line}" if not line.startswith("drawn") else line for line in differing])
        raise UserError(
            f"{folder / IMAGES} holds a split that was drawn by another rule:\n{listed}\nSet the values back, give "
            f"the new split a name of its own with dataset.name=<name>, or move {folder} away to have one drawn anew."
        )


def _require_present(root: Path, samples: Iterable[Sample], recorded: Sequence[_Row], folder: Path) -> None:
    hashes = {sample.sha256 for sample in samples}
    if recorded and hashes.isdisjoint(row.sha256 for row in recorded):
        raise UserError(
            f"{folder / IMAGES} holds the split of another folder: none of its {plural(len(recorded), 'image')} is in "
            f"{root}. Give this dataset a name of its own with dataset.name=<name>, or move {folder} away."
        )
    missing = [
        f"{row.split}: {root / row.path}"
        for row in recorded
        if row.split in ("val", "test") and row.sha256 not in hashes
    ]
    if missing:
        what = plural(len(missing), "validation or test image is", "validation or test images are")
        raise UserError(
            f"{what} gone, or changed, since the images were split:\n{bullets(missing)}\nBring them back, or move "
            f"{folder} away to have a new split drawn; what was tested on the old one does not compare with it."
        )


def _near_unseen(new: Samples, unseen: Samples, prints: FingerprintTable) -> dict[str, set[str]]:
    """Return file hash of each new image → those of the validation and test images of its class that it copies."""
    near: dict[str, set[str]] = {}
    rows_of_new, rows_of_unseen = new.rows_of_classes, unseen.rows_of_classes
    for name in sorted(rows_of_new.keys() & rows_of_unseen.keys()):
        samples, others = new.take(rows_of_new[name]), unseen.take(rows_of_unseen[name])
        recorded, _ = fingerprints.fingerprint_files(others)
        others = others.take(np.flatnonzero(recorded.have(others)))
        for i, j in fingerprints.copies(prints.of(samples), recorded.of(others), True):
            near.setdefault(samples[i].sha256, set()).add(others[j].sha256)
    return near


def _join(
    root: Path, new: Samples, prints: FingerprintTable, recorded: Sequence[_Row], near: Mapping[str, set[str]]
) -> list[_Row]:
    """Return rows of new images: for training, or left out as copies of validation and test images."""
    by_pixels = {row.pixels: row for row in sorted(recorded, key=lambda row: row.split in ("val", "test"))}
    copied = set().union(*near.values())
    copied_rows = [row for row in recorded if row.sha256 in copied]
    rows = []
    for sample in new:
        pixels, copies = prints[sample.sha256].pixels, near.get(sample.sha256, set())
        same = by_pixels.get(pixels)
        alike = [row for row in copied_rows if row.sha256 in copies] if copies else []
        alike += [same] if same and same.class_name == sample.class_name else []
        unseen = any(row.split in ("val", "test", LEFT_OUT) for row in alike)
        group = alike[0].group if alike else pixels
        rows.append(_row(root, sample, LEFT_OUT if unseen else "train", group, pixels))
    return rows


def _moved(root: Path, sample: Sample, row: _Row) -> _Row:
    """Return the row with the present path of its image."""
    return _row(root, sample, row.split, row.group, row.pixels)


# --- both ------------------------------------------------------------------------------------------


def read_fingerprints(
    samples: Sequence[Sample], refuse: Callable[[Mapping[Path, str]], None], read: FingerprintReader
) -> tuple[FingerprintTable, dict[Path, str]]:
    """Return the fingerprints of images, and file → reason for those that are none and may be left out.

    Args:
        samples: the images.
        refuse: called with the reasons; raises where files may not be left out.
        read: computes fingerprints.
    """
    if not samples:
        return FingerprintTable(), {}
    prints, reasons = read(Samples.of(samples))
    bad = {sample.path: reasons[sample.sha256] for sample in samples if sample.sha256 in reasons} if reasons else {}
    refuse(bad)
    return prints, bad


def without_conflicts(
    real: RealImages, samples: Sequence[Sample], prints: FingerprintTable, drop: bool
) -> tuple[Samples, list[Path]]:
    """Return the images that can be used, and the files that are left out since their pixels are in two classes.

    Args:
        real: the dataset.
        samples: of it, those that are looked at.
        prints: fingerprints of whole images.
        drop: whether images in two classes are left out.

    Raises:
        UserError: images in two classes that are not to be left out.
    """
    listed = Samples.of(samples)
    usable = listed.take(np.flatnonzero(prints.have(listed)))
    dropped = {sample.path for sample in label_conflicts(usable, prints.contents)} if drop else set()
    if dropped:
        usable = usable.where(lambda sample: sample.path not in dropped)
    require_distinct(RealImages(real.classes, usable, [], []), prints.contents)
    return usable, sorted(dropped)


def _rule_settings(rule: Rule, drawn: Sequence[str]) -> dict[str, Any]:
    """Return the settings that decide the split."""
    sizes = {split: getattr(rule, split) for split in sorted(drawn)}
    return {"drawn": " and ".join(sorted(drawn)), **sizes, "seed": rule.seed, "near_duplicates": rule.near_duplicates}


def _row(root: Path, sample: Sample, split: str, group: str, pixels: str) -> _Row:
    file, start = sample.file, _start(root)
    path = file[len(start) :] if file.startswith(start) else Path(os.path.relpath(sample.path, root)).as_posix()
    return _Row(path, sample.class_name, split, sample.sha256, group, pixels)


def _start(root: Path) -> str:
    """Return how the names of files below a folder begin."""
    return "" if root == Path() else f"{root}/"


def _write(folder: Path, rows: Iterable[_Row]) -> None:
    write_checked_rows(folder / IMAGES, _HEADER, map(astuple, rows))


def _read(folder: Path) -> list[_Row]:
    cells, damaged = read_checked_rows(folder / IMAGES, _HEADER)
    if damaged:
        raise _damaged(folder, f"line {damaged[0]}")
    return list(starmap(_Row, cells))


def _frozen(rows: Iterable[_Row]) -> str:
    """Return a digest of the validation and test images, which stay as they were drawn."""
    return _digest({(row.split, row.sha256) for row in rows if row.split in ("val", "test")})


def _digest(unseen: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256(repr(sorted(unseen)).encode()).hexdigest()


def _damaged(folder: Path, place: str) -> UserError:
    return UserError(
        f"{folder / IMAGES} is damaged ({place}): bring it back from a copy, or move {folder} away to have a new split "
        "drawn; what was tested on the old one does not compare with it."
    )
