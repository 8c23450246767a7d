"""Intervals and tests for accuracies and their differences. Pure functions, no files.

What takes one number per test image covers the draw of test images: another test set of the same size from the same
source. What takes (seeds, images) covers the draw of seeds as well: training the same arm again.

Where not said otherwise `p` is an accuracy, a fraction in [0, 1]; `n` is the number of test images of one arm; tests
are two-sided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import scipy  # its parts are loaded at their first use: scipy.stats takes a second that a table need not cost
from numpy.typing import NDArray

CONFIDENCE = 0.95
ALPHA = 0.05
_ROOT = 1e-12  # beside a root at the end of a range that is not the one looked for
SMALLEST_P = 1e-12  # no study is so sure that less would mean anything


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. A fraction, not percent."""

    value: float
    low: float
    high: float

    @property
    def contains_zero(self) -> bool:
        """Whether the sign of the number is open."""
        return self.low <= 0 <= self.high


def wilson(successes: float, n: float, confidence: float = CONFIDENCE) -> Estimate:
    """Compute Wilson's score interval for a proportion.

    `successes` need not be whole: the mean accuracy over several seeds is k/n with k between two whole
    numbers. The interval is then on the wide side, because an image that some seeds get right and others
    wrong varies less than a coin.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of
    the American Statistical Association 22(158), 209-212. Recommended for small n and for proportions near
    0 and 1 by Brown, L. D., Cai, T. T., DasGupta, A. (2001). Interval estimation for a binomial proportion.
    Statistical Science 16(2), 101-133.

    Args:
        successes: between 0 and n.
        n: number of trials.
        confidence: of the interval.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got successes={successes}, n={n}")
    return _wilson(successes / n, n, _z(confidence))


def auc(
    negative: Sequence[float] | NDArray[np.float64],
    positive: Sequence[float] | NDArray[np.float64],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate the area under the ROC curve of scores, with an interval that has a width at 0 and 1 too.

    Newcombe, R. G. (2006). Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2:
    asymptotic methods and evaluation. Statistics in Medicine 25(4), 559-573: method 5, a score interval from the
    variance of Hanley, J. A., McNeil, B. J. (1982). The meaning and use of the area under a receiver operating
    characteristic curve. Radiology 143(1), 29-36, with the mean number of images in the place of either one.

    Args:
        negative: scores of one kind, at least two.
        positive: scores of the kind that should have higher ones, at least two.
        confidence: of the interval.
    """
    m, n = len(positive), len(negative)
    if min(m, n) < 2:
        raise ValueError(f"need two or more scores of each kind, got {n} and {m}")
    ranks = scipy.stats.rankdata([*positive, *negative])
    value = float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))
    z, half = _z(confidence), (m + n) / 2 - 1

    def excess(area: float) -> float:
        variance = area * (1 - area) * (1 + half * (1 - area) / (2 - area) + half * area / (1 + area)) / (m * n)
        return (area - value) ** 2 - z**2 * variance

    low = 0.0 if value == 0 else float(scipy.optimize.brentq(excess, 0, min(value, 1 - _ROOT)))
    high = 1.0 if value == 1 else float(scipy.optimize.brentq(excess, max(value, _ROOT), 1))
    return Estimate(value, low, high)


def cluster_means(tables: NDArray[np.float64], clusters: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Let near duplicates count as one image: a value for each cluster, whose mean is that of the images.

    What is computed over images may then be computed over clusters, whose number is the sample size: the images of one
    cluster are answered alike, so that a second one tells next to nothing. A cluster's value is the mean and what its
    images add to it, so that the variance of the mean is that of a ratio to the clusters' sizes: Cochran, W. G.
    (1977). Sampling techniques, 3rd edition, section 9A. Wiley.

    Args:
        tables: (..., images).
        clusters: number of each image's cluster; None: each is one of its own.

    Returns:
        (..., clusters); the tables themselves where no two images share a cluster.
    """
    if clusters is None:
        return tables
    numbers, members = np.unique(clusters, return_inverse=True)
    if len(numbers) == tables.shape[-1]:
        return tables
    mean = tables.mean(axis=-1, keepdims=True)
    sums = np.zeros((len(numbers), *tables.shape[:-1]))
    np.add.at(sums, members, np.moveaxis(tables - mean, -1, 0))
    return np.asarray(mean + np.moveaxis(sums, 0, -1) * (len(numbers) / tables.shape[-1]))


def accuracy_over_seeds(
    correct: NDArray[np.float64], confidence: float = CONFIDENCE, clusters: NDArray[np.int64] | None = None
) -> Estimate:
    """Estimate mean accuracy over seeds and test images, both of which are drawn.

    One seed: `wilson`. Several: Wilson's interval with the number of images that a simple random sample would need for
    the width of `MeanVariance`, as for proportions of complex surveys. Answers that are all right, or all wrong, count
    as those of one seed.

    Franco, C., Little, R. J. A., Louis, T. A., Slud, E. V. (2019). Comparative study of confidence intervals for
    proportions in complex sample surveys. Journal of Survey Statistics and Methodology 7(3), 334-364.

    Near 0 and 1 a handful of images decides, and seeds that repeat the same mistakes make the interval too short: the
    end towards 1/2 is no nearer to the accuracy than Wilson's with the images of one seed.

    Args:
        correct: (seeds, images), 1 for a right answer.
        confidence: of the interval.
        clusters: of near duplicates among the images, see `cluster_means`.
    """
    seeds, images = correct.shape
    p = float(correct.mean())
    correct = cluster_means(correct, clusters)
    n = correct.shape[1]
    if p in (0.0, 1.0) or (seeds == 1 and n == images):
        return wilson(p * n, n, confidence)
    return mean_proportion(p, correct, n, confidence)


def mean_proportion(p: float, table: NDArray[np.float64], n: float, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a proportion from values whose mean it is, as `accuracy_over_seeds` does.

    Args:
        p: the proportion.
        table: (seeds, images or clusters).
        n: images of one seed in a simple random sample that would be as exact.
        confidence: of the interval.
    """
    half = float(_mean_variance([table], table.mean(axis=0)).half_width(1 - confidence))
    return effective_wilson(p, half, n, n * len(table), confidence)


def effective_wilson(p: float, half: float, single: float, most: float, confidence: float) -> Estimate:
    """Compute Wilson's interval with the number of images of a simple random sample that would be as exact.

    Args:
        p: the proportion.
        half: half of the width that a symmetric interval has.
        single: images whose interval is the least towards 1/2.
        most: as many images at most.
        confidence: of the interval.
    """
    z = _z(confidence)
    effective = p * (1 - p) * (z / half) ** 2 if half else math.inf
    estimate, least = _wilson(p, min(effective, most), z), _wilson(p, single, z)
    if p > 0.5:
        return Estimate(p, min(estimate.low, least.low), estimate.high)
    return Estimate(p, estimate.low, max(estimate.high, least.high))


def _wilson(p: float, n: float, z: float) -> Estimate:
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding may leave the exact limits at p = 0 and p = 1 by one unit in the last place.
    return Estimate(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


@dataclass(frozen=True)
class VarianceComponent:
    """One source of chance in a mean.

    Attributes:
        variance: what it contributes to the variance of the mean; a number, or one for each of many means.
        degrees_of_freedom: of that estimate; infinite for the images.
    """

    variance: NDArray[np.float64]
    degrees_of_freedom: float = math.inf

    def half_width(self, alpha: float) -> NDArray[np.float64]:
        """Return the standard deviation times the quantile of Student's t (of the normal for infinite degrees)."""
        if math.isinf(self.degrees_of_freedom):
            return np.sqrt(self.variance) * -NormalDist().inv_cdf(alpha / 2)
        return np.sqrt(self.variance) * -float(scipy.special.stdtrit(self.degrees_of_freedom, alpha / 2))


@dataclass(frozen=True)
class MeanVariance:
    """Variance of a mean over seeds and images.

    The square of the half width of an interval is the sum of the squares of the components', each with its own
    quantile. Such an interval covers at least what it promises, with two seeds as with twenty; the usual t with
    approximate degrees of freedom (Satterthwaite's, Hillis') falls to 87 % with two (`benchmarks/`), because seeds
    that agree by chance make the variance small and the degrees of freedom many at once. As two may agree so well that
    nothing is left of it, no interval is narrower than the one over the images alone: with a half of that as the least
    width, two seeds gave p values below 0.001 four times as often as they should.

    Banerjee, S. K. (1960). Approximate confidence interval for linear functions of means of k populations when the
    population variances are not equal. Sankhya 22(3/4), 357-358.

    Attributes:
        images: the draw of images, the seeds as they are.
        components: independent: the draw of seeds (of each arm), and what of that of images is not in it; none where
            there is one seed.
    """

    images: VarianceComponent
    components: tuple[VarianceComponent, ...] = ()

    def half_width(self, alpha: float = ALPHA) -> NDArray[np.float64]:
        """Return half the width of an interval that covers 1 - alpha."""
        images = self.images.half_width(alpha)
        if not self.components:
            return images
        squares = [np.square(component.half_width(alpha)) for component in self.components]
        return np.maximum(np.sqrt(sum(squares, np.zeros(()))), images)

    def p_value(self, distance: float) -> float:
        """Return the two-sided p value: the alpha at which the interval around one mean just reaches so far."""
        if distance == 0:
            return 1.0
        if self.half_width(SMALLEST_P) <= distance:
            return SMALLEST_P
        return math.exp(
            scipy.optimize.brentq(
                lambda log: float(self.half_width(math.exp(log))) - distance, math.log(SMALLEST_P), 0, xtol=1e-10
            )
        )


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference with its interval, and what tests of it need.

    Attributes:
        centre: what the interval lies around; close to `value`.
        variance: of `centre`.
        p_value: two-sided, of a difference of 0; None where nothing may be concluded: with one seed the interval is
            about two trained networks, of which other trainings of the same arms differ.
        seeds: by which the variance between seeds was estimated; 1: it is not in the interval.
        adjusted_p: `p_value` after the correction for the comparisons and looks that were made beside it.
    """

    centre: float
    variance: MeanVariance
    p_value: float | None
    seeds: int
    adjusted_p: float | None = None

    @property
    def is_significant(self) -> bool:
        """Whether it is significant at 5 %, after correction where there is one."""
        p_value = self.p_value if self.adjusted_p is None else self.adjusted_p
        return p_value is not None and p_value <= ALPHA

    def untested(self) -> "Difference":
        """Return it as an estimate from which nothing may be concluded."""
        return replace(self, p_value=None, adjusted_p=None)

    def non_inferiority_p(self, margin: float) -> float:
        """Compute the one-sided p value of the hypothesis that the difference is at most -margin (a fraction).

        It is at most (1 - confidence) / 2 exactly where the interval lies above -margin: the two-sided interval of 95 %
        is the one by which non-inferiority is judged, at 2.5 %.

        Piaggio, G., Elbourne, D. R., Pocock, S. J., Evans, S. J. W., Altman, D. G. (2012). Reporting of noninferiority
        and equivalence randomized trials: extension of the CONSORT 2010 statement. JAMA 308(24), 2594-2604.
        """
        tail = self.variance.p_value(abs(self.centre + margin)) / 2
        return tail if self.centre + margin > 0 else 1 - tail


def paired_difference(
    differences: NDArray[np.float64], confidence: float = CONFIDENCE, reach: float = 1.0
) -> Difference:
    """Estimate the mean difference over seeds and test images, both of which are drawn.

    Every seed answers every image, so that the two are crossed, as readers and cases are in diagnostic radiology. With
    the mean squares of a two-way table, S seeds and n images, the variance of the mean has two parts:

        MS_seed / (n S), known by S - 1 degrees of freedom, and max(MS_image - MS_error, 0) / (n S)

    and the interval is that of `MeanVariance`. With one seed nothing is known about others: the interval covers the
    images alone, and is Bonett and Price's, who add one image to each of the two discordant cells of the paired 2x2
    table: an image of -1 and one of +1. With several seeds the added images are as much smaller as the mean of
    an image over seeds varies less than one answer. The value itself is the plain mean.

    Dorfman, D. D., Berbaum, K. S., Metz, C. E. (1992). Receiver operating characteristic rating analysis:
    generalization to the population of readers and patients with the jackknife method. Investigative Radiology 27(9),
    723-731. Bonett, D. G., Price, R. M. (2012). Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data. Journal of Educational and Behavioral Statistics 37(4), 479-488; compared with
    others by Fagerland, M. W., Lydersen, S., Laake, P. (2014). Recommended tests and confidence intervals for paired
    binomial proportions. Statistics in Medicine 33(16), 2850-2875.

    Args:
        differences: (seeds, images), each in about [-1, 1]: right answers of an arm minus those of another, or
            pseudo-values of a metric.
        confidence: of the interval.
        reach: the largest difference there could be.
    """
    centre, variance = paired_mean_variance(differences, reach)
    return difference_around(float(differences.mean()), float(centre), variance, len(differences), confidence, reach)


def paired_mean_variance(
    differences: NDArray[np.float64], reach: float = 1.0
) -> tuple[NDArray[np.float64], MeanVariance]:
    """Compute the centre of `paired_difference` and its variance, for one table or for many at once.

    Args:
        differences: (..., seeds, images).
        reach: the largest difference there could be.
    """
    size = added_image(differences, reach)
    padded = _padded(differences, -size, size)
    return padded.mean(axis=(-2, -1)), _mean_variance([padded], padded.mean(axis=-2))


def added_image(differences: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return the size of the two images, plus and minus, that `paired_difference` adds.

    Args:
        differences: (..., seeds, images).
        reach: the largest difference there could be.
    """
    return np.asarray(reach * np.sqrt(_likeness(differences)))


def unpaired_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], confidence: float = CONFIDENCE
) -> Difference:
    """Estimate the difference of two arms that share the test images but no seed: first minus second.

    As `paired_difference`, but the draws of seeds are independent: each arm has a component of its
    own. Where one of the arms has one seed, the interval covers the images alone.

    Args:
        first: (seeds, images).
        second: (other seeds, the same images).
        confidence: of the interval.
    """
    arms = [_padded(first, np.zeros(()), np.ones(())), _padded(second, np.ones(()), np.zeros(()))]
    of_images = arms[0].mean(axis=0) - arms[1].mean(axis=0)
    value, seeds = float(first.mean() - second.mean()), min(map(len, arms))
    return difference_around(value, float(of_images.mean()), _mean_variance(arms, of_images), seeds, confidence)


def difference_of_differences(
    first: Difference, second: Difference, confidence: float = CONFIDENCE, reach: float = 2.0
) -> Difference:
    """Subtract two differences on different test images, first minus second: their variances add up.

    Where both are of the same runs, the draw of seeds is in both. It is added as if they were of different runs: too
    much where a seed that is bad on one set of images is bad on the other.

    Args:
        first: of `paired_difference` or `unpaired_difference`.
        second: the same on the other images.
        confidence: of the interval.
        reach: the largest value there could be.
    """
    images = VarianceComponent(first.variance.images.variance + second.variance.images.variance)
    seeds = min(first.seeds, second.seeds)
    variance = MeanVariance(images, (*first.variance.components, *second.variance.components) if seeds > 1 else ())
    value, centre = first.value - second.value, first.centre - second.centre
    return difference_around(value, centre, variance, seeds, confidence, reach)


def _likeness(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of an image's mean over seeds, as a share of the variance of one seed's answer: from 1/seeds to 1."""
    if 0 in tables.shape:
        raise ValueError(f"need at least one seed and one image, got an array of {tables.shape}")
    single = tables.var(axis=-1).mean(axis=-1)
    share = np.divide(tables.mean(axis=-2).var(axis=-1), single, out=np.ones_like(single), where=single > 0)
    return np.asarray(np.maximum(share, 1 / tables.shape[-2]))


def _padded(tables: NDArray[np.float64], *images: NDArray[np.float64]) -> NDArray[np.float64]:
    added = [np.broadcast_to(image[..., None, None], (*tables.shape[:-1], 1)) for image in images]
    return np.concatenate([tables, *added], axis=-1)


def _mean_variance(arms: Sequence[NDArray[np.float64]], of_images: NDArray[np.float64]) -> MeanVariance:
    """Of the mean of `of_images` (..., images), the signed sum of the means over seeds of arms (..., seeds, images)."""
    n = of_images.shape[-1]
    images = VarianceComponent(of_images.var(axis=-1) / n)
    if min(arm.shape[-2] for arm in arms) == 1:
        return MeanVariance(images)
    components, noise = [], np.zeros(())
    for arm in arms:
        seeds = arm.shape[-2]
        components.append(VarianceComponent(arm.mean(axis=-1).var(axis=-1, ddof=1) / seeds, seeds - 1))
        rest = arm.var(axis=-1).mean(axis=-1) - arm.mean(axis=-2).var(axis=-1)  # sum of squares over seeds * n
        noise = noise + rest / (seeds - 1)
    remainder = np.maximum(of_images.var(axis=-1) - noise, 0) / max(n - 1, 1)
    return MeanVariance(images, (*components, VarianceComponent(remainder)))


def difference_around(
    value: float, centre: float, variance: MeanVariance, seeds: int, confidence: float, reach: float = 1.0
) -> Difference:
    """Return a difference with the interval and the p value of its variance.

    Args:
        value: the mean difference.
        centre: what the interval lies around.
        variance: of the centre.
        seeds: by which the variance between seeds was estimated.
        confidence: of the interval.
        reach: the largest difference there could be.
    """
    half = float(variance.half_width(1 - confidence))
    # Pulled towards 0, the interval of answers that all differ would leave out the value itself.
    low, high = min(value, max(-reach, centre - half)), max(value, min(reach, centre + half))
    p_value = variance.p_value(abs(centre)) if seeds > 1 else None
    return Difference(value, low, high, centre, variance, p_value, seeds)


def sample_deviation(values: list[float]) -> float | None:
    """Return the standard deviation with n - 1 in the denominator; None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
