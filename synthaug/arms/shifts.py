"""Further test sets: other real images, the test images corrupted, synthetic images that no arm trains on.

A choice of the group `shift` names one of the classes below. It says which images a set has and what is done to them;
who runs and writes down what, `shifted` and `evaluation` know. Nothing here imports torch or opens an image.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from synthaug import files
from synthaug.data.samples import REAL, SYNTHETIC, RealImages, Sample, class_files, class_folders, digest, per_class
from synthaug.errors import UserError
from synthaug.messages import bullets, plural

TEST = "test"  # what a set of changed test images is paired with


@dataclass(frozen=True)
class Corruption:
    """What is done to an image before a network sees it.

    Attributes:
        transform: dotted path of what makes the transform, a class of `torchvision.transforms.v2` for instance.
        arguments: what it is called with.
        pixels: what the transform takes, "uint8" (0 to 255) or "float32" (0 to 1).
    """

    transform: str
    arguments: Mapping[str, Any]
    pixels: str = "uint8"


@dataclass(frozen=True)
class ShiftedSet:
    """One further test set, as it was listed.

    Attributes:
        name: of its folder in a run's `shifts/`.
        samples: its images; with a corruption, those that it is applied to.
        settings: what was asked for, as plain data. Another value is another test set.
        origin: `REAL` or `SYNTHETIC`.
        corruption: what is done to each image; None: nothing.
        paired_with: "test" where image i is the test's image i, changed; None where the images are others.
    """

    name: str
    samples: list[Sample]
    settings: dict[str, Any]
    origin: str = REAL
    corruption: Corruption | None = None
    paired_with: str | None = None

    @property
    def digest(self) -> str:
        """A hash of images, classes and settings: two runs with the same one had the same test set."""
        what = json.dumps(self.settings, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(f"{what}\n{digest(self.samples)}".encode()).hexdigest()


HeldOut = Callable[[int], list[Sample]]  # images per class → synthetic images that no arm trains on


class Shift(Protocol):
    """What a node of the group `shift` names."""

    def names(self, name: str) -> list[str]:
        """Names of its test sets, given that of the node."""
        ...

    def sets(self, name: str, real: RealImages, held_out: HeldOut) -> list[ShiftedSet]:
        """Its test sets; opens no image.

        Args:
            name: of the node.
            real: the dataset.
            held_out: gives synthetic images that no arm trains on.

        Raises:
            UserError: whatever stands in the way.
        """
        ...


class Folder:
    """Other images of the same classes, `<root>/<class>/<image>`: another camera, another season, another place.

    The folder may have some of the dataset's classes only; accuracy is then that on those, while the network still
    chooses among all. A folder that is no class of the dataset is refused.

    Args:
        root: the folder.
        origin: "real", or "synthetic" for images that a generator made.
    """

    def __init__(self, root: str, origin: str = REAL) -> None:
        self.root = Path(root).expanduser()
        self.origin = origin

    def names(self, name: str) -> list[str]:
        return [name]

    def sets(self, name: str, real: RealImages, held_out: HeldOut) -> list[ShiftedSet]:
        problems = self._problems(real.classes)
        if problems:
            raise UserError(f"shift.{name}.root={self.root} is no test set of this dataset:\n{bullets(problems)}")
        there = class_folders(self.root)
        samples = [
            Sample(path, label, class_name, self.origin, files.sha256(path))
            for label, class_name in enumerate(real.classes)
            if class_name in there
            for path in class_files(self.root, class_name)
        ]
        settings = {"kind": "folder", "origin": self.origin, "images": digest(samples)}
        return [ShiftedSet(name, samples, settings, self.origin)]

    def _problems(self, classes: Sequence[str]) -> list[str]:
        if self.origin not in (REAL, SYNTHETIC):
            return [f"its origin={self.origin}: must be {REAL} or {SYNTHETIC}"]
        if not self.root.is_dir():
            return [f"there is no folder {self.root.absolute()}: give one that exists"]
        there = class_folders(self.root)
        foreign = [name for name in there if name not in classes]
        if not set(there) & set(classes):
            wanted = ", ".join(classes[:5]) + (" …" if len(classes) > 5 else "")
            return [f"it has no folder that is called like a class ({wanted})"]
        found = [f"{name}/: the dataset has no such class; rename or remove it" for name in foreign]
        empty = [name for name in there if name in classes and not class_files(self.root, name)]
        return found + [f"{name}/: holds no image; add some or remove it" for name in empty]


class Corruptions:
    """The dataset's own test images, changed by a transform of a library at one or more severities.

    After Hendrycks, D., Dietterich, T. (2019). Benchmarking neural network robustness to common corruptions and
    perturbations. ICLR. As there, the changed image is the square that the network sees, so that a blur of three
    pixels is one of three pixels whatever the photograph's size. Each set's images are paired with the test's.

    Args:
        transform: dotted path of what makes the transform, called with the arguments of a severity. The transform is
            called with one image as a tensor (3, S, S) and returns one (3, height, width), which is scaled back to S.
        severities: severity → the transform's arguments. The sets are called <name>-<severity>.
        pixels: what the transform takes: "uint8" for 0 to 255, "float32" for 0 to 1.
    """

    def __init__(self, transform: str, severities: Mapping[str, Mapping[str, Any]], pixels: str = "uint8") -> None:
        self.transform = transform
        self.severities = {str(severity): dict(arguments or {}) for severity, arguments in severities.items()}
        self.pixels = pixels

    def names(self, name: str) -> list[str]:
        return [f"{name}-{severity}" for severity in self.severities]

    def sets(self, name: str, real: RealImages, held_out: HeldOut) -> list[ShiftedSet]:
        if self.pixels not in ("uint8", "float32"):
            raise UserError(f"shift.{name}.pixels={self.pixels}: must be uint8 or float32.")
        made = []
        for own, arguments in zip(self.names(name), self.severities.values(), strict=True):
            corruption = Corruption(self.transform, arguments, self.pixels)
            settings = {"kind": "corruption", **asdict(corruption)}
            made.append(ShiftedSet(own, real.test, settings, REAL, corruption, TEST))
        return made


class Synthetic:
    """Images of the arms' own generator that no arm trains on: how sure is a classifier of what is not real?

    They are made with seeds of their own and kept in `<output_dir>/held_out/`.

    Args:
        per_class: images of each class.
    """

    def __init__(self, per_class: int = 100) -> None:
        self.per_class = per_class

    def names(self, name: str) -> list[str]:
        return [name]

    def sets(self, name: str, real: RealImages, held_out: HeldOut) -> list[ShiftedSet]:
        if self.per_class < 1:
            raise UserError(f"shift.{name}.per_class={self.per_class}: must be at least 1.")
        return [
            ShiftedSet(name, held_out(self.per_class), {"kind": "synthetic", "per_class": self.per_class}, SYNTHETIC)
        ]


def require_unseen(
    shifted: ShiftedSet, real: RealImages, trained: Mapping[str, str], content: Callable[[str], str]
) -> None:
    """Refuse a set that asks what training told, or that has an image in two classes.

    Args:
        shifted: the set. Changed test images are the test's, which was asked already.
        real: the dataset, whose training images count whether this arm kept them or not.
        trained: file hash → path of all that the run was trained on, its synthetic images too.
        content: file hash → hash of the decoded pixels, so that a re-saved copy counts as the same.

    Raises:
        UserError: with the pairs.
    """
    if shifted.paired_with == TEST:
        return
    known = {
        content(sample.sha256): f"{split}: {sample.path}"
        for split, samples in real.splits.items()
        for sample in samples
        if split != TEST
    }
    seen: dict[str, Sample] = {}
    shared, classes = [], []
    for sample in shifted.samples:
        where = known.get(content(sample.sha256)) or trained.get(sample.sha256)
        shared += [f"{sample.path}  =  {where}"] if where else []
        first = seen.setdefault(content(sample.sha256), sample)
        if first.class_name != sample.class_name:
            classes.append(f"{first.class_name}: {first.path}  =  {sample.class_name}: {sample.path}")
    problems = [
        f"shift.{shifted.name}: {plural(len(pairs), one, more)}:\n{bullets(pairs)}"
        for pairs, one, more in (
            (
                shared,
                "image was trained on, or chose the checkpoint",
                "images were trained on, or chose the checkpoint",
            ),
            (classes, "image is in more than one class", "images are in more than one class"),
        )
        if pairs
    ]
    if problems:
        raise UserError("\n".join([*problems, "Remove them from the test set and run the same command again."]))


def absent_classes(shifted: ShiftedSet, classes: Sequence[str]) -> list[str]:
    """Classes of the dataset of which a set has no image."""
    return [name for name, own in per_class(shifted.samples, classes).items() if not own]
