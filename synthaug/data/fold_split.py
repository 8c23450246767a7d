"""All images of a dataset dealt into folds, each of which is the test set once: recorded, and kept from then on.

    <folder>/folds<K>.json     the rule
    <folder>/folds<K>.csv      the fold of every image

An image is identified by the hash of its file. Unlike with one split, no image may join later: it would be in no fold.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from synthaug import files, locks
from synthaug.checked_rows import read_checked_rows, write_checked_rows
from synthaug.data.fingerprints import FingerprintReader, fingerprint_files
from synthaug.data.folders import Hash
from synthaug.data.layouts import existing_folders
from synthaug.data.samples import RealImages, Samples, scan
from synthaug.data.split_rule import Fold, Rule, deal, draw
from synthaug.data.splitting import (
    LEFT_OUT,
    Divided,
    MembersOfGroups,
    groups_of_copies,
    read_fingerprints,
    without_conflicts,
)
from synthaug.errors import UserError
from synthaug.files import read_json, remove_unfinished, write_json
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

FORMAT = 1
DEFAULT_RULE = Rule(0.15, 0.15)  # of a dataset that has none
_HEADER = ("path", "class", "fold", "sha256", "group")
_DEALT = "folds_of_images"  # key of the digest of what never changes
Refuse = Callable[[Mapping[Path, str]], None]


@dataclass(frozen=True)
class _Row:
    """One image; `path` is relative to the dataset's root."""

    path: str
    class_name: str
    fold: str
    sha256: str
    group: str


@dataclass(frozen=True)
class _Request:
    """Images that are to be dealt, and how.

    Attributes:
        root: of the dataset.
        real: all of its images, as those for training.
        settings: of the rule, as they are recorded.
        file: that lists the fold of every image.
        count: of folds.
        refuse: see `divide_by_folds`.
        drop_conflicts: see there.
        read: see there.
    """

    root: Path
    real: RealImages
    settings: Mapping[str, Any]
    file: Path
    count: int
    refuse: Refuse
    drop_conflicts: bool
    read: FingerprintReader

    @property
    def rule(self) -> Path:
        """The file that holds the settings."""
        return self.file.with_suffix(".json")


def divide_by_folds(
    root: Path,
    split_folders: Mapping[str, str],
    rule: Rule | None,
    folder: Path,
    fold: Fold,
    refuse: Refuse,
    sha256: Hash = files.sha256,
    drop_conflicts: bool = False,
    read: FingerprintReader = fingerprint_files,
) -> Divided:
    """List a dataset with the images of one fold as its test images.

    The images of all folders are dealt. Validation images are drawn from those of the other folds: the rule's share of
    all images, or, where they have a folder, as large a share of what is not for the test as that has now.

    Args:
        root: `<root>/<split>/<class>/`, or `<root>/<class>/`.
        split_folders: split → folder name below `root`.
        rule: of the dataset's own split; its seed deals.
        folder: where the folds are recorded.
        fold: which one, of how many.
        refuse: called with file → reason for files that are not whole images; raises where they may not be left out.
        sha256: of a file.
        drop_conflicts: whether images whose pixels are in more than one class are left out instead of refused.
        read: computes fingerprints, of which it may store the pixels.

    Raises:
        UserError: the folder cannot be used or dealt, or is not the one that was dealt before.
    """
    real = scan(root, split_folders, can_split=True, sha256=sha256)
    images = Samples.joined((real.train, real.val, real.test)).arranged(lambda sample: (sample.label, sample.file))
    pooled = RealImages(real.classes, images, [], [])
    drawn = rule or DEFAULT_RULE
    has_val = "val" in existing_folders(root, split_folders)
    settings = {"seed": drawn.seed, "near_duplicates": drawn.near_duplicates, "val": "folder" if has_val else drawn.val}
    folder.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(folder / ".lock", f"splits the images of {root}"):
        remove_unfinished(folder)
        file = folder / f"folds{fold.count}.csv"
        request = _Request(root, pooled, settings, file, fold.count, refuse, drop_conflicts, read)
        rows, bad, conflicts = _read_dealt(request) if file.is_file() else _deal_first(request)
    by_hash = {row.sha256: row for row in rows if row.fold != LEFT_OUT}
    usable = images.where(lambda sample: sample.sha256 in by_hash)
    fold_of = {sample.path: int(by_hash[sample.sha256].fold) for sample in usable}
    rest = usable.where(lambda sample: fold_of[sample.path] != fold.number)
    share = len(real.val) / (len(real.train) + len(real.val)) * len(rest) if has_val else _number(drawn.val, usable)
    chosen = _draw_validation(rest, pooled, by_hash, max(round(share), len(real.classes)), drawn, fold)
    val = rest.where(lambda sample: (sample.class_name, by_hash[sample.sha256].group) in chosen)
    train = rest.where(lambda sample: (sample.class_name, by_hash[sample.sha256].group) not in chosen)
    test = usable.where(lambda sample: fold_of[sample.path] == fold.number)
    return Divided(RealImages(real.classes, train, val, test), bad, [], conflicts)


def _number(size: float, samples: Samples) -> float:
    return size * len(samples) if size < 1 else size


def _draw_validation(
    rest: Samples, real: RealImages, by_hash: Mapping[str, _Row], images: int, rule: Rule, fold: Fold
) -> set[tuple[str, str]]:
    """Return (class, group) of the validation images of a fold, which are others in each fold."""
    names = b"".join(bytes.fromhex(by_hash[sample.sha256].group) for sample in rest)
    groups = MembersOfGroups(rest, real.classes, np.frombuffer(names, dtype=np.uint8).reshape(-1, 32))
    return set(draw(groups, Rule(images, images, rule.seed), ["val"], salt=f"\0fold {fold.number} of {fold.count}"))


Dealt = tuple[list[_Row], dict[Path, str], list[Path]]  # rows, files that are not images, files in two classes


def _deal_first(request: _Request) -> Dealt:
    """Deal the images and record their folds."""
    real, settings, file, rule = request.real, request.settings, request.file, request.rule
    prints, bad = read_fingerprints(real.train, request.refuse, request.read)
    usable, conflicts = without_conflicts(real, real.train, prints, request.drop_conflicts)
    group_of = groups_of_copies(usable, real.classes, prints, settings["near_duplicates"])
    dealt = deal(MembersOfGroups(usable, real.classes, group_of), request.count, settings["seed"])
    names = {sample.file: group.tobytes().hex() for sample, group in zip(usable, group_of, strict=True)}
    rows = []
    for sample in real.train:
        group = names.get(sample.file, "")
        place = str(dealt[sample.class_name, group]) if group else LEFT_OUT
        path = Path(os.path.relpath(sample.path, request.root)).as_posix()
        rows.append(_Row(path, sample.class_name, place, sample.sha256, group))
    digest = _digest(rows)
    if rule.is_file() and read_json(rule).get(_DEALT) not in (None, digest):
        raise UserError(
            f"{file} is gone, and the images have changed since they were dealt: bring it back from a copy, or move "
            f"{rule} away to have them dealt anew; what was tested on the old folds does not compare with it."
        )
    write_json(rule, {"format": FORMAT, "folds": request.count, **settings, _DEALT: digest})
    write_checked_rows(file, _HEADER, map(astuple, rows))
    sizes = Counter(row.fold for row in rows)
    listed = ", ".join(str(sizes[str(number)]) for number in range(request.count))
    log.warning("%s: its images were dealt into folds for good: %s (see %s)", request.root, listed, file)
    return rows, bad, conflicts


def _read_dealt(request: _Request) -> Dealt:
    """Return the folds as they were recorded; refuse images and settings that have changed since."""
    real, file, rule = request.real, request.file, request.rule
    cells, damaged = read_checked_rows(file, _HEADER)
    rows = list(starmap(_Row, cells)) if not damaged else []
    recorded = read_json(rule) if rule.is_file() else {}
    if damaged or recorded.get(_DEALT) != _digest(rows):
        place = f"line {damaged[0]}" if damaged else "images are missing" if recorded else f"{rule.name} is gone"
        raise UserError(
            f"{file} is damaged ({place}): bring it back from a copy, or move it and {rule} away to have the images "
            "dealt anew; what was tested on the old folds does not compare with it."
        )
    lines = [
        f"dataset.split.{key}: {recorded.get(key)} there, {value} now"
        for key, value in request.settings.items()
        if recorded.get(key) != value
    ]
    if lines:
        raise UserError(
            f"{file} holds folds that were dealt by another rule:\n{bullets(lines)}\nSet the values back, or give the "
            "new folds a name of their own with dataset.name=<name>."
        )
    _require_same_images(request, rows)
    names = {row.sha256 for row in rows if row.fold == LEFT_OUT}
    left_out = [sample for sample in real.train if sample.sha256 in names]
    prints, bad = read_fingerprints(left_out, request.refuse, request.read)
    conflicts = without_conflicts(real, left_out, prints, request.drop_conflicts)[1]
    return rows, bad, conflicts


def _require_same_images(request: _Request, rows: Iterable[_Row]) -> None:
    recorded = {(row.class_name, row.sha256): row for row in rows}
    current = {(sample.class_name, sample.sha256): sample for sample in request.real.train}
    gone = [f"gone or changed: {request.root / row.path}" for key, row in recorded.items() if key not in current]
    new = [f"new: {sample.path}" for key, sample in current.items() if key not in recorded]
    if gone or new:
        what = plural(len(gone) + len(new), "image is not as it was", "images are not as they were")
        raise UserError(
            f"{what} when all were dealt into folds:\n{bullets([*gone, *new])}\nRestore the folder, give this dataset "
            f"a name of its own with dataset.name=<name>, or move {request.file} and {request.rule.name} away to "
            "have the images dealt anew; what was tested on the old folds does not compare with it."
        )


def _digest(rows: Iterable[_Row]) -> str:
    """Return a digest of the fold of every image."""
    return hashlib.sha256(repr(sorted({(row.fold, row.sha256) for row in rows})).encode()).hexdigest()
