"""Power and sample size of tests of one run per arm.

All of it covers the draw of test images and not that of seeds, as for two classifiers that are trained already; for
several seeds see `variance_components`. Pure functions, no files.

`p1` and `p2` are accuracies, fractions in [0, 1]; `n` is the number of test images of one arm; tests are two-sided.
"""

import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import scipy  # its parts are loaded at their first use: scipy.stats takes a second that a table need not cost
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import ALPHA

POWER = 0.8
MOST_IMAGES = 10_000_000  # that are looked for; more test images than anyone has


def unpaired_images(p1: float, p2: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the test images per arm with which the two-proportion z test finds p1 against p2, not rounded up.

    n = (z_a sqrt(2 m (1 - m)) + z_b sqrt(p1 (1 - p1) + p2 (1 - p2)))^2 / (p1 - p2)^2 with m = (p1 + p2) / 2,
    z_a and z_b the normal quantiles of 1 - alpha/2 and of the power.

    Fleiss, J. L., Levin, B., Paik, M. C. (2003). Statistical methods for rates and proportions, 3rd edition, section
    4.2, without the correction for continuity. Wiley.

    Args:
        p1: accuracy of the first classifier.
        p2: accuracy of the second.
        power: to be reached.
        alpha: level of the test.

    Raises:
        ValueError: p1 equals p2, which no number of images tells apart.
    """
    mean = (p1 + p2) / 2
    null, alternative = math.sqrt(2 * mean * (1 - mean)), math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return _images(null, alternative, abs(p1 - p2), power, alpha)


def unpaired_power(p1: float, p2: float, n: float, alpha: float = ALPHA) -> float:
    """Return the power of the two-proportion z test: `unpaired_images` solved for the power.

    Args:
        p1: accuracy of the first classifier.
        p2: accuracy of the second.
        n: test images of each.
        alpha: level of the test.
    """
    mean = (p1 + p2) / 2
    null, alternative = math.sqrt(2 * mean * (1 - mean)), math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return _power(null, alternative, abs(p1 - p2), n, alpha)


def paired_images(discordant: float, difference: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the test images with which McNemar's test finds a difference of two accuracies on the same images.

    n = (z_a sqrt(discordant) + z_b sqrt(discordant - difference^2))^2 / difference^2, not rounded up.

    Connor, R. J. (1987). Sample size for testing differences in proportions for the paired-sample design. Biometrics
    43(1), 207-211; after Miettinen, O. S. (1968). The matched pairs design in the case of all-or-none responses.
    Biometrics 24(2), 339-352.

    Args:
        discordant: share of the images that exactly one of the two classifiers gets right.
        difference: of the accuracies, a fraction; at most `discordant`.
        power: to be reached.
        alpha: level of the test.

    Raises:
        ValueError: the difference is 0 or exceeds the share of discordant images.
    """
    null, alternative = _paired_deviations(discordant, difference)
    return _images(null, alternative, abs(difference), power, alpha)


def paired_power(discordant: float, difference: float, n: int, alpha: float = ALPHA) -> float:
    """Return the power of McNemar's test: `paired_images` solved for the power.

    Args:
        discordant: share of the images that exactly one of the two classifiers gets right.
        difference: of the accuracies, a fraction; at most `discordant`.
        n: test images.
        alpha: level of the test.
    """
    null, alternative = _paired_deviations(discordant, difference)
    return _power(null, alternative, abs(difference), n, alpha)


def fisher_power(p1: float, p2: float, n: int, alpha: float = ALPHA) -> float:
    """Compute the power of Fisher's exact test, by adding up all outcomes that it rejects.

    The same as Bennett, B. M., Hsu, P. (1960). On the power function of the exact test for the 2 x 2 contingency
    table. Biometrika 47(3/4), 393-398.

    Args:
        p1: accuracy of the first classifier.
        p2: accuracy of the second.
        n: test images of each.
        alpha: level of the test.
    """
    binom = scipy.stats.binom
    below = _significant_losses(n, alpha)
    above = n - below[::-1]  # wrong predictions for right ones turn a loss into a gain
    rejected = binom.cdf(below, n, p2) + binom.sf(above - 1, n, p2)
    return min(1.0, float(np.sum(binom.pmf(np.arange(n + 1), n, p1) * rejected)))


def fisher_corrected_power(p1: float, p2: float, n: int, alpha: float = ALPHA) -> float:
    """Approximate `fisher_power`, where n is so large that it takes minutes: `fisher_images` solved for the power.

    Args:
        p1: accuracy of the first classifier.
        p2: accuracy of the second.
        n: test images of each.
        alpha: level of the test.
    """
    gap = abs(p1 - p2) * n
    return unpaired_power(p1, p2, n * (1 - 1 / gap) ** 2, alpha) if gap > 1 else 0.0


def fisher_images(p1: float, p2: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Approximate the test images per arm that Fisher's exact test needs: `unpaired_images`, continuity-corrected.

    n (1 + sqrt(1 + 4 / (n |p1 - p2|)))^2 / 4: Fleiss, J. L., Levin, B., Paik, M. C. (2003), section 4.2; after
    Casagrande, J. T., Pike, M. C., Smith, P. G. (1978). An improved approximate formula for calculating sample sizes
    for comparing two binomial distributions. Biometrics 34(3), 483-486.

    Args:
        p1: accuracy of the first classifier.
        p2: accuracy of the second.
        power: to be reached.
        alpha: level of the test.
    """
    n = unpaired_images(p1, p2, power, alpha)
    return n / 4 * (1 + math.sqrt(1 + 4 / (n * abs(p1 - p2)))) ** 2


def mcnemar_power(discordant: float, difference: float, n: int, alpha: float = ALPHA) -> float:
    """Compute the power of McNemar's exact test, by adding up all outcomes that it rejects.

    The number of discordant images is binomial, and given that number, so are those that go against the difference.

    Duffy, S. W. (1984). Asymptotic and exact power for the McNemar test and its analogue with R controls per case.
    Biometrics 40(4), 1005-1015.

    Args:
        discordant: share of the images that exactly one of the two classifiers gets right.
        difference: of the accuracies, a fraction; at most `discordant`.
        n: test images.
        alpha: level of the test.
    """

    def minority(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        # Where one more image would overshoot, ppf is that one more.
        most = scipy.stats.binom.ppf(alpha / 2, pairs, 0.5)
        fits = 2 * scipy.stats.binom.cdf(most, pairs, 0.5) <= alpha
        return np.asarray(np.where(fits, most, most - 1), dtype=np.float64)

    return _rejected(discordant, difference, n, minority)


def bonett_price_power(discordant: float, difference: float, n: int, alpha: float = ALPHA) -> float:
    """Compute how often Bonett and Price's interval leaves out 0, by adding up all such outcomes.

    Args:
        discordant: share of the images that exactly one of the two classifiers gets right.
        difference: of the accuracies, a fraction; at most `discordant`.
        n: test images.
        alpha: level of the test.
    """
    z = _z(1 - alpha)

    def minority(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        # The interval leaves out 0 where the images of both kinds are further apart than `apart`.
        apart = z * np.sqrt((pairs + 2) / (1 + z * z / (n + 2)))
        return np.asarray(np.maximum(np.ceil((pairs - apart) / 2) - 1, -1), dtype=np.float64)

    return _rejected(discordant, difference, n, minority)


def _rejected(
    discordant: float, difference: float, n: int, minority: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> float:
    """Probability that at most `minority` (of the number of discordant images) go one way, whichever way it is."""
    _paired_deviations(discordant, difference)
    if discordant == 0:
        return 0.0
    # The numbers of discordant images that are left out have a probability below 1e-12.
    mean, reach = n * discordant, 8 * math.sqrt(n * discordant * (1 - discordant)) + 10
    pairs = np.arange(max(0, math.floor(mean - reach)), min(n, math.ceil(mean + reach)) + 1)
    most = minority(pairs)
    against = min(1.0, max(0.0, (1 - difference / discordant) / 2))
    rejected = _binomial_cdf(most, pairs, against) + _binomial_cdf(most, pairs, 1 - against)
    probability = np.diff(_binomial_cdf(np.append(pairs[0] - 1, pairs), n, discordant))
    return min(1.0, float(np.sum(probability * rejected)))


def _binomial_cdf(k: NDArray[Any], n: NDArray[np.int64] | int, p: float) -> NDArray[np.float64]:
    """Return the probability of at most k of n; as scipy.stats has it, which takes half a second to import."""
    return np.asarray(np.where(k < 0, 0.0, scipy.special.bdtr(np.maximum(k, 0), n, p)))


def smallest_difference(power_at: Callable[[float], float], most: float, power: float = POWER) -> float | None:
    """Search the smallest difference that reaches a power, to 1e-7; None if even the largest does not.

    Args:
        power_at: power of a test at a difference in (0, `most`], growing with it.
        most: the largest difference there can be.
        power: to be reached.
    """
    if most <= 0 or power_at(most) < power:
        return None
    low, high = 0.0, most
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high


def smallest_number(
    power_at: Callable[[int], float], least: int = 1, most: int = MOST_IMAGES, power: float = POWER
) -> int | None:
    """Search the smallest number of images or seeds that reaches a power; None if `most` does not.

    Args:
        power_at: power with so many, growing but for the steps of exact tests: of those the number is about right.
        least: the first number that is tried.
        most: the last one.
        power: to be reached.
    """
    low, high = least - 1, least
    while power_at(high) < power:
        if high >= most:
            return None
        low, high = high, min(most, max(high + 1, high * 3 // 2))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high


@functools.lru_cache(maxsize=8)  # a search for a difference asks for the same n again and again
def _significant_losses(n: int, alpha: float) -> NDArray[np.int64]:
    """For each count k of n: the largest other count that Fisher's exact test finds smaller; -1 where there is none.

    With as many images in both arms the hypergeometric distribution is symmetric, and the two-sided p value is
    twice the smaller tail.
    """
    counts = np.arange(n + 1)
    low, high = np.full(n + 1, -1), counts.copy()  # low is significant or -1, high is not
    while np.any(high - low > 1):
        middle = (low + high) // 2
        tail = scipy.stats.hypergeom.cdf(middle, 2 * n, counts + middle, n)
        significant = (2 * tail <= alpha) & (middle >= 0)
        low, high = np.where(significant, middle, low), np.where(significant, high, middle)
    return low


def _paired_deviations(discordant: float, difference: float) -> tuple[float, float]:
    if not abs(difference) <= discordant <= 1:
        raise ValueError(f"need |difference| <= discordant <= 1, got {difference} and {discordant}")
    return math.sqrt(discordant), math.sqrt(discordant - difference * difference)


def _images(null: float, alternative: float, difference: float, power: float, alpha: float) -> float:
    if difference == 0:
        raise ValueError("no number of images finds a difference of 0")
    return float(((_z(1 - alpha) * null + NormalDist().inv_cdf(power) * alternative) / difference) ** 2)


def _power(null: float, alternative: float, difference: float, n: float, alpha: float) -> float:
    surplus = difference * math.sqrt(n) - _z(1 - alpha) * null
    if alternative == 0:
        return 1.0 if surplus > 0 else 0.0
    return NormalDist().cdf(surplus / alternative)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
