"""Intervals of what weighs test images unequally: balanced accuracy, and the worst of several parts of the test set.

Parts are called strata, as in surveys: classes, or groups of images such as cameras. Each has a weight, and what is
estimated is the weighted sum of the strata's means. With `strata_parts` it is the mean of one number per image, so
that everything that holds of accuracies over seeds and images holds of it.

Cochran, W. G. (1977). Sampling techniques, 3rd edition, chapter 5. Wiley. Simulated in `benchmarks/`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.inference.intervals import (
    ALPHA,
    CONFIDENCE,
    Difference,
    Estimate,
    MeanVariance,
    accuracy_over_seeds,
    cluster_means,
    difference_around,
    mean_proportion,
    paired_mean_variance,
    unpaired_difference,
)

# Of the 5 % by which the interval of a difference of worst strata may miss: for not knowing which the worst is, in
# each of two arms. The rest is for the difference itself.
_SELECTION = 0.01


@dataclass(frozen=True)
class Strata:
    """A division of the test images.

    Attributes:
        members: number of each image's stratum, (images,).
        count: of strata; those without an image have no part in anything.
    """

    members: NDArray[np.int64]
    count: int

    @cached_property
    def rows(self) -> list[NDArray[np.intp]]:
        """The images of each stratum."""
        return [np.flatnonzero(self.members == number) for number in range(self.count)]

    @cached_property
    def filled(self) -> list[int]:
        """The strata that have images."""
        return [number for number, rows in enumerate(self.rows) if len(rows)]


def strata_parts(table: NDArray[np.float64], strata: Strata) -> NDArray[np.float64]:
    """Return each image's part in the mean of the strata's means, all of equal weight.

    The mean of the result is that mean; its variance over images is that within strata, whose sizes are fixed.

    Args:
        table: (seeds, images).
        strata: of the images.
    """
    parts = np.empty_like(table)
    n, filled = table.shape[1], strata.filled
    means = {number: table[:, strata.rows[number]].mean(axis=1, keepdims=True) for number in filled}
    for number in filled:
        rows = strata.rows[number]
        unbiased = math.sqrt(len(rows) / max(len(rows) - 1, 1))
        parts[:, rows] = n / (len(filled) * len(rows)) * unbiased * (table[:, rows] - means[number])
    return np.asarray(parts + np.mean([means[number] for number in filled], axis=0))


def _weights(strata: Strata) -> NDArray[np.float64]:
    """Return what an image of each stratum weighs; 1 where all strata are of one size."""
    sizes = np.array([len(strata.rows[number]) for number in strata.filled])
    return np.asarray(len(strata.members) / (len(sizes) * sizes))


def balanced_accuracy(
    correct: NDArray[np.float64],
    strata: Strata,
    clusters: NDArray[np.int64] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate the mean of the strata's accuracies: of the classes' recalls, it is the balanced accuracy.

    As `accuracy_over_seeds`; the images of one seed count as many as a simple random sample would need.

    Args:
        correct: (seeds, images), 1 for a right answer.
        strata: of the images.
        clusters: of near duplicates among the images.
        confidence: of the interval.
    """
    parts = cluster_means(strata_parts(correct, strata), clusters)
    n = parts.shape[1] / float(_weights(strata).mean())
    return mean_proportion(min(1.0, max(0.0, float(parts.mean()))), parts, n, confidence)


def balanced_difference(
    first: Values, second: Values, strata: Strata, clusters: NDArray[np.int64] | None = None
) -> Difference:
    """Estimate first minus second of the strata's mean accuracies, over the seeds that both have.

    As `contrasts.difference`, but that the sizes of the strata are not drawn. The two images that are added weigh what
    an image of a stratum does, as the root of the mean square over strata: weighed by images, a class of six among
    three of 300 was covered in 56 % of the studies; weighed as in the smallest, the interval is twice as wide.

    Args:
        first: values of at least one seed.
        second: values of at least one seed.
        strata: of the images.
        clusters: of near duplicates among the images.
    """
    shared = sorted(set(first) & set(second))
    if not shared:
        return _unpaired(first, second, strata, clusters)
    value, centre, variance = _paired_variance(first, second, shared, strata, clusters)
    return difference_around(value, centre, variance, len(shared), CONFIDENCE)


def _paired_variance(
    first: Values, second: Values, seeds: Sequence[int], strata: Strata, clusters: NDArray[np.int64] | None
) -> tuple[float, float, MeanVariance]:
    """Return a balanced difference, the centre of its interval and the variance of that."""
    values = np.stack([first[seed] - second[seed] for seed in seeds])
    parts = cluster_means(strata_parts(values, strata), clusters)
    centre, variance = paired_mean_variance(parts, float(np.sqrt(np.square(_weights(strata)).mean())))
    return float(parts.mean()), float(centre), variance


def _unpaired(first: Values, second: Values, strata: Strata, clusters: NDArray[np.int64] | None) -> Difference:
    table, reference = (
        cluster_means(strata_parts(np.stack([arm[seed] for seed in sorted(arm)]), strata), clusters)
        for arm in (first, second)
    )
    return unpaired_difference(table, reference)


# --- the worst stratum -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Worst:
    """The smallest accuracy of an arm's strata, and how far the largest lies above it.

    The worst of several is worst by chance too: the plain minimum is too low, the more the more strata there are and
    the fewer images they have. The intervals allow for that: they hold for whichever stratum is truly the worst.

    Attributes:
        stratum: number of the worst.
        accuracy: of it.
        gap: accuracy of the best minus that.
    """

    stratum: int
    accuracy: Estimate
    gap: Estimate


def worst(correct: NDArray[np.float64], strata: Strata, clusters: NDArray[np.int64] | None = None) -> Worst:
    """Estimate the accuracy of the worst stratum, and of the best above it.

    Each stratum has an interval of 1 - 5 % / strata (Bonferroni), so that all of them hold together.

    Args:
        correct: (seeds, images), 1 for a right answer.
        strata: of the images.
        clusters: of near duplicates among the images.
    """
    estimates = _estimates(correct, strata, clusters, ALPHA)
    low, high = (min(getattr(item, end) for item in estimates.values()) for end in ("low", "high"))
    stratum = min(estimates, key=lambda number: estimates[number].value)
    values = [item.value for item in estimates.values()]
    top_low, top_high = (max(getattr(item, end) for item in estimates.values()) for end in ("low", "high"))
    gap = Estimate(max(values) - min(values), max(0.0, top_low - high), top_high - low)
    return Worst(stratum, Estimate(min(values), low, high), gap)


def worst_difference(
    first: Values,
    second: Values,
    strata: Strata,
    clusters: NDArray[np.int64] | None = None,
) -> Estimate:
    """Estimate the worst stratum's accuracy in the first arm minus that in the second, whichever strata they are.

    The true difference is at most that in the stratum that is the worst of the second arm, and at least that in the
    worst of the first. Which those are is open: the strata whose intervals do not exclude it are candidates, and the
    interval reaches from the lowest end of the first arm's candidates to the highest of the second's. Of the 5 % by
    which it may miss, a fifth is for each choice of candidates and the rest for the differences.

    Args:
        first: values of at least one seed.
        second: values of at least one seed.
        strata: of the images.
        clusters: of near duplicates among the images.
    """
    share = _SELECTION
    candidates, minima = [], []
    for arm in (first, second):
        estimates = _estimates(np.stack([arm[seed] for seed in sorted(arm)]), strata, clusters, 2 * share)
        least_high = min(item.high for item in estimates.values())
        candidates.append([number for number, item in estimates.items() if item.low <= least_high])
        minima.append(min(item.value for item in estimates.values()))
    value = minima[0] - minima[1]
    ends = [
        _ends([_side(first, second, strata, (number,), clusters) for number in of], ALPHA - 2 * share)
        for of in candidates
    ]
    return Estimate(value, min(value, ends[0][0]), max(value, ends[1][1]))


def gap_difference(
    first: Values, second: Values, strata: Strata, clusters: NDArray[np.int64] | None = None
) -> Estimate:
    """Estimate by how much the best stratum lies farther above the worst in the first arm than in the second.

    As `worst_difference`: the true change is at most that of the distance between the first arm's best and worst
    stratum, and at least that of the second's. Half as much of the 5 % is for each choice, of which there are two more.

    Args:
        first: values of at least one seed.
        second: values of at least one seed.
        strata: of the images.
        clusters: of near duplicates among the images.
    """
    share = _SELECTION / 2
    pairs, gaps = [], []
    for arm in (first, second):
        estimates = _estimates(np.stack([arm[seed] for seed in sorted(arm)]), strata, clusters, 2 * share)
        least_high = min(item.high for item in estimates.values())
        most_low = max(item.low for item in estimates.values())
        best = [number for number, item in estimates.items() if item.high >= most_low]
        lowest = [number for number, item in estimates.items() if item.low <= least_high]
        pairs.append([(top, low) for top in best for low in lowest if top != low])
        values = [item.value for item in estimates.values()]
        gaps.append(max(values) - min(values))
    value = gaps[0] - gaps[1]
    ends = [_ends([_side(first, second, strata, pair, clusters) for pair in of], ALPHA - 4 * share, 2) for of in pairs]
    return Estimate(value, min(value, ends[1][0]), max(value, ends[0][1]))


def _side(
    first: Values, second: Values, strata: Strata, numbers: Sequence[int], clusters: NDArray[np.int64] | None
) -> tuple[float, MeanVariance]:
    """Return centre and variance of first minus second in a stratum, or of half the distance between two of them.

    A distance is moved by seeds less than either of its ends.
    """
    rows = np.concatenate([strata.rows[number] for number in numbers])
    sides = Strata(np.repeat(range(len(numbers)), [len(strata.rows[number]) for number in numbers]), len(numbers))
    sign = np.where(sides.members == 0, 1.0, -1.0)
    signed, reference = ({seed: sign * values[rows] for seed, values in arm.items()} for arm in (first, second))
    inner = None if clusters is None else clusters[rows]
    shared = sorted(set(first) & set(second))
    if not shared:
        item = _unpaired(signed, reference, sides, inner)
        return item.centre, item.variance
    return _paired_variance(signed, reference, shared, sides, inner)[1:]


def _estimates(
    correct: NDArray[np.float64], strata: Strata, clusters: NDArray[np.int64] | None, alpha: float
) -> dict[int, Estimate]:
    """Return the accuracy of each stratum that has images; all intervals hold together with 1 - alpha."""
    filled = strata.filled
    return {
        number: accuracy_over_seeds(
            correct[:, rows], 1 - alpha / len(filled), None if clusters is None else clusters[rows]
        )
        for number in filled
        for rows in [strata.rows[number]]
    }


def _ends(sides: Sequence[tuple[float, MeanVariance]], alpha: float, scale: float = 1.0) -> tuple[float, float]:
    """Return the lowest and the highest end of intervals that cover 1 - alpha; 0 where there is none."""
    halves = [(centre, float(variance.half_width(alpha))) for centre, variance in sides]
    return (
        min((max(-1.0, scale * (centre - half)) for centre, half in halves), default=0.0),
        max((min(1.0, scale * (centre + half)) for centre, half in halves), default=0.0),
    )
