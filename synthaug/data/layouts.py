"""Whether folders are laid out as a dataset: splits, classes, and what is said where they are not."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from synthaug.data.folders import class_folders, files_of_classes, is_litter, is_text, name_problems
from synthaug.messages import plural

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
        problems += [class_hint(split, name) for split, name in split_folders.items() if (root / name).is_dir()]
    by_folder: dict[Path, list[str]] = {}
    for split, name in split_folders.items():
        by_folder.setdefault((root / name).resolve(), []).append(split)
    return problems + [
        f"{' and '.join(f'dataset.{split}' for split in splits)} are the same folder {folder}; "
        "give each split images of its own"
        for folder, splits in by_folder.items()
        if len(splits) > 1
    ]


def existing_folders(root: Path, split_folders: Mapping[str, str]) -> dict[str, str]:
    """Return split → name of its folder, for the folders that exist; if none does, `root` itself is that of "train".

    Args:
        root: the dataset's folder.
        split_folders: split → folder name below `root`.
    """
    names = {split: name for split, name in split_folders.items() if (root / name).is_dir()}
    # With val/ or test/ but without train/, the latter is named all the same, so that its absence is reported.
    return {"train": split_folders["train"], **names} if names else {"train": "."}


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


def class_problems(folders: Mapping[str, Path], classes: Sequence[str]) -> list[str]:
    """Return what is wrong with the classes of a dataset and the files in them.

    Args:
        folders: split → its folder.
        classes: of the training images.
    """
    problems = []
    if len(classes) < 2:
        problems.append(
            f"{folders['train']} holds {plural(len(classes), 'class', 'classes')} ({', '.join(classes) or 'none'}); "
            f"a classifier needs at least two folders{_describe_strays(folders['train'])}"
        )
    for split in [name for name in ("val", "test") if name in folders]:
        problems += unknown_classes(folders[split], classes, str(folders["train"]))
    for folder in folders.values():
        empty, unwritable = [], list[Path]()
        for name, paths in files_of_classes(folder, classes):
            count = 0
            for path in paths:
                count += 1
                unwritable += [] if is_text(path) else [path]
            empty += [] if count else [name]
        strays = _describe_strays(folder) if len(empty) == len(classes) else ""
        problems += [f"{folder} has no images of {', '.join(empty)}{strays}"] if empty else []
        problems += name_problems(folder, unwritable)
    return problems


def unknown_classes(folder: Path, classes: Sequence[str], train: str) -> Iterator[str]:
    """Yield the problem that a folder has classes which training lacks, if it has.

    Args:
        folder: of a split.
        classes: of the training images.
        train: what they are called in the message.
    """
    unknown = sorted(set(class_folders(folder)) - set(classes))
    if unknown:
        yield (
            f"{folder} has classes that {train} has not: {', '.join(unknown)}; rename or remove them, or add them to "
            f"{train}"
        )


def twins(classes: Sequence[str]) -> list[list[str]]:
    """Return classes that a careless hand may have written in two ways, such as Cat and cat."""
    written: dict[str, list[str]] = {}
    for name in classes:
        written.setdefault("".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    return [names for names in written.values() if len(names) > 1]


def class_hint(split: str, name: str) -> str:
    """Say how a folder of a split's name becomes a class.

    Args:
        split: "train", "val" or "test".
        name: of the folder.
    """
    other = CLASSES_IN_ROOT if split == "train" else "<another name>"
    return f"if '{name}' is a class and not a split, give dataset.{split}={other}"


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
        move = "move them out of it if they are not classes"
        return [f"{what}: {class_hint('train', train)}; {move}"] if beside else []
    inner = {name: class_folders(root / name) for name in folders}
    if existing or not inner:
        return []
    first, last = folders[0], folders[-1]
    if len(inner) == 1 and inner[first]:
        return [f"it holds one folder, '{first}/': if the dataset lies in it, give dataset.root={root / first}"]
    if problems := _splits_in_classes(inner):
        return problems
    if len(inner[first]) < 2 or any(names != inner[first] for names in inner.values()):
        return []
    what = f"its folders {', '.join(folders)} all hold the same folders ({', '.join(inner[first][:5])})"
    remedy = f"if they are splits, name them: dataset.train={first} dataset.test={last}"
    return [f"{what}: {remedy}; if they are the classes, give dataset.train={CLASSES_IN_ROOT}"]


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
            f"its classes seem to be split within their folders or by their names ({example}): make {wanted} of it and "
            f"so on; if they are the classes, or to have all images split anew, give dataset.train={CLASSES_IN_ROOT}"
        )
    ]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def _is_split(name: str) -> bool:
    return any(pattern.fullmatch(name.lower()) for pattern in _USUAL.values())


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not is_litter(path, folder))


def _describe_strays(folder: Path) -> str:
    """Say what lies beside the classes where there is not one: archives, or images without a class."""
    strays = _files_in(folder) if folder.is_dir() else []
    archives = [path.name for path in strays if path.suffix.lower() in _ARCHIVES]
    if archives:
        return f"; unpack {', '.join(archives[:3])}"
    if not strays:
        return ""
    return f"; it holds {plural(len(strays), 'file')} in no folder of a class, such as {strays[0].name}"
