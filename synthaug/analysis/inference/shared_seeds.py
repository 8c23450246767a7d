"""The variance between seeds, estimated from all arms of a study at once, and a check that they share it.

`intervals.paired_difference` knows the seeds' variance of a difference by S - 1 degrees of freedom, so that two or
three seeds give wide intervals. A study has several arms. If the accuracy of each moves alike from seed to seed, the
residuals of the table of seeds by arms estimate one variance with (S - 1)(arms - 1) degrees of freedom, as the error of
a repeated-measures analysis of variance does; what all arms of a seed have in common cancels in it as in a difference.
The interval of an arm that is less stable than the rest is then too narrow: hence the check, and hence this is never
the interval of record.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import (
    CONFIDENCE,
    Difference,
    MeanVariance,
    VarianceComponent,
    difference_around,
    paired_mean_variance,
)

LEAST_ARMS = 3  # of two, the residuals are those of their difference
CHECK_ALPHA = 0.1  # above the usual 5 %, as few seeds tell little and the interval depends on it
NULL_DRAWS = 1999
ROUNDING = 1e-9  # ratios no farther apart are equal
SMALLEST_VARIANCE = 1e-24  # of an accuracy; less is rounding


@dataclass(frozen=True)
class Homogeneity:
    """A test of the hypothesis that all arms' accuracies vary alike between seeds.

    Attributes:
        p_value: of the largest ratio.
        least_stable: position of the arm with the largest ratio.
        ratio: variance of that arm's residuals between seeds, over what it is expected to be if all vary alike.
    """

    p_value: float
    least_stable: int
    ratio: float

    @property
    def is_rejected(self) -> bool:
        """Whether the arms do not vary alike: the interval that borrows is then withheld."""
        return self.p_value <= CHECK_ALPHA


@dataclass(frozen=True)
class SharedSeedVariance:
    """Variance of an arm's expected accuracy between seeds, which all arms of a study share.

    Attributes:
        variance: less what all arms of a seed have in common, had the test set no end.
        degrees_of_freedom: of the estimate.
        homogeneity: whether the arms share it.
    """

    variance: float
    degrees_of_freedom: int
    homogeneity: Homogeneity


def shared_seed_variance(tables: NDArray[np.float64]) -> SharedSeedVariance | None:
    """Estimate the seeds' variance from all arms; None with one seed or fewer than three arms.

    Of the variance of an arm's residual between seeds, the part that the finite test set explains is subtracted: it
    differs between arms, as one at 99 % has fewer images to waver on than one at 90 %.

    Args:
        tables: (arms, seeds, images), the same seeds for all: 1 for a right answer.
    """
    arms, seeds, images = tables.shape
    if arms < LEAST_ARMS or seeds < 2 or images < 2:
        return None
    residuals = tables - tables.mean(axis=0)
    between = residuals.mean(axis=2).var(axis=1, ddof=1)
    noise = _noise(residuals)
    variance = max(float((between - noise).sum()) / (arms - 1), 0.0)
    homogeneity = _homogeneity(between, _noise(tables), variance, seeds)
    return SharedSeedVariance(variance, (seeds - 1) * (arms - 1), homogeneity)


def borrowed_difference(
    differences: NDArray[np.float64], shared: SharedSeedVariance, confidence: float = CONFIDENCE
) -> Difference:
    """Estimate a mean difference as `intervals.paired_difference` does, with the seeds' variance of all arms.

    Where the seeds of the two arms vary more than that, theirs is used, so that an arm that is less stable than the
    rest loses less. For the use beside the interval of record, and where homogeneity is not rejected.

    Args:
        differences: (seeds, images), right answers of an arm minus those of another; two seeds or more.
        shared: of the study that both arms are part of.
        confidence: of the interval.
    """
    centre, variance = borrowed_mean_variance(differences, shared)
    return difference_around(float(differences.mean()), float(centre), variance, len(differences), confidence)


def borrowed_mean_variance(
    differences: NDArray[np.float64], shared: SharedSeedVariance
) -> tuple[NDArray[np.float64], MeanVariance]:
    """Compute the centre of `borrowed_difference` and its variance, for one table or for many at once.

    Args:
        differences: (..., seeds, images).
        shared: of the study.
    """
    seeds = differences.shape[-2]
    if seeds < 2:
        raise ValueError("the variance between seeds is borrowed by differences of two seeds or more, got one")
    centre, spread = paired_mean_variance(differences)
    of_seeds, of_images = spread.components
    pooled = (2 * shared.variance + _noise(differences)) / seeds
    component = VarianceComponent(np.maximum(of_seeds.variance, pooled), shared.degrees_of_freedom)
    return centre, MeanVariance(spread.images, (component, of_images))


def _noise(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of a seed's mean that its images explain, MS_error / n: (..., seeds, images) -> (...)."""
    seeds, images = tables.shape[-2:]
    rest = tables.var(axis=-1).mean(axis=-1) - tables.mean(axis=-2).var(axis=-1)  # sum of squares over seeds * images
    return np.asarray(np.maximum(rest, 0) * seeds / (seeds - 1) / (images - 1))


def _homogeneity(between: NDArray[np.float64], noise: NDArray[np.float64], variance: float, seeds: int) -> Homogeneity:
    """Test whether an arm varies more than it is expected to, with and without the shared variance between seeds.

    Without it, the images alone decide how much an arm is expected to vary; the larger p value counts, as the shared
    variance is known by few degrees of freedom.
    """
    tests = [_largest_ratio(between, noise + shared, seeds) for shared in {0.0, variance}]
    return max(tests, key=lambda test: test.p_value)


def _largest_ratio(between: NDArray[np.float64], of_arms: NDArray[np.float64], seeds: int) -> Homogeneity:
    """Test the largest ratio of an arm's variance to its expectation against its distribution for normal seeds.

    If the arms are alike, this is Cochran's C: Cochran, W. G. (1941). The distribution of the largest of a set of
    estimated variances as a fraction of their total. Annals of Eugenics 11(1), 47-52. The residuals of the arms depend
    on each other, so that the distribution is simulated (Dufour, J.-M. (2006). Monte Carlo tests with nuisance
    parameters. Journal of Econometrics 133(2), 443-477), with the same random numbers every time.
    """
    arms = len(between)
    if of_arms.sum() < SMALLEST_VARIANCE or between.sum() < SMALLEST_VARIANCE:
        return Homogeneity(1.0, 0, 1.0)
    expected = of_arms * (1 - 2 / arms) + of_arms.sum() / arms**2
    drawn = _normal(seeds, arms) * np.sqrt(of_arms)
    drawn = (drawn - drawn.mean(axis=2, keepdims=True)).var(axis=1, ddof=1)
    ratios, null = (_ratios(variances, expected) for variances in (between, drawn))
    largest = int(ratios.argmax())
    exceeded = int((null.max(axis=1) >= ratios[largest] * (1 - ROUNDING)).sum())
    return Homogeneity((exceeded + 1) / (len(null) + 1), largest, float(ratios[largest]))


def _ratios(variances: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    level = np.maximum(variances.sum(axis=-1, keepdims=True), np.finfo(float).tiny) / expected.sum()
    return np.asarray(variances / expected / level)


@functools.lru_cache(maxsize=4)
def _normal(seeds: int, arms: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((NULL_DRAWS, seeds, arms))
