"""How much of the variance of an arm's accuracy each source of chance brings: weights, images, synthetic draw, split.

Runs of arms that differ only in what another seed draws anew tell the sources apart: the variance between seeds that
draw weights, order and real images anew, less that between seeds that draw weights and order alone, is that of the
real images. Where synthetic draws and seeds are crossed, an analysis of variance of two factors does so.

The variance between seeds is that of an accuracy on the test images at hand; the part of it that more images would
remove (a run answers an image rightly that another does not) is subtracted. Variances are of fractions, not percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded at their first use
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import CONFIDENCE, Estimate


@dataclass(frozen=True)
class MeanSquare:
    """An estimate of a variance, distributed as it times chi-squared over its degrees of freedom."""

    value: float
    degrees_of_freedom: int


@dataclass(frozen=True)
class CrossedSources:
    """Variances of the accuracy of an arm whose synthetic draws and seeds are crossed.

    Attributes:
        draw: of the synthetic draw.
        seed: of a seed, whatever the draw.
        run: of a run, which belongs to neither alone.
        image: of the test images at hand.
    """

    draw: Estimate
    seed: Estimate
    run: Estimate
    image: Estimate


def nested_sources(levels: Sequence[NDArray[np.float64]], confidence: float = CONFIDENCE) -> list[Estimate]:
    """Estimate what each source adds, where the seeds of every level draw anew all that those of the last do, and more.

    Args:
        levels: tables (seeds, images) of one arm, two seeds or more in each; the first of seeds that draw the least.
        confidence: of the intervals.

    Returns:
        The variance of each level's own source, cut at 0: of few seeds, the interval often reaches to 0, and far up.

    Raises:
        ValueError: a level has fewer than two seeds or images.
    """
    squares, noise = zip(*(_between_seeds(table) for table in levels), strict=True)
    first = _cut(chi_squared_interval(squares[0], confidence), noise[0])
    pairs = zip(squares[1:], squares, noise[1:], noise, strict=False)
    return [first, *(_cut(difference_interval(*pair[:2], confidence), pair[2] - pair[3]) for pair in pairs)]


def crossed_sources(table: NDArray[np.float64], confidence: float = CONFIDENCE) -> CrossedSources:
    """Estimate the variances of synthetic draws, seeds and runs by analysis of variance.

    Args:
        table: (draws, seeds, images) of one arm: 1 for a right answer.
        confidence: of the intervals.

    Raises:
        ValueError: there are fewer than two draws, seeds or images.
    """
    draws, seeds, images = table.shape
    if min(table.shape) < 2:
        raise ValueError(f"need two draws, seeds and images or more, got {draws}, {seeds} and {images}")
    accuracy = table.mean(axis=2)
    of_draws, of_seeds, mean = accuracy.mean(axis=1), accuracy.mean(axis=0), accuracy.mean()
    rest = accuracy - of_draws[:, None] - of_seeds + mean
    run = MeanSquare(float(np.square(rest).sum()) / (draws - 1) / (seeds - 1), (draws - 1) * (seeds - 1))
    draw = MeanSquare(seeds * float(of_draws.var(ddof=1)), draws - 1)
    seed = MeanSquare(draws * float(of_seeds.var(ddof=1)), seeds - 1)
    flat = table.reshape(-1, images)
    return CrossedSources(
        _cut(_scaled(difference_interval(draw, run, confidence), 1 / seeds)),
        _cut(_scaled(difference_interval(seed, run, confidence), 1 / draws)),
        _cut(chi_squared_interval(run, confidence), _noise(flat)),
        image_source(flat, confidence),
    )


def image_source(table: NDArray[np.float64], confidence: float = CONFIDENCE) -> Estimate:
    """Estimate the variance of an arm's accuracy by the draw of the test images, whatever the seed.

    The interval is that of large samples, as there are many images: of the mean of squared deviations.

    Args:
        table: (seeds, images).
        confidence: of the interval.
    """
    _check(table)
    images = table.shape[1]
    squares = np.square(table.mean(axis=0) - table.mean())
    value = float(squares.sum()) / (images - 1) / images
    half = float(scipy.special.ndtri((1 + confidence) / 2) * squares.std()) / images**1.5
    return _cut(Estimate(value, value - half, value + half), _noise(table) / len(table))


def chi_squared_interval(square: MeanSquare, confidence: float = CONFIDENCE) -> Estimate:
    """Compute the interval of a variance from its mean square.

    Args:
        square: its estimate.
        confidence: of the interval.
    """
    tail, degrees = (1 - confidence) / 2, square.degrees_of_freedom
    scale = square.value * degrees
    high, low = scipy.special.chdtri(degrees, [1 - tail, tail])
    return Estimate(square.value, scale / float(low), scale / float(high))


def difference_interval(first: MeanSquare, second: MeanSquare, confidence: float = CONFIDENCE) -> Estimate:
    """Compute the interval of the difference of two variances, first minus second: modified large samples.

    Exact where either of the variances is 0 and where they are equal. Ting, N., Burdick, R. K., Graybill, F. A.,
    Jeyaratnam, S., Lu, T.-F. C. (1990). Confidence intervals on linear combinations of variance components that are
    unrestricted in sign. Journal of Statistical Computation and Simulation 35, 135-143; Burdick, R. K., Graybill, F. A.
    (1992). Confidence intervals on variance components, section 3.3. Dekker.

    Args:
        first: independent of the second.
        second: what is subtracted.
        confidence: of the interval.
    """
    value = first.value - second.value
    tail = (1 - confidence) / 2
    below, above = _reach(first, second, tail), _reach(second, first, tail)
    return Estimate(value, value - below, value + above)


def _reach(first: MeanSquare, second: MeanSquare, tail: float) -> float:
    """How far the lower end of first - second lies below the estimate; the upper end is that of second - first."""
    n1, n2 = first.degrees_of_freedom, second.degrees_of_freedom
    shrunk = 1 - n1 / float(scipy.special.chdtri(n1, tail))
    grown = n2 / float(scipy.special.chdtri(n2, 1 - tail)) - 1
    ratio = float(scipy.special.fdtri(n1, n2, 1 - tail))
    mixed = ((ratio - 1) ** 2 - (shrunk * ratio) ** 2 - grown**2) / ratio
    squared = (shrunk * first.value) ** 2 + (grown * second.value) ** 2 + mixed * first.value * second.value
    return float(np.sqrt(max(squared, 0.0)))


def _between_seeds(table: NDArray[np.float64]) -> tuple[MeanSquare, float]:
    _check(table)
    return MeanSquare(float(table.mean(axis=1).var(ddof=1)), len(table) - 1), _noise(table)


def _check(table: NDArray[np.float64]) -> None:
    if min(table.shape) < 2:
        raise ValueError(f"need two seeds and two images or more, got {table.shape[0]} and {table.shape[1]}")


def _noise(table: NDArray[np.float64]) -> float:
    """Variance of a run's accuracy that belongs to run and image together: MS_error / images."""
    seeds, images = table.shape
    rest = float(table.var(axis=1).mean() - table.mean(axis=0).var())  # sum of squares over seeds * images
    return float(max(rest, 0.0) * seeds / (seeds - 1) / (images - 1))


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(estimate.value * factor, estimate.low * factor, estimate.high * factor)


def _cut(estimate: Estimate, less: float = 0.0) -> Estimate:
    """Subtract what is known, and cut at 0."""
    value, low, high = (max(end - less, 0.0) for end in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high)
