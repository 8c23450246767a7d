"""The rule by which images are drawn for validation and test: of (seed, class, content) alone, copies together."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthaug.errors import UserError, raise_all
from synthaug.messages import join_words, plural

IN_WORDS = (
    "Within each class, an image and its copies are a group: those with the same pixels and, with near_duplicates, "
    "those that aligned thumbnails confirm to be re-encoded, resized, brightened, flipped, or cropped by up to a "
    "tenth. The image with most copies takes them first; none joins by way of others. "
    "A share of all images, rounded, or their number is apportioned to the classes by largest remainders, at least one "
    "to each. Groups are ordered by SHA-256 of (seed, class, least pixel hash of the group), and fill first test, then "
    "val: each group goes there that still fits, or the smallest where none does. The rest is train. Later images join "
    "train, unless they are copies of one in val or test: then they are left out."
)


@dataclass(frozen=True)
class Rule:
    """Rule by which validation and test images are drawn.

    Attributes:
        val: share of all images (between 0 and 1), or their number in all classes together (an integer).
        test: the same for the test images.
        seed: another seed gives another split.
        near_duplicates: whether copies that were changed a little stay together too, or only those of the same pixels.
    """

    val: float
    test: float
    seed: int = 0
    near_duplicates: bool = True


@dataclass(frozen=True)
class Fold:
    """One of the folds into which all images of a dataset are dealt: its images are the test images.

    Attributes:
        count: number of folds.
        number: of this one, from 0.
    """

    count: int
    number: int


def deal(groups: Mapping[str, Mapping[str, Sequence[str]]], count: int, seed: int) -> dict[tuple[str, str], int]:
    """Deal images into folds: in each class the folds differ by one image at most, but for copies that stay together.

    In each class the largest groups come first, of equals in an order of their content; each goes to the fold that has
    the fewest images of the class, of equals to that with the fewest in all.

    Args:
        groups: class → group → its images, by the names that errors use.
        count: number of folds.
        seed: another seed gives other folds.

    Returns:
        (class, group) → fold.

    Raises:
        UserError: classes with fewer groups than folds.
    """
    raise_all(
        f"The images cannot be dealt into {count} folds:",
        [_too_few(name, members, count) for name, members in groups.items() if len(members) < count],
    )
    dealt: dict[tuple[str, str], int] = {}
    totals = [0] * count
    for name, members in groups.items():
        sizes = [0] * count
        for group in sorted(_shuffled(members, f"{seed}\0fold\0{name}"), key=lambda group: -len(members[group])):
            fold = min(range(count), key=lambda number: (sizes[number], totals[number]))
            dealt[name, group] = fold
            sizes[fold] += len(members[group])
            totals[fold] += len(members[group])
    return dealt


def _too_few(name: str, members: Mapping[str, Sequence[str]], count: int) -> str:
    images = sum(map(len, members.values()))
    copies = f", of which copies stay together in {plural(len(members), 'group')}" if len(members) < images else ""
    return (
        f"{name}: too small: {plural(images, 'image')}{copies}, and each fold needs one: add images of it, give "
        f"{f'at most folds={len(members)}' if len(members) > 1 else 'no folds'}, or remove its folder"
    )


def draw(
    groups: Mapping[str, Mapping[str, Sequence[str]]], rule: Rule, drawn: Sequence[str], salt: str = ""
) -> dict[tuple[str, str], str]:
    """Choose the groups that are not for training.

    Args:
        groups: class → group → its images, by the names that errors use.
        rule: sizes and seed.
        drawn: of "test" and "val" those that are drawn, in the order in which they are filled.
        salt: another one gives another draw by the same rule.

    Returns:
        (class, group) → split.

    Raises:
        UserError: classes that are too small, or in which too many images are copies of one another.
    """
    counts = {name: sum(map(len, members.values())) for name, members in groups.items()}
    sizes: dict[str, dict[str, int]] = {}
    for split in drawn:
        value = getattr(rule, split)
        if value >= 1 and value < len(counts):
            raise UserError(
                f"dataset.split.{split}={value}: fewer images than the {len(counts)} classes, and each needs one: give "
                f"at least {len(counts)}, or a share such as 0.15"
            )
        sizes[split] = apportion(counts, value)
    chosen: dict[tuple[str, str], str] = {}
    problems = []
    for name, members in groups.items():
        targets = {split: sizes[split][name] for split in drawn}
        if counts[name] - sum(targets.values()) < 1:
            problems.append(_too_small(name, counts[name], targets))
            continue
        split_of = _fill(members, targets, _shuffled(members, f"{rule.seed}\0{name}{salt}"))
        if _misses(members, targets, split_of):
            problems.append(_too_alike(name, members, counts[name], targets, rule.near_duplicates))
        chosen |= {(name, group): split for group, split in split_of.items()}
    raise_all("The images cannot be split:", problems)
    return chosen


def apportion(counts: Mapping[str, int], size: float) -> dict[str, int]:
    """Divide a number of images among classes in proportion to their size, by largest remainders.

    Args:
        counts: class → images.
        size: share of all images if below 1, else their number; at least one for each class.

    Returns:
        Class → images, at least one; they sum to `size`.
    """
    images = sum(counts.values())
    total = math.floor(images * size + 0.5) if size < 1 else int(size)
    total = max(total, len(counts))
    quotas = {name: total * count / max(images, 1) for name, count in counts.items()}
    parts = {name: max(1, math.floor(quota)) for name, quota in quotas.items()}
    while sum(parts.values()) != total:
        step = 1 if sum(parts.values()) < total else -1
        # The class that is furthest from its quota; of equals the first by name.
        gaps = {name: step * (quotas[name] - part) for name, part in parts.items() if part + step >= 1}
        parts[min(gaps, key=lambda name: (-gaps[name], name))] += step
    return parts


def _shuffled(groups: Iterable[str], salt: str) -> list[str]:
    return sorted(groups, key=lambda group: hashlib.sha256(f"{salt}\0{group}".encode()).digest())


def _fill(members: Mapping[str, Sequence[str]], targets: Mapping[str, int], order: Iterable[str]) -> dict[str, str]:
    """Return group → split, for the groups of one class that fill the splits one after the other."""
    left = list(order)
    chosen: dict[str, str] = {}
    for split, count in targets.items():
        room = count
        for group in left:
            if len(members[group]) <= room:
                chosen[group] = split
                room -= len(members[group])
        left = [group for group in left if group not in chosen]
        if room == count and left:
            chosen[min(left, key=lambda group: len(members[group]))] = split
            left = [group for group in left if group not in chosen]
    return chosen


def _misses(members: Mapping[str, Sequence[str]], targets: Mapping[str, int], chosen: Mapping[str, str]) -> bool:
    """Whether a split is off its target by more than half, or no group is left to train on."""
    sizes = dict.fromkeys(targets, 0)
    for group, split in chosen.items():
        sizes[split] += len(members[group])
    far = any(abs(sizes[split] - count) > max(1, count // 2) for split, count in targets.items())
    return far or len(chosen) == len(members)


def _too_small(name: str, count: int, targets: Mapping[str, int]) -> str:
    listed = join_words(f"{images} for {split}" for split, images in targets.items())
    return (
        f"{name}: too small to be split: {plural(count, 'image')}, {listed} would leave none to train on; add images "
        "of it, draw fewer with dataset.split.val and dataset.split.test, or remove its folder"
    )


def _too_alike(
    name: str, members: Mapping[str, Sequence[str]], count: int, targets: Mapping[str, int], near: bool
) -> str:
    largest = max(members.values(), key=len)
    listed = join_words(f"{images} for {split}" for split, images in targets.items())
    only = "count only the same pixels as copies with dataset.split.near_duplicates=false"
    remedy = only if near else "remove the repeats"
    return (
        f"{name}: too small to be split: {len(largest)} of its {plural(count, 'image')} are copies of {largest[0]} and "
        f"must stay together, which leaves no way to take {listed}; add other images of it, or {remedy}"
    )
