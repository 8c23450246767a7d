"""Shift sets: other real images, the test images corrupted, synthetic images that no arm trains on.

A choice of the group `shift` names one of the classes below, which lists the images of its sets and says what is done
to them; `shift_sets` and `evaluation` run them. Nothing here imports torch or opens an image.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from synthaug import files
from synthaug.data.folders import Hash, class_files, class_folders, file_hash, name_problems
from synthaug.data.samples import REAL, SYNTHETIC, RealImages, Sample, digest, per_class
from synthaug.errors import UserError
from synthaug.messages import bullets, plural

TEST = "test"  # a set of corrupted test images is paired with it


@dataclass(frozen=True)
class Corruption:
    """What is done to an image before a network sees it.

    Attributes:
        transform: dotted path of a factory of the transform, a class of `torchvision.transforms.v2` for instance.
        arguments: of the factory.
        pixels: what the transform takes, "uint8" (0 to 255) or "float32" (0 to 1).
    """

    transform: str
    arguments: Mapping[str, Any]
    pixels: str = "uint8"


@dataclass(frozen=True)
class ShiftSet:
    """A test set beside the dataset's own.

    Attributes:
        name: of its folder in a run's `shifts/`.
        samples: its images; with a corruption, those that it is applied to.
        settings: plain data that defines the set: another value is another test set.
        origin: `REAL` or `SYNTHETIC`.
        corruption: what is done to each image; None: nothing.
        paired_with: "test" where image i is the test's image i, corrupted; None for other images.
        clusters: of its images, once they are decoded: near duplicates have the same number.
        label_conflicts: number of images that were left out since they are in more than one class.
    """

    name: str
    samples: Sequence[Sample]
    settings: dict[str, Any]
    origin: str = REAL
    corruption: Corruption | None = None
    paired_with: str | None = None
    clusters: Sequence[int] = ()
    label_conflicts: int = 0

    @property
    def digest(self) -> str:
        """A hash of images, classes and settings: two runs with the same one had the same shift set."""
        settings = json.dumps(self.settings, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(f"{settings}\n{digest(self.samples)}".encode()).hexdigest()


HeldOut = Callable[[int], list[Sample]]  # images per class → synthetic images that no arm trains on


class Shift(Protocol):
    """What a node of the group `shift` names."""

    def names(self, name: str) -> list[str]:
        """Return the names of its sets, from the name of the node."""
        ...

    def sets(self, name: str, real: RealImages, held_out: HeldOut, sha256: Hash = files.sha256) -> list[ShiftSet]:
        """List its sets without opening an image.

        Args:
            name: of the node.
            real: the dataset.
            held_out: gives synthetic images that no arm trains on.
            sha256: of a file.

        Raises:
            UserError: the sets cannot be had.
        """
        ...


class Folder:
    """Other images of the same classes, `<root>/<class>/<image>`: another camera, another season, another place.

    The folder may have some of the dataset's classes only; accuracy is then that on those, while the network still
    chooses among all. A folder that is not a class of the dataset is refused.

    Args:
        root: the folder.
        origin: "real", or "synthetic" for images that a generator made.
    """

    def __init__(self, root: str, origin: str = REAL) -> None:
        self.root = Path(root).expanduser()
        self.origin = origin

    def names(self, name: str) -> list[str]:
        return [name]

    def sets(self, name: str, real: RealImages, held_out: HeldOut, sha256: Hash = files.sha256) -> list[ShiftSet]:
        problems = self._problems(real.classes)
        if problems:
            raise UserError(f"shift.{name}.root={self.root} is not a test set of this dataset:\n{bullets(problems)}")
        folders = class_folders(self.root)
        samples = [
            Sample(path, label, class_name, self.origin, file_hash(path, sha256))
            for label, class_name in enumerate(real.classes)
            if class_name in folders
            for path in class_files(self.root, class_name)
        ]
        settings = {"kind": "folder", "origin": self.origin, "images": digest(samples)}
        return [ShiftSet(name, samples, settings, self.origin)]

    def _problems(self, classes: Sequence[str]) -> list[str]:
        if self.origin not in (REAL, SYNTHETIC):
            return [f"its origin={self.origin}: must be {REAL} or {SYNTHETIC}"]
        if not self.root.is_dir():
            return [f"there is no folder {self.root.absolute()}: give one that exists"]
        folders = class_folders(self.root)
        if not set(folders) & set(classes):
            expected = ", ".join(classes[:5]) + (" …" if len(classes) > 5 else "")
            return [f"no folder has the name of a class ({expected})"]
        unknown = [name for name in folders if name not in classes]
        empty = [name for name in folders if name in classes and not class_files(self.root, name)]
        return [
            *(f"{name}/: the dataset has no such class; rename or remove it" for name in unknown),
            *(f"{name}/: holds no image; add some or remove it" for name in empty),
            *name_problems(self.root, (path for name in folders for path in class_files(self.root, name))),
        ]


class Corruptions:
    """The dataset's own test images, changed by a transform of a library at one or more severities.

    After Hendrycks, D., Dietterich, T. (2019). Benchmarking neural network robustness to common corruptions and
    perturbations. ICLR. As there, the changed image is the square that the network sees, so that a blur of three
    pixels is one of three pixels whatever the photograph's size. Each set's images are paired with the test's.

    Args:
        transform: dotted path of a factory of the transform, called with the arguments of a severity. The transform
            is called with one image as a tensor (3, S, S) and returns one (3, height, width), which is scaled to S.
        severities: severity → the factory's arguments. The sets' names are <name>-<severity>.
        pixels: what the transform takes: "uint8" for 0 to 255, "float32" for 0 to 1.
    """

    def __init__(self, transform: str, severities: Mapping[str, Mapping[str, Any]], pixels: str = "uint8") -> None:
        self.transform = transform
        self.severities = {str(severity): dict(arguments or {}) for severity, arguments in severities.items()}
        self.pixels = pixels

    def names(self, name: str) -> list[str]:
        return [f"{name}-{severity}" for severity in self.severities]

    def sets(self, name: str, real: RealImages, held_out: HeldOut, sha256: Hash = files.sha256) -> list[ShiftSet]:
        if self.pixels not in ("uint8", "float32"):
            raise UserError(f"shift.{name}.pixels={self.pixels}: must be uint8 or float32.")
        sets = []
        for set_name, arguments in zip(self.names(name), self.severities.values(), strict=True):
            corruption = Corruption(self.transform, arguments, self.pixels)
            settings = {"kind": "corruption", **asdict(corruption)}
            sets.append(ShiftSet(set_name, real.test, settings, REAL, corruption, TEST))
        return sets


class Synthetic:
    """Images of the arms' own generator that no arm trains on: how sure is a classifier of what is not real?

    They are made with seeds of their own and kept in `<output_dir>/held_out/`. Copies of real images are left out.

    Args:
        per_class: images of each class.
    """

    def __init__(self, per_class: int = 100) -> None:
        self.per_class = per_class

    def names(self, name: str) -> list[str]:
        return [name]

    def sets(self, name: str, real: RealImages, held_out: HeldOut, sha256: Hash = files.sha256) -> list[ShiftSet]:
        if self.per_class < 1:
            raise UserError(f"shift.{name}.per_class={self.per_class}: must be at least 1.")
        settings = {"kind": "synthetic", "per_class": self.per_class}
        return [ShiftSet(name, held_out(self.per_class), settings, SYNTHETIC)]


def require_unseen(
    shift_set: ShiftSet, real: RealImages, trained: Mapping[str, str], content: Callable[[str], str]
) -> None:
    """Check that no image of a set was seen in training, and none is in two classes.

    Args:
        shift_set: the set. Corrupted test images are the test's, which was checked already.
        real: the dataset, whose training images count whether this arm kept them or not.
        trained: file hash → path of all that the run was trained on, its synthetic images too.
        content: file hash → hash of the decoded pixels, so that a re-saved copy counts as the same.

    Raises:
        UserError: with the pairs.
    """
    if shift_set.paired_with == TEST:
        return
    seen = {
        content(sample.sha256): f"{split}: {sample.path}"
        for split, samples in real.splits.items()
        for sample in samples
        if split != TEST
    }
    first_of: dict[str, Sample] = {}
    shared, classes = [], []
    for sample in shift_set.samples:
        twin = seen.get(content(sample.sha256)) or trained.get(sample.sha256)
        shared += [f"{sample.path}  =  {twin}"] if twin else []
        first = first_of.setdefault(content(sample.sha256), sample)
        if first.class_name != sample.class_name:
            classes.append(f"{first.class_name}: {first.path}  =  {sample.class_name}: {sample.path}")
    what = "was trained on, or chose the checkpoint", "were trained on, or chose the checkpoint"
    problems = [
        *_list_pairs(shift_set.name, shared, f"image {what[0]}", f"images {what[1]}"),
        *_list_pairs(shift_set.name, classes, "image is in more than one class", "images are in more than one class"),
    ]
    if problems:
        drop = ", or leave out what is in two classes with dataset.on_label_conflict=drop" if classes else ""
        remedy = f"Remove them from the test set{drop}; then run the same command again."
        raise UserError("\n".join([*problems, remedy]))


def _list_pairs(name: str, pairs: Sequence[str], singular: str, several: str) -> list[str]:
    return [f"shift.{name}: {plural(len(pairs), singular, several)}:\n{bullets(pairs)}"] if pairs else []


def absent_classes(shift_set: ShiftSet, classes: Sequence[str]) -> list[str]:
    """Return the classes of the dataset of which a set has no image.

    Args:
        shift_set: the set.
        classes: of the dataset.
    """
    return [name for name, samples in per_class(shift_set.samples, classes).items() if not samples]
