"""The section on screening: how many synthetic images were kept and rejected, and pictures of those that were not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from synthaug.analysis.output.page.content import Content
from synthaug.analysis.output.page.thumbnails import Thumbnail, thumbnail
from synthaug.analysis.text import arm_table
from synthaug.analysis.training_images import locator
from synthaug.image_files import is_image_file
from synthaug.screening.verdicts import COPIES, DUPLICATE

MAX_CLASSES = 20  # of a screening, in the table


@dataclass(frozen=True)
class ScreenedSet:
    """What a run wrote down of its screening.

    Attributes:
        arms: labels of the arms that have it, those with the same verdicts together.
        name: of the screening.
        reasons: why images were rejected, the most frequent reason first.
        classes: class → "kept", "copies" and "rejected", as in `result.json`.
        total: the same numbers over all classes.
        shown: reason with its number of images → examples.
    """

    arms: Sequence[str]
    name: str
    reasons: Sequence[str]
    classes: Mapping[str, Mapping[str, Any]]
    total: Mapping[str, Any]
    shown: Mapping[str, Sequence["ScreenedPicture"]]


@dataclass(frozen=True)
class ScreenedPicture:
    """An example, and the image that it is a copy of, where it is one.

    Attributes:
        name: class and file.
        kept: whether it may be trained on.
        picture: None where the file is gone, or there never was one.
        match_name: class and file of the other image behind "=", or what explains the reason.
        match: the other image.
    """

    name: str
    kept: bool
    picture: Thumbnail | None
    match_name: str
    match: Thumbnail | None


def screening(content: Content) -> Mapping[str, Any] | None:
    """Return what was kept and rejected of each set; arms that share one need more or fewer of the same images.

    The first run of each arm stands for it.
    """
    labels = arm_table.labels(content.group)
    arms: dict[str, list[str]] = {}
    records: dict[str, Mapping[str, Any]] = {}
    listed = set()
    for item in content.group.runs:
        record = (item.run.result or {}).get("screening")
        if item.compared and record and item.run.arm not in listed:
            listed.add(item.run.arm)
            file = record["file"]
            records[file] = max(records.get(file, record), record, key=_judged)
            arms.setdefault(file, []).append(labels.get(item.run.arm, item.run.arm))
    locate = locator(content.comparison.folder)
    sets = [_screened_set(arms[file], record, locate) for file, record in records.items()]
    return {"sets": sets, "limit": MAX_CLASSES} if sets else None


def _judged(record: Mapping[str, Any]) -> int:
    """Return how many images a record is of."""
    return sum(of_class["kept"] + sum(of_class["rejected"].values()) for of_class in record["classes"].values())


def _screened_set(arms: Sequence[str], record: Mapping[str, Any], locate: Callable[[str], Path]) -> ScreenedSet:
    classes = record["classes"]
    rejected: dict[str, int] = {}
    for of_class in classes.values():
        for reason, number in of_class["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + number
    total = {
        "kept": sum(of_class["kept"] for of_class in classes.values()),
        "copies": sum(of_class["copies"] for of_class in classes.values()),
        "rejected": rejected,
    }
    shown: dict[str, list[ScreenedPicture]] = {}
    for example in record["examples"]:
        number = total["copies"] if example["kept"] else rejected[example["reason"]]
        reason = f"{example['reason']}, {'kept' if example['kept'] else 'rejected'}: {number:,}"
        shown.setdefault(reason, []).append(_picture(example, record["root"], locate))
    reasons = sorted(rejected, key=lambda reason: -rejected[reason])
    return ScreenedSet(arms, record["name"], reasons, dict(list(classes.items())[:MAX_CLASSES]), total, shown)


def _picture(example: Mapping[str, Any], root: str, locate: Callable[[str], Path]) -> ScreenedPicture:
    match = ""
    if example["reason"] in COPIES:
        match = example["match"]
    elif example["match"] and example["reason"] == DUPLICATE:
        match = str(PurePath(root, example["match"]))
    match_name = f"= {_short(match)}" if match else example["match"]
    files = [locate(path) if path else None for path in (example["image"], match)]
    pictures = [thumbnail(file) if file and is_image_file(file) else None for file in files]
    return ScreenedPicture(_short(example["image"]), example["kept"], pictures[0], match_name, pictures[1])


def _short(path: str) -> str:
    return "/".join(PurePath(path).parts[-2:])
