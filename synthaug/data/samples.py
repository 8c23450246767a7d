"""Image folders listed in a fixed order, with label, origin and content hash of every image."""

import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug import files, progress_bar
from synthaug.data import checksums
from synthaug.data.folders import Hash, class_folders, file_hash, files_of_classes, name_problems
from synthaug.data.keyed_rows import repeats
from synthaug.data.layouts import (
    class_hint,
    class_problems,
    existing_folders,
    layout_problems,
    more_problems,
    twins,
    unknown_classes,
)
from synthaug.data.sample_list import REAL as REAL
from synthaug.data.sample_list import SYNTHETIC as SYNTHETIC
from synthaug.data.sample_list import Sample as Sample
from synthaug.data.sample_list import Samples as Samples
from synthaug.errors import UserError
from synthaug.messages import bullets, plural
from synthaug.progress_bar import Bar

log = logging.getLogger(__name__)

# Returns the bytes of the hashes of the pixels of images, (N, 32), as `PixelStore.contents`: a re-saved copy has the
# same.
Contents = Callable[[Samples], NDArray[np.uint8]]

SPLITS = ("train", "val", "test")
MORE = "more"


@dataclass(frozen=True)
class RealImages:
    """A dataset's classes and its three frozen lists of real images.

    `more` holds further real images, if there are any: some arms add them to the real training set, by whose size arms
    are measured.
    """

    classes: list[str]
    train: Sequence[Sample]
    val: Sequence[Sample]
    test: Sequence[Sample]
    more: Sequence[Sample] = ()

    @property
    def splits(self) -> dict[str, Sequence[Sample]]:
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
        if not left_out:
            return self
        splits = self.splits.items()
        kept = {name: Samples.of(samples).where(lambda sample: sample.path not in left_out) for name, samples in splits}
        return RealImages(self.classes, **kept)


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
        problems = class_problems(folders, classes)
        if can_split and not classes and folders["train"] != root:
            problems.append(class_hint("train", used["train"]))
    if problems:
        raise UserError("\n  - ".join([f"The dataset folder {root} cannot be used:", *problems]))
    for names in twins(classes):
        log.warning("%s: classes that differ in case or spaces alone: %s", root, ", ".join(map(repr, names)))
    listed = {split: _listed(folder, classes, sha256) for split, folder in folders.items()}
    _verify(root, chain(*listed.values()))
    return RealImages(classes, **{split: listed.get(split, Samples()) for split in SPLITS})


def _listed(folder: Path, classes: Sequence[str], sha256: Hash) -> Samples:
    """List the images of a folder of classes; the paths of one class are held at a time.

    Args:
        folder: of a split.
        classes: names of its folders.
        sha256: of a file.
    """
    with progress_bar.bar("listing", len(classes), unit="class", delay=2) as bar:
        return Samples(_listed_one_by_one(folder, classes, sha256, bar))


def _listed_one_by_one(folder: Path, classes: Sequence[str], sha256: Hash, bar: Bar) -> Iterator[Sample]:
    for label, (name, paths) in enumerate(files_of_classes(folder, classes)):
        for path in paths:
            yield Sample(path, label, name, REAL, file_hash(path, sha256))
        bar.update()


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
        listed = (path for _, paths in files_of_classes(folder, real.classes) for path in paths)
        problems = [*unknown_classes(folder, real.classes, "dataset.train"), *name_problems(folder, listed)]
    if problems:
        raise UserError("\n  - ".join([f"dataset.more={name} cannot be used:", *problems]))
    more = _listed(folder, real.classes, sha256)
    _verify(root, more)
    return replace(real, more=more)


def _verify(root: Path, samples: Iterable[Sample]) -> None:
    checksums.verify(root, ((sample.file, sample.sha256) for sample in samples))


def require_distinct(real: RealImages, contents: Contents) -> None:
    """Check that no image is in two splits or in two classes, by content.

    Args:
        real: the dataset.
        contents: of its images.

    Raises:
        UserError: with the pairs.
    """
    lists = [Samples.of(samples) for samples in real.splits.values()]
    names, split_of = list(real.splits), np.repeat(np.arange(len(lists)), [len(samples) for samples in lists])
    everything = Samples.joined(lists)
    splits, classes = [], []
    for first, again in repeats(contents(everything)):
        old, new = everything[first], everything[again]
        if split_of[first] != split_of[again]:
            splits.append(f"{names[split_of[first]]}: {old.path}  =  {names[split_of[again]]}: {new.path}")
        if new.class_name != old.class_name:
            classes.append(f"{old.class_name}: {old.path}  =  {new.class_name}: {new.path}")
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


def label_conflicts(samples: Iterable[Sample], contents: Contents) -> list[Sample]:
    """Return the images whose pixels are in more than one class.

    Args:
        samples: of all splits.
        contents: of these images.
    """
    listed = Samples.of(samples)
    pairs = list(repeats(contents(listed)))
    classes: dict[int, set[str]] = {}
    for first, again in pairs:
        classes.setdefault(first, {listed[first].class_name}).add(listed[again].class_name)
    conflicts = {first for first, names in classes.items() if len(names) > 1}
    members = {again for first, again in pairs if first in conflicts}
    return [listed[number] for number in sorted(conflicts | members)]


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


def per_class(samples: Iterable[Sample], classes: Sequence[str]) -> dict[str, Samples]:
    """Group samples by class; every class has an entry.

    Args:
        samples: in the order that each group keeps.
        classes: names.
    """
    listed = Samples.of(samples)
    rows = listed.rows_of_classes
    return {name: listed.take(rows.get(name, [])) for name in classes}


def repeated(samples: Iterable[Sample], contents: Contents) -> list[str]:
    """Return a line for each sample that repeats an earlier one.

    Args:
        samples: of one split.
        contents: of these images.
    """
    listed = Samples.of(samples)
    pairs = ((listed[first].path, listed[again].path) for first, again in repeats(contents(listed)))
    return [f"{first}  =  {path}" for first, path in pairs if path != first]


def digest(samples: Iterable[Sample]) -> str:
    """Compute a SHA-256 over (class, file hash) that depends neither on file names nor on order."""
    listed = Samples.of(samples)
    lines = (
        f"{name}\0{key.hex()}"
        for name, rows in sorted(listed.rows_of_classes.items())
        for key in sorted(map(bytes, listed.take(rows).digests))
    )
    hashed = hashlib.sha256()
    for number, line in enumerate(lines):
        hashed.update((b"\n" if number else b"") + line.encode())
    return hashed.hexdigest()
