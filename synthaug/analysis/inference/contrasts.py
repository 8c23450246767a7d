"""From the answers of two arms to what can be said about their difference."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.hypothesis_tests import holm, mcnemar
from synthaug.analysis.inference.intervals import Difference, paired_difference, unpaired_difference

# Seed -> one number per test image: 1 for a right answer, or an image's part in a metric.
Values = Mapping[int, NDArray[np.float64]]


def right(predicted: Mapping[int, NDArray[np.int64]], labels: NDArray[np.int64]) -> Values:
    """Which answers are right: their mean is the accuracy."""
    return {seed: (answers == labels).astype(np.float64) for seed, answers in predicted.items()}


def macro_f1_parts(predicted: Mapping[int, NDArray[np.int64]], labels: NDArray[np.int64], classes: int) -> Values:
    """Each test image's part in the macro F1: jackknife pseudo-values, moved so that their mean is the macro F1.

    n F - (n - 1) F without the image: as Dorfman, Berbaum and Metz (see `intervals.paired_difference`) treat any metric
    of cases. Classes that are neither asked for nor answered do not count, as in torchmetrics.
    """
    return {seed: _f1_parts(answers, labels, classes) for seed, answers in predicted.items()}


def _f1_parts(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    hit = answers == labels
    hits = np.bincount(labels[hit], minlength=classes)
    size = np.bincount(labels, minlength=classes) + np.bincount(answers, minlength=classes)
    f1 = 2 * hits / np.maximum(size, 1)
    total, counted, n = float(f1.sum()), int((size > 0).sum()), len(labels)
    if n == 1:
        return np.array([total / counted])
    # Without a right answer its class loses two of its size and one hit; without a wrong one, two classes lose one.
    for place in (labels, answers):
        left = size[place] - 1 - hit
        changed = 2 * (hits[place] - hit) / np.maximum(left, 1) - f1[place]
        part = np.where(hit, 0.5, 1.0)  # a right answer is met in both places
        total = total + part * changed
        counted = counted - part * (left == 0)
    found = n * f1.sum() / (size > 0).sum() - (n - 1) * total / counted
    return np.asarray(found - found.mean() + f1.sum() / (size > 0).sum())


def difference(first: Values, second: Values, rows: NDArray[np.int64] | None = None) -> Difference:
    """First minus second, over the seeds that both have, or all of each where they share none.

    Right answers of one seed are tested by McNemar's exact test, everything else by the interval's own.

    Args:
        first, second: at least one seed each.
        rows: the test images that count; all of them by default.
    """
    kept = slice(None) if rows is None else rows
    shared = sorted(set(first) & set(second))
    if not shared:
        own, other = (np.stack([arm[seed][kept] for seed in sorted(arm)]) for arm in (first, second))
        return unpaired_difference(own, other)
    values = np.stack([first[seed][kept] - second[seed][kept] for seed in shared])
    found = paired_difference(values)
    if len(shared) == 1 and np.isin(values, (-1, 0, 1)).all():
        return dataclasses.replace(found, p_value=mcnemar(int((values > 0).sum()), int((values < 0).sum())))
    return found


def slope(shares: Sequence[float], arms: Sequence[Values], per: float) -> Difference | None:
    """Least squares slope of arms' means over their synthetic shares, as a contrast of paired answers.

    None where there are fewer than three distinct shares, or no seed that all arms have.

    Args:
        shares: synthetic share of each arm.
        arms: in the same order.
        per: the slope is given per so much share.
    """
    seeds = sorted(set.intersection(*map(set, arms))) if arms else []
    if len(set(shares)) < 3 or not seeds:
        return None
    x = np.asarray(shares) - np.mean(shares)
    weights = per * x / np.square(x).sum()
    values = np.stack([sum(w * arm[seed] for w, arm in zip(weights, arms, strict=True)) for seed in seeds])
    return paired_difference(values, reach=float(weights[weights > 0].sum()))


def adjusted(found: Iterable[Difference | None]) -> list[Difference | None]:
    """The same with p values adjusted by Holm for their number."""
    listed = list(found)
    places = [place for place, item in enumerate(listed) if item is not None]
    for place, p_value in zip(places, holm([item.p_value for item in listed if item is not None]), strict=True):
        item = listed[place]
        assert item is not None
        listed[place] = dataclasses.replace(item, adjusted_p=p_value)
    return listed
