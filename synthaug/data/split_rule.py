"""The rule by which images are drawn for validation and test: of (seed, class, content) alone, copies together."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthaug.errors import UserError, raise_all
from synthaug.messages import plural

IN_WORDS = (
    "Within each class, images with the same pixels, and those whose perceptual hashes (phash of ImageHash, 64 bits) "
    "differ in at most `near` bits, directly or by way of others, are a group (near = null: the same pixels only). "
    "A share of all images, rounded, or their number is apportioned to the classes by largest remainders, at least one "
    "to each. Groups are ordered by SHA-256 of (seed, class, least pixel hash of the group), and fill first test, then "
    "val: each group goes there that still fits, or the smallest where none does. The rest is train. Later images join "
    "train, unless they are copies of one in val or test: then they are left out."
)


@dataclass(frozen=True)
class Rule:
    """How validation and test images are drawn.

    Attributes:
        val: share of all images (between 0 and 1), or their number in all classes together (an integer).
        test: the same for the test images.
        seed: another seed gives another split.
        near: most bits in which the perceptual hashes of copies differ; None takes only the same pixels for copies.
    """

    val: float
    test: float
    seed: int = 0
    near: int | None = 8


def draw(
    groups: Mapping[str, Mapping[str, Sequence[str]]], rule: Rule, drawn: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Choose the groups that are not for training.

    Args:
        groups: class → group → its images, named as an error should name them.
        rule: how many.
        drawn: of "test" and "val" those that are drawn, in the order in which they are filled.

    Returns:
        (class, group) → split.

    Raises:
        UserError: classes that are too small, or in which too many images are copies of one another.
    """
    counts = {name: sum(map(len, own.values())) for name, own in groups.items()}
    wanted: dict[str, dict[str, int]] = {}
    for split in drawn:
        value = getattr(rule, split)
        if value >= 1 and value < len(counts):
            raise UserError(
                f"dataset.split.{split}={value}: fewer images than the {len(counts)} classes, and each needs one: give "
                f"at least {len(counts)}, or a share such as 0.15"
            )
        wanted[split] = apportion(counts, value)
    chosen: dict[tuple[str, str], str] = {}
    problems = []
    for name, own in groups.items():
        asked = {split: wanted[split][name] for split in drawn}
        if counts[name] - sum(asked.values()) < 1:
            problems.append(_too_small(name, counts[name], asked))
            continue
        taken = _fill(own, asked, _shuffled(own, f"{rule.seed}\0{name}"))
        if _misses(own, asked, taken):
            problems.append(_too_alike(name, own, counts[name], asked, rule.near))
        chosen |= {(name, group): split for group, split in taken.items()}
    raise_all("The images cannot be split:", problems)
    return chosen


def apportion(counts: Mapping[str, int], wanted: float) -> dict[str, int]:
    """Divide a number of images among classes in proportion to their size, by largest remainders.

    Args:
        counts: class → images.
        wanted: share of all images if below 1, else their number; at least one for each class.

    Returns:
        Class → images, at least one; they sum to `wanted`.
    """
    images = sum(counts.values())
    total = math.floor(images * wanted + 0.5) if wanted < 1 else int(wanted)
    total = max(total, len(counts))
    quotas = {name: total * count / max(images, 1) for name, count in counts.items()}
    parts = {name: max(1, math.floor(quota)) for name, quota in quotas.items()}
    while sum(parts.values()) != total:
        step = 1 if sum(parts.values()) < total else -1
        # The class that is furthest from its due; of equals the first by name.
        due = {name: step * (quotas[name] - part) for name, part in parts.items() if part + step >= 1}
        parts[min(due, key=lambda name: (-due[name], name))] += step
    return parts


def _shuffled(groups: Iterable[str], salt: str) -> list[str]:
    return sorted(groups, key=lambda group: hashlib.sha256(f"{salt}\0{group}".encode()).digest())


def _fill(own: Mapping[str, Sequence[str]], asked: Mapping[str, int], order: Iterable[str]) -> dict[str, str]:
    """Group → split, for the groups of one class that fill the splits one after the other."""
    left = list(order)
    chosen: dict[str, str] = {}
    for split, count in asked.items():
        room = count
        for group in left:
            if len(own[group]) <= room:
                chosen[group] = split
                room -= len(own[group])
        left = [group for group in left if group not in chosen]
        if room == count and left:
            chosen[min(left, key=lambda group: len(own[group]))] = split
            left = [group for group in left if group not in chosen]
    return chosen


def _misses(own: Mapping[str, Sequence[str]], asked: Mapping[str, int], chosen: Mapping[str, str]) -> bool:
    """Whether a split has less than half of its images, or half as many too many, or none are left to train on."""
    got = dict.fromkeys(asked, 0)
    for group, split in chosen.items():
        got[split] += len(own[group])
    far = any(abs(got[split] - count) > max(1, count // 2) or not got[split] for split, count in asked.items())
    return far or len(chosen) == len(own)


def _too_small(name: str, count: int, asked: Mapping[str, int]) -> str:
    listed = " and ".join(f"{images} for {split}" for split, images in asked.items())
    return (
        f"{name}: too small to be split: {plural(count, 'image')}, {listed} would leave none to train on; add images "
        "of it, ask for less with dataset.split.val and dataset.split.test, or remove its folder"
    )


def _too_alike(
    name: str, own: Mapping[str, Sequence[str]], count: int, asked: Mapping[str, int], near: int | None
) -> str:
    largest = max(own.values(), key=len)
    listed = " and ".join(f"{images} for {split}" for split, images in asked.items())
    way_out = (
        "remove the repeats"
        if near is None
        else f"take only the same pixels for copies with dataset.split.near=null, or fewer bits than {near}"
    )
    return (
        f"{name}: too small to be split: {len(largest)} of its {plural(count, 'image')} are copies of {largest[0]} and "
        f"must stay together, which leaves no way to take {listed}; add other images of it, or {way_out}"
    )
