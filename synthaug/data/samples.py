"""Image folders listed in a fixed order, with label, origin and content hash of every image."""

import functools
import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from synthaug import files
from synthaug.data import checksums
from synthaug.data.folders import Hash, class_files, class_folders, file_hash, name_problems
from synthaug.data.layouts import (
    class_hint,
    class_problems,
    existing_folders,
    layout_problems,
    more_problems,
    twins,
    unknown_classes,
)
from synthaug.errors import UserError
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

REAL, SYNTHETIC = "real", "synthetic"
SPLITS = ("train", "val", "test")
MORE = "more"


@dataclass(frozen=True, slots=True, init=False)
class Sample:
    """One image file, in few bytes: there may be millions.

    Attributes:
        folder: where it is.
        name: of the file.
        label: index into the dataset's classes.
        class_name: name of that class.
        origin: `REAL` or `SYNTHETIC`.
        sha256: hex hash of the file's bytes; identifies an image, wherever it is.
        index: place in the order in which a generator made it; None for images found in a folder.
        payload: hex hash of the file's bytes without its metadata, where these say how it was made.
    """

    folder: str
    name: str
    label: int
    class_name: str
    origin: str
    sha256: str
    index: int | None = None
    payload: str = ""

    def __init__(
        self,
        path: Path,
        label: int,
        class_name: str,
        origin: str,
        sha256: str,
        index: int | None = None,
        payload: str = "",
    ) -> None:
        folder, name = os.path.split(path)
        values = (sys.intern(folder), name, label, class_name, origin, sha256, index, payload)
        for field_name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, field_name, value)

    @property
    def path(self) -> Path:
        """Where it is; a path takes five times as much memory as its text, so it is made when it is asked for."""
        return Path(self.folder, self.name)

    @property
    def random_key(self) -> str:
        """What its random numbers in training depend on: the image, and not what is written about it."""
        return self.payload or self.sha256


@dataclass(frozen=True)
class RealImages:
    """A dataset's classes and its three frozen lists of real images.

    `more` holds further real images, if there are any: some arms add them to the real training set, by whose size arms
    are measured.
    """

    classes: list[str]
    train: list[Sample]
    val: list[Sample]
    test: list[Sample]
    more: list[Sample] = field(default_factory=list)

    @property
    def splits(self) -> dict[str, list[Sample]]:
        """Split name → samples; `MORE` only where there are some."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {**splits, MORE: self.more} if self.more else splits

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """Split name → digest of its samples."""
        return {split: digest(samples) for split, samples in self.splits.items()}

    def without(self, paths: Iterable[Path]) -> "RealImages":
        """Return the same lists without some files."""
        left_out = set(paths)
        splits = {name: [s for s in samples if s.path not in left_out] for name, samples in self.splits.items()}
        return RealImages(self.classes, **splits)


def scan(
    root: Path, split_folders: Mapping[str, str], can_split: bool = False, sha256: Hash = files.sha256
) -> RealImages:
    """List `<root>/<split>/<class>/<file>`, sorted by name; classes are the folders of `train`.

    Args:
        root: the dataset's folder.
        split_folders: split ("train", "val", "test") → folder name below `root`.
        can_split: whether splits may lack a folder: they have no images then, and if all do, the classes' folders are
            in `root` itself and all images in "train".
        sha256: of a file.

    Raises:
        UserError: all that is wrong with the folder, or files that are not as its manifest says.
    """
    problems = layout_problems(root, split_folders, can_split)
    if not problems:
        used = existing_folders(root, split_folders) if can_split else split_folders
        folders = {split: root / name for split, name in used.items()}
        classes = class_folders(folders["train"])
        listed = {split: [class_files(folder, name) for name in classes] for split, folder in folders.items()}
        problems = class_problems(folders, classes, listed)
        if can_split and not classes and folders["train"] != root:
            problems.append(class_hint("train", used["train"]))
    if problems:
        raise UserError("\n  - ".join([f"The dataset folder {root} cannot be used:", *problems]))
    for names in twins(classes):
        log.warning("%s: classes that differ in case or spaces alone: %s", root, ", ".join(map(repr, names)))
    samples: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    for split, by_class in listed.items():
        samples[split] = [
            Sample(path, label, classes[label], REAL, file_hash(path, sha256))
            for label, paths in enumerate(by_class)
            for path in paths
        ]
    _verify(root, chain(*samples.values()))
    return RealImages(classes, **samples)


def scan_more(root: Path, name: str, real: RealImages, sha256: Hash = files.sha256) -> RealImages:
    """Return the same dataset with further real images, `<root>/<name>/<class>/<file>`.

    Args:
        root: the dataset's folder.
        name: of the folder below it, or a path.
        real: from `scan`.
        sha256: of a file.

    Raises:
        UserError: all that is wrong with the folder.
    """
    folder = root / name
    problems = more_problems(root, name)
    if not problems:
        listed = [class_files(folder, class_name) for class_name in real.classes]
        problems = [*unknown_classes(folder, real.classes, "dataset.train"), *name_problems(folder, chain(*listed))]
    if problems:
        raise UserError("\n  - ".join([f"dataset.more={name} cannot be used:", *problems]))
    more = [
        Sample(path, label, real.classes[label], REAL, file_hash(path, sha256))
        for label, paths in enumerate(listed)
        for path in paths
    ]
    _verify(root, more)
    return replace(real, more=more)


def _verify(root: Path, samples: Iterable[Sample]) -> None:
    checksums.verify(root, ((sample.path, sample.sha256) for sample in samples))


def require_distinct(real: RealImages, content: Callable[[str], str]) -> None:
    """Check that no image is in two splits or in two classes, by content.

    Args:
        real: the dataset.
        content: file hash → hash of its decoded pixels, so that a re-saved copy counts as the same.

    Raises:
        UserError: with the pairs.
    """
    seen: dict[str, tuple[str, Sample]] = {}
    splits, classes = [], []
    for split, samples in real.splits.items():
        for sample in samples:
            first_split, first = seen.setdefault(content(sample.sha256), (split, sample))
            if first_split != split:
                splits.append(f"{first_split}: {first.path}  =  {split}: {sample.path}")
            if first.class_name != sample.class_name:
                classes.append(f"{first.class_name}: {first.path}  =  {sample.class_name}: {sample.path}")
    problems = [
        f"{plural(len(pairs), 'image is', 'images are')} in more than one {what}:\n{bullets(pairs)}"
        for pairs, what in (
            (splits, "split, so that the test is not independent of training"),
            (classes, "class, so one of the labels is wrong"),
        )
        if pairs
    ]
    if problems:
        raise UserError("\n".join([*problems, _remedy(classes)]))


def _remedy(conflicts: Sequence[str]) -> str:
    drop = ", or leave all images with two labels out with dataset.on_label_conflict=drop" if conflicts else ""
    return f"Remove one of each pair{drop}; then run the same command again."


def label_conflicts(samples: Iterable[Sample], content: Callable[[str], str]) -> list[Sample]:
    """Return the images whose pixels are in more than one class.

    Args:
        samples: of all splits.
        content: file hash → hash of its decoded pixels.
    """
    samples = list(samples)
    classes: dict[str, set[str]] = {}
    for sample in samples:
        classes.setdefault(content(sample.sha256), set()).add(sample.class_name)
    return [sample for sample in samples if len(classes[content(sample.sha256)]) > 1]


def require_every_class(real: RealImages) -> None:
    """Raise UserError if a class has lost all images of a split, once bad files are left out."""
    problems = [
        f"{split}: no whole image of {name} is left"
        for split, samples in real.splits.items()
        if split != MORE  # may lack classes
        for name, class_samples in per_class(samples, real.classes).items()
        if not class_samples
    ]
    if problems:
        raise UserError(f"Leaving out the bad files empties classes:\n{bullets(problems)}\nAdd images of them.")


def per_class(samples: Iterable[Sample], classes: Sequence[str]) -> dict[str, list[Sample]]:
    """Group samples by class; every class has an entry.

    Args:
        samples: in the order that each group keeps.
        classes: names.
    """
    grouped: dict[str, list[Sample]] = {name: [] for name in classes}
    for sample in samples:
        grouped[sample.class_name].append(sample)
    return grouped


def repeated(samples: Iterable[Sample], content: Callable[[str], str]) -> list[str]:
    """Return a line for each sample that repeats an earlier one.

    Args:
        samples: of one split.
        content: file hash → hash of its decoded pixels.
    """
    seen: dict[str, Path] = {}
    pairs = [(seen.setdefault(content(sample.sha256), sample.path), sample.path) for sample in samples]
    return [f"{first}  =  {path}" for first, path in pairs if path != first]


def digest(samples: Iterable[Sample]) -> str:
    """Compute a SHA-256 over (class, file hash) that depends neither on file names nor on order."""
    lines = sorted(f"{sample.class_name}\0{sample.sha256}" for sample in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
