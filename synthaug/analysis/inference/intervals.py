"""Intervals and tests for accuracies and their differences. Pure functions, no files.

What takes one number per test image covers the draw of test images: another test set of the same size from the same
source. What takes (seeds, images) covers the draw of seeds as well: training the same arm again.

Where not said otherwise `p` is an accuracy, a fraction in [0, 1]; `n` is the number of test images of one arm; tests
are two-sided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy  # its parts are loaded at their first use: scipy.stats takes a second that a table need not cost
from numpy.typing import NDArray

CONFIDENCE = 0.95
ALPHA = 0.05
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


def wilson(successes: float, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Wilson's score interval for a proportion.

    `successes` need not be whole: the mean accuracy over several seeds is k/n with k between two whole
    numbers. The interval is then on the wide side, because an image that some seeds get right and others
    wrong varies less than a coin.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of
    the American Statistical Association 22(158), 209-212. Recommended for small n and for proportions near
    0 and 1 by Brown, L. D., Cai, T. T., DasGupta, A. (2001). Interval estimation for a binomial proportion.
    Statistical Science 16(2), 101-133.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got successes={successes}, n={n}")
    return _wilson(successes / n, n, _z(confidence))


def accuracy_over_seeds(correct: NDArray[np.float64], confidence: float = CONFIDENCE) -> Estimate:
    """Mean accuracy over seeds and test images, both of which are drawn (see `crossed`); one seed: Wilson's interval.

    Wilson's interval with the number of images that a plain sample would need for the width found, as for proportions
    of complex surveys. Answers that are all right, or all wrong, count as those of one seed.

    Franco, C., Little, R. J. A., Louis, T. A., Slud, E. V. (2019). Comparative study of confidence intervals for
    proportions in complex sample surveys. Journal of Survey Statistics and Methodology 7(3), 334-364.

    Args:
        correct: (seeds, images), 1 for a right answer.
        confidence: of the interval.
    """
    seeds, n = correct.shape
    p = float(correct.mean())
    if seeds == 1 or p in (0.0, 1.0):
        return wilson(p * n, n, confidence)
    half = float(_spread([correct], correct.mean(axis=0)).half_width(1 - confidence))
    z = _z(confidence)
    images = p * (1 - p) * (z / half) ** 2 if half else math.inf
    return _wilson(p, min(images, float(correct.size)), z)


def _wilson(p: float, n: float, z: float) -> Estimate:
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding may leave the exact limits at p = 0 and p = 1 by one unit in the last place.
    return Estimate(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


@dataclass(frozen=True)
class Part:
    """One source of chance in a mean: its share of the variance, and the degrees of freedom that this is known by."""

    variance: NDArray[np.float64]  # a number, or one for each of many means
    degrees: float = math.inf  # infinite: by as many images as count as known

    def half_width(self, alpha: float) -> NDArray[np.float64]:
        """With the quantile of Student's t with these degrees of freedom, or of the normal distribution."""
        if math.isinf(self.degrees):
            return np.sqrt(self.variance) * -NormalDist().inv_cdf(alpha / 2)
        return np.sqrt(self.variance) * -float(scipy.special.stdtrit(self.degrees, alpha / 2))


@dataclass(frozen=True)
class Spread:
    """By how much a mean over seeds and images varies.

    The square of the half width of an interval is the sum of the squares of the parts', each with its own quantile.
    Such an interval covers at least what it promises, with two seeds as with twenty; the usual t with approximate
    degrees of freedom (Satterthwaite's, Hillis') falls to 87 % with two (`benchmarks/`), because seeds that agree by
    chance make the variance small and the degrees of freedom many at once. As two may agree so well that nothing is
    left of it, no interval is narrower than half of that over the images alone; with the whole, most would cover 99 %.

    Banerjee, S. K. (1960). Approximate confidence interval for linear functions of means of k populations when the
    population variances are not equal. Sankhya 22(3/4), 357-358.

    Attributes:
        images: the draw of images, the seeds as they are.
        parts: independent of each other: the draw of seeds (of each arm), and what of that of images is not in it; none
            where there is one seed.
    """

    images: Part
    parts: tuple[Part, ...] = ()

    def half_width(self, alpha: float = ALPHA) -> NDArray[np.float64]:
        """Half the width of an interval that covers 1 - alpha."""
        images = self.images.half_width(alpha)
        if not self.parts:
            return images
        squares = [np.square(part.half_width(alpha)) for part in self.parts]
        return np.maximum(np.sqrt(sum(squares, np.zeros(()))), images / 2)

    def p_value(self, distance: float) -> float:
        """Two-sided: the alpha at which the interval around one mean just reaches so far."""
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
        spread: of `centre`.
        p_value: two-sided, of a difference of 0.
        seeds: how many the draw of seeds was judged by; 1: it is not in the interval.
        adjusted_p: `p_value` after Holm's correction for the comparisons that were made beside it.
    """

    centre: float
    spread: Spread
    p_value: float
    seeds: int
    adjusted_p: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether it is significant, after Holm's correction where there is one."""
        return (self.p_value if self.adjusted_p is None else self.adjusted_p) <= ALPHA

    def p_not_worse(self, margin: float) -> float:
        """One-sided p value of the hypothesis that the difference is at most -margin.

        It is at most (1 - confidence) / 2 exactly where the interval lies above -margin: the two-sided interval of 95 %
        is the one by which non-inferiority is judged, at 2.5 %.

        Piaggio, G., Elbourne, D. R., Pocock, S. J., Evans, S. J. W., Altman, D. G. (2012). Reporting of noninferiority
        and equivalence randomized trials: extension of the CONSORT 2010 statement. JAMA 308(24), 2594-2604.
        """
        tail = self.spread.p_value(abs(self.centre + margin)) / 2
        return tail if self.centre + margin > 0 else 1 - tail


def crossed(differences: NDArray[np.float64], confidence: float = CONFIDENCE, reach: float = 1.0) -> Difference:
    """Mean difference over seeds and test images, both of which are drawn.

    Every seed answers every image, so that the two are crossed, as readers and cases are in diagnostic radiology. With
    the mean squares of a two-way table, S seeds and n images, the variance of the mean has two parts:

        MS_seed / (n S), known by S - 1 degrees of freedom, and max(MS_image - MS_error, 0) / (n S)

    and the interval is that of `Spread`. With one seed nothing is known about others: the interval covers the images
    alone, and is Bonett and Price's, who add one image to each of the two discordant cells of the paired 2x2 table. An
    image of -1 and one of +1 say the same thing. With several seeds the added images are as much smaller as the mean of
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
    centre, spread = crossed_spread(differences, reach)
    return _difference(float(differences.mean()), float(centre), spread, len(differences), confidence, reach)


def crossed_spread(differences: NDArray[np.float64], reach: float = 1.0) -> tuple[NDArray[np.float64], Spread]:
    """Centre and spread of `crossed`, of one table (seeds, images) or of many: (..., seeds, images)."""
    size = reach * np.sqrt(_likeness(differences))
    padded = _padded(differences, -size, size)
    return padded.mean(axis=(-2, -1)), _spread([padded], padded.mean(axis=-2))


def crossed_apart(
    first: NDArray[np.float64], second: NDArray[np.float64], confidence: float = CONFIDENCE
) -> Difference:
    """`crossed` for two arms that answer the same images and share no seed: first minus second.

    The draws of seeds are independent, and each arm has a part of its own. Where one of the arms has one seed, the
    interval covers the images alone.

    Args:
        first, second: (seeds, images), the images in the same order.
        confidence: of the interval.
    """
    arms = [_padded(first, np.zeros(()), np.ones(())), _padded(second, np.ones(()), np.zeros(()))]
    of_images = arms[0].mean(axis=0) - arms[1].mean(axis=0)
    value, seeds = float(first.mean() - second.mean()), min(map(len, arms))
    return _difference(value, float(of_images.mean()), _spread(arms, of_images), seeds, confidence)


def contrast(first: Difference, second: Difference, confidence: float = CONFIDENCE, reach: float = 2.0) -> Difference:
    """First minus second, where the two are of different test images: what both vary by is added up.

    Where both are of the same runs, the draw of seeds is in both. It is added as if they were of different runs: too
    much where a seed that is bad on one set of images is bad on the other.

    Args:
        first, second: of `crossed` or `crossed_apart`.
        confidence: of the interval.
        reach: the largest value there could be.
    """
    images = Part(first.spread.images.variance + second.spread.images.variance)
    seeds = min(first.seeds, second.seeds)
    spread = Spread(images, (*first.spread.parts, *second.spread.parts) if seeds > 1 else ())
    value, centre = first.value - second.value, first.centre - second.centre
    return _difference(value, centre, spread, seeds, confidence, reach)


def _likeness(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of an image's mean over seeds, as a share of the variance of one seed's answer: from 1/seeds to 1."""
    if 0 in tables.shape:
        raise ValueError(f"need at least one seed and one image, got an array of {tables.shape}")
    one = tables.var(axis=-1).mean(axis=-1)
    share = np.divide(tables.mean(axis=-2).var(axis=-1), one, out=np.ones_like(one), where=one > 0)
    return np.asarray(np.maximum(share, 1 / tables.shape[-2]))


def _padded(tables: NDArray[np.float64], *images: NDArray[np.float64]) -> NDArray[np.float64]:
    added = [np.broadcast_to(image[..., None, None], (*tables.shape[:-1], 1)) for image in images]
    return np.concatenate([tables, *added], axis=-1)


def _spread(arms: Sequence[NDArray[np.float64]], of_images: NDArray[np.float64]) -> Spread:
    """Of the mean of `of_images` (..., images), the signed sum of the means over seeds of arms (..., seeds, images)."""
    n = of_images.shape[-1]
    images = Part(of_images.var(axis=-1) / n)
    if min(arm.shape[-2] for arm in arms) == 1:
        return Spread(images)
    parts, noise = [], np.zeros(())
    for arm in arms:
        seeds = arm.shape[-2]
        parts.append(Part(arm.mean(axis=-1).var(axis=-1, ddof=1) / seeds, seeds - 1))
        rest = arm.var(axis=-1).mean(axis=-1) - arm.mean(axis=-2).var(axis=-1)  # sum of squares over seeds * n
        noise = noise + rest / (seeds - 1)
    return Spread(images, (*parts, Part(np.maximum(of_images.var(axis=-1) - noise, 0) / max(n - 1, 1))))


def _difference(
    value: float, centre: float, spread: Spread, seeds: int, confidence: float, reach: float = 1.0
) -> Difference:
    half = float(spread.half_width(1 - confidence))
    # Pulled towards 0, the interval of answers that all differ would leave out the value itself.
    low, high = min(value, max(-reach, centre - half)), max(value, min(reach, centre + half))
    return Difference(value, low, high, centre, spread, spread.p_value(abs(centre)), seeds)


def sample_deviation(values: list[float]) -> float | None:
    """Standard deviation with n - 1 in the denominator; None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


# --- tests -------------------------------------------------------------------------------------------


def two_proportion_z(k1: int, n1: int, k2: int, n2: int) -> float:
    """P value of the z test of two independent proportions with pooled variance, uncorrected for continuity.

    z = (k1/n1 - k2/n2) / sqrt(p (1 - p) (1/n1 + 1/n2)) with p = (k1 + k2) / (n1 + n2); z squared is Pearson's
    chi-squared of the 2x2 table. 1 where all answers are right, or all wrong.

    Fleiss, J. L., Levin, B., Paik, M. C. (2003). Statistical methods for rates and proportions, 3rd edition, section
    3.1. Wiley. Not to be trusted where a count of right or wrong answers is below about five: see `fisher`.
    """
    pooled = (k1 + k2) / (n1 + n2)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return 2 * NormalDist().cdf(-abs(k1 / n1 - k2 / n2) / deviation) if deviation else 1.0


def fisher(k1: int, n1: int, k2: int, n2: int) -> float:
    """P value of Fisher's exact test of two independent proportions (scipy's: all tables that are no likelier).

    Fisher, R. A. (1935). The logic of inductive inference. Journal of the Royal Statistical Society 98(1), 39-82.
    """
    return min(1.0, float(scipy.stats.fisher_exact([[k1, n1 - k1], [k2, n2 - k2]]).pvalue))


def mcnemar(better: int, worse: int) -> float:
    """P value of McNemar's exact test: are the images that only one of two classifiers gets right evenly split?

    Twice the smaller tail of a binomial distribution with better + worse draws of probability 1/2, at most 1.

    McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or percentages.
    Psychometrika 12(2), 153-157.
    """
    tail = scipy.stats.binom.cdf(min(better, worse), better + worse, 0.5)
    return min(1.0, 2 * float(tail))


def mcnemar_at_best(difference: int) -> float:
    """The smallest p value that McNemar's exact test can have, given only how many more images one arm gets right.

    Accuracies without answers leave open which images they are of. Of all pairings with this difference, the most
    significant is the one in which the arms disagree on |difference| images and all of them go one way, since every
    further disagreement comes as a pair of opposite ones; it is always possible. Its p value is 2 * 0.5^|difference|.
    """
    return mcnemar(abs(difference), 0)


def most_opposed(difference: int, alpha: float = ALPHA) -> int | None:
    """How many images may go against a difference so that McNemar's exact test still finds it; None if it never does.

    See `mcnemar_at_best`: the p value grows with the images that go the other way.
    """
    size = abs(difference)
    if mcnemar_at_best(size) > alpha:
        return None
    # With c images against it, z is about size / sqrt(size + 2 c): at c = size^2 it is far below 1.
    low, high = 0, size * size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mcnemar(size + middle, middle) <= alpha else (low, middle)
    return low


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number, in the given order: reject those that are at most alpha.

    The i-th smallest of m is multiplied by m - i + 1, none may be smaller than one before it, none exceeds 1.

    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2),
    65-70.
    """
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = floor
    return adjusted


@dataclass(frozen=True)
class Trend:
    """Kendall's tau-b, from -1 (always falling) to 1 (always rising), and its two-sided p value."""

    tau: float
    p_value: float


def kendall(first: Sequence[float], second: Sequence[float]) -> Trend | None:
    """Rank correlation of two lists of equal length; None where one of them is constant, so that nothing can trend.

    Kendall, M. G. (1945). The treatment of ties in ranking problems. Biometrika 33(3), 239-251. The p value is exact
    where there are no ties and at most 33 pairs, else that of the normal distribution (scipy's `kendalltau`).
    """
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    found = scipy.stats.kendalltau(first, second)
    return Trend(float(found.statistic), float(found.pvalue))


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
