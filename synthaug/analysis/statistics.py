"""Intervals for accuracies and for paired differences of accuracies. Pure functions, no files.

Both intervals cover the draw of test images: another test set of the same size from the same source. Neither
covers the draw of seeds, that is, training the same arm again.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


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
    z = _z(confidence)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding may leave the exact limits at p = 0 and p = 1 by one unit in the last place.
    return Estimate(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


def paired_difference(differences: NDArray[np.float64], confidence: float = CONFIDENCE) -> Estimate:
    """Mean of per-image differences with Bonett and Price's adjusted Wald interval.

    `differences[i]` is in [-1, 1]: the share of an arm's seeds that get test image i right, minus the same
    share for the baseline. With one seed it is -1, 0 or 1, and the interval is exactly that of Bonett and
    Price, who add one image to each of the two discordant cells of the paired 2x2 table. Adding one
    pseudo-image of -1 and one of +1 says the same thing, and carries over to several seeds. The value itself
    is the plain mean.

    Bonett, D. G., Price, R. M. (2012). Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data. Journal of Educational and Behavioral Statistics 37(4), 479-488.
    Compared with others by Fagerland, M. W., Lydersen, S., Laake, P. (2014). Recommended tests and confidence
    intervals for paired binomial proportions. Statistics in Medicine 33(16), 2850-2875.
    """
    n = len(differences)
    if n < 1 or not np.all(np.abs(differences) <= 1):
        raise ValueError(f"need at least one difference, each in [-1, 1], got {n} of them: {differences!r}")
    centre = float(differences.sum()) / (n + 2)
    variance = (float(np.square(differences).sum()) + 2) / (n + 2) - centre * centre
    half = _z(confidence) * math.sqrt(variance / (n + 2))
    return Estimate(float(differences.mean()), max(-1.0, centre - half), min(1.0, centre + half))


def sample_deviation(values: list[float]) -> float | None:
    """Standard deviation with n - 1 in the denominator; None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
