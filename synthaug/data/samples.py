"""Image folders listed in a fixed order, with label, origin and content hash of every image."""

import functools
import hashlib
import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from synthaug import files
from synthaug.data import checksums
from synthaug.data.folders import Hash, class_files, class_folders, file_hash, is_litter, name_problems
from synthaug.errors import UserError
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

REAL, SYNTHETIC = "real", "synthetic"
SPLITS = ("train", "val", "test")
MORE = "more"

# Usual names of a split's folder, whatever the configuration calls it; one word of the name is enough.
_USUAL = {
    split: re.compile(rf"({names})(set|data|images)?")
    for split, names in (
        ("train", "train|training"),
        ("val", "val|valid|validation|dev"),
        ("test", "tests?|testing|eval|evaluation"),
    )
}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"}
CLASSES_IN_ROOT = "."  # dataset.train, where the folders in the root itself are the classes


@dataclass(frozen=True)
class Sample:
    """One image file.

    Attributes:
        path: where it is.
        label: index into the dataset's classes.
        class_name: name of that class.
        origin: `REAL` or `SYNTHETIC`.
        sha256: hex hash of the file's bytes; identifies an image, wherever it is.
        index: place in the order in which a generator made it; None for images found in a folder.
    """

    path: Path
    label: int
    class_name: str
    origin: str
    sha256: str
    index: int | None = None


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
        names = existing_folders(root, split_folders) if can_split else split_folders
        folders = {split: root / name for split, name in names.items()}
        classes = class_folders(folders["train"])
        listed = {split: [class_files(folder, name) for name in classes] for split, folder in folders.items()}
        problems = _class_problems(folders, classes, listed)
        if can_split and not classes and folders["train"] != root:
            problems.append(_class_hint("train", names["train"]))
    if problems:
        raise UserError("\n  - ".join([f"The dataset folder {root} cannot be used:", *problems]))
    for twins in _twins(classes):
        log.warning("%s: classes that differ in case or spaces alone: %s", root, ", ".join(map(repr, twins)))
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
        problems = [*_unknown_classes(folder, real.classes, "dataset.train"), *name_problems(folder, chain(*listed))]
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


def more_problems(root: Path, name: str) -> list[str]:
    """Return why the folder of further real images cannot be used, without listing its files.

    Args:
        root: the dataset's folder.
        name: of the folder below it, or a path.
    """
    folder = root / name
    if not folder.is_dir():
        return [
            f"there is no folder {folder.absolute()}: give one that exists, with a folder per class, or leave it out"
        ]
    if not class_folders(folder):
        return [f"{folder.absolute()} has no folders of classes"]
    return []


def layout_problems(root: Path, split_folders: Mapping[str, str], can_split: bool = False) -> list[str]:
    """Return why `root` cannot be a dataset, without listing its files.

    Args:
        root: the dataset's folder.
        split_folders: split → folder name below `root`.
        can_split: whether images that are in no split's folder may be drawn for one.
    """
    if root.is_file():
        return [f"{root.absolute()} is a file: give a folder with dataset.root=<folder>"]
    if not root.is_dir():
        return [f"there is no folder {root.absolute()}: give one that exists with dataset.root=<folder>"]
    expected = "/, ".join(split_folders.values())
    if not any(root.iterdir()):
        return [f"it is empty; expected {expected}/ with one folder of images per class in each"]
    misnamed = _misnamed_splits(root, split_folders)
    if can_split:
        problems = [line for lines in misnamed.values() for line in lines] or _unlikely_classes(root, split_folders)
        if problems:
            return problems
        split_folders = existing_folders(root, split_folders)
    hint = "" if can_split else "; or have images drawn for it by 'split: {}' in the dataset's YAML"
    missing = [
        f"it has no folder '{name}/' (key dataset.{split}); expected {expected}/ with one folder of images per class"
        + hint
        for split, name in split_folders.items()
        if not (root / name).is_dir() and not misnamed.get(split)
    ]
    problems = [line for lines in misnamed.values() for line in lines] + missing
    if can_split and problems:
        problems += [_class_hint(split, name) for split, name in split_folders.items() if (root / name).is_dir()]
    by_folder: dict[Path, list[str]] = {}
    for split, name in split_folders.items():
        by_folder.setdefault((root / name).resolve(), []).append(split)
    return problems + [
        f"{' and '.join(f'dataset.{split}' for split in splits)} are the same folder {folder}; "
        "give each split images of its own"
        for folder, splits in by_folder.items()
        if len(splits) > 1
    ]


def _class_hint(split: str, name: str) -> str:
    other = CLASSES_IN_ROOT if split == "train" else "<another name>"
    return f"if '{name}' is a class and not a split, give dataset.{split}={other}"


def existing_folders(root: Path, split_folders: Mapping[str, str]) -> dict[str, str]:
    """Return split → name of its folder, for the folders that exist; if none does, `root` itself is that of "train".

    Args:
        root: the dataset's folder.
        split_folders: split → folder name below `root`.
    """
    names = {split: name for split, name in split_folders.items() if (root / name).is_dir()}
    # With val/ or test/ but without train/, the latter is named all the same, so that its absence is reported.
    return {"train": split_folders["train"], **names} if names else {"train": "."}


def _misnamed_splits(root: Path, split_folders: Mapping[str, str]) -> dict[str, list[str]]:
    """Return split → folders that look like its missing one: images would be drawn for it instead."""
    if split_folders["train"] == CLASSES_IN_ROOT:
        return {}
    missing = [split for split, name in split_folders.items() if not (root / name).is_dir()]
    used = {Path(name).parts[0] for name in split_folders.values()}
    others = [name for name in class_folders(root) if name not in used and class_folders(root / name)]
    return {
        split: [
            f"it has no folder '{split_folders[split]}/' (key dataset.{split}), but '{inner}/': use that one with "
            f"dataset.{split}={inner}, or give it another name if it is none"
            for name in others
            for inner in [_unwrapped(root, name)]
            if any(_USUAL[split].fullmatch(word) for word in _words(name))
        ]
        for split in missing
    }


def _unwrapped(root: Path, name: str) -> str:
    """Return the folder in a folder that holds no other, as archives make them."""
    inner = class_folders(root / name)
    if len(inner) == 1 and class_folders(root / name / inner[0]):
        return _unwrapped(root, f"{name}/{inner[0]}")
    return name


def _unlikely_classes(root: Path, split_folders: Mapping[str, str]) -> list[str]:
    """List what makes it unlikely that the folders which would be taken for the classes are."""
    if split_folders["train"] == CLASSES_IN_ROOT:
        return []
    folders = class_folders(root)
    existing = [split for split, name in split_folders.items() if (root / name).is_dir()]
    if existing == ["train"] and split_folders["train"] in folders:
        train = split_folders["train"]
        beside = [name for name in folders if name != train and _files_in(root / name)]
        listed = ", ".join(beside[:5]) + (" …" if len(beside) > 5 else "")
        what = f"beside '{train}/' it has other folders of images ({listed})"
        move = "move them out of it if they are no classes"
        return [f"{what}: {_class_hint('train', train)}; {move}"] if beside else []
    inner = {name: class_folders(root / name) for name in folders}
    if existing:
        return []
    if splits := _splits_in_classes(inner):
        return splits
    if not all(inner.values()):
        return []
    first = next(iter(inner), "")
    if len(inner) == 1:
        return [f"it holds one folder, '{first}/': if the dataset lies in it, give dataset.root={root / first}"]
    same = inner and len(inner[first]) > 1 and all(names == inner[first] for names in inner.values())
    what = f"its folders {', '.join(folders)} all hold the same folders ({', '.join(inner[first][:5])})" if same else ""
    splits = f"if they are splits, name them: dataset.train={first} dataset.test={folders[-1]}" if same else ""
    return [f"{what}: {splits}; if they are the classes, give dataset.train={CLASSES_IN_ROOT}"] if same else []


def _splits_in_classes(inner: Mapping[str, Sequence[str]]) -> list[str]:
    """List where the classes hold the splits, cat/train/, or are named after them, cat_train/: all would be mixed.

    Args:
        inner: folder → those in it.
    """
    rest = {name: [word for word in _words(name) if not _is_split(word)] for name in inner}
    named = [name for name in inner if 0 < len(rest[name]) < len(_words(name))]
    if inner and all(names and all(map(_is_split, names)) for names in inner.values()):
        name, names = next(iter(inner.items()))
        example, wanted = f"{name}/{names[0]}/", f"{names[0]}/{name}/"
    elif len(named) == len(inner) > len({tuple(words) for words in rest.values()}):
        name = named[0]
        example, wanted = f"{name}/", f"{next(filter(_is_split, _words(name)))}/{' '.join(rest[name])}/"
    else:
        return []
    return [
        (
            f"its classes seem to be split within their folders or by their names ({example}): make {wanted} of it, and "
            f"so on; if they are the classes, or to have all images split anew, give dataset.train={CLASSES_IN_ROOT}"
        )
    ]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def _is_split(name: str) -> bool:
    return any(pattern.fullmatch(name.lower()) for pattern in _USUAL.values())


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not is_litter(path, folder))


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


def _class_problems(
    folders: Mapping[str, Path], classes: Sequence[str], listed: Mapping[str, Sequence[Sequence[Path]]]
) -> list[str]:
    problems = []
    if len(classes) < 2:
        problems.append(
            f"{folders['train']} holds {plural(len(classes), 'class', 'classes')} ({', '.join(classes) or 'none'}); "
            f"a classifier needs at least two folders{_describe_strays(folders['train'])}"
        )
    for split in [name for name in ("val", "test") if name in folders]:
        problems += _unknown_classes(folders[split], classes, str(folders["train"]))
    for split, by_class in listed.items():
        empty = [name for name, paths in zip(classes, by_class, strict=True) if not paths]
        strays = _describe_strays(folders[split]) if len(empty) == len(classes) else ""
        problems += [f"{folders[split]} has no images of {', '.join(empty)}{strays}"] if empty else []
        problems += name_problems(folders[split], chain(*by_class))
    return problems


def _twins(classes: Sequence[str]) -> list[list[str]]:
    """Return classes that a careless hand may have written in two ways, such as Cat and cat."""
    written: dict[str, list[str]] = {}
    for name in classes:
        written.setdefault("".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    return [names for names in written.values() if len(names) > 1]


def _describe_strays(folder: Path) -> str:
    """Say what lies beside the classes where there is not one: archives, or images without a class."""
    strays = _files_in(folder) if folder.is_dir() else []
    archives = [path.name for path in strays if path.suffix.lower() in _ARCHIVES]
    if archives:
        return f"; unpack {', '.join(archives[:3])}"
    if not strays:
        return ""
    return f"; it holds {plural(len(strays), 'file')} in no folder of a class, such as {strays[0].name}"


def _unknown_classes(folder: Path, classes: Sequence[str], train: str) -> Iterator[str]:
    unknown = sorted(set(class_folders(folder)) - set(classes))
    if unknown:
        yield (
            f"{folder} has classes that {train} has not: {', '.join(unknown)}; rename or remove them, or add them to "
            f"{train}"
        )
