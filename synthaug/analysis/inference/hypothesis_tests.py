"""Tests of accuracies: p values of two proportions, of pairs, of trends, and Holm's correction. Pure functions.

`k` is a number of right answers among `n` test images; tests are two-sided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import scipy  # its parts are loaded at their first use: scipy.stats takes a second that a table need not cost

from synthaug.analysis.inference.intervals import ALPHA


def two_proportion_z(k1: int, n1: int, k2: int, n2: int) -> float:
    """Return the p value of the z test of two independent proportions, pooled variance, no continuity correction.

    z = (k1/n1 - k2/n2) / sqrt(p (1 - p) (1/n1 + 1/n2)) with p = (k1 + k2) / (n1 + n2); z squared is Pearson's
    chi-squared of the 2x2 table. 1 where all predictions are right, or all wrong.

    Fleiss, J. L., Levin, B., Paik, M. C. (2003). Statistical methods for rates and proportions, 3rd edition, section
    3.1. Wiley. Not to be trusted where a count of right or wrong predictions is below about five: see `fisher`.

    Args:
        k1: correct predictions of the first classifier.
        n1: its test images.
        k2: correct predictions of the second classifier.
        n2: its test images.
    """
    pooled = (k1 + k2) / (n1 + n2)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return 2 * NormalDist().cdf(-abs(k1 / n1 - k2 / n2) / deviation) if deviation else 1.0


def fisher(k1: int, n1: int, k2: int, n2: int) -> float:
    """Return the p value of Fisher's exact test of two independent proportions (all tables that are no likelier).

    Fisher, R. A. (1935). The logic of inductive inference. Journal of the Royal Statistical Society 98(1), 39-82.

    Args:
        k1: correct predictions of the first classifier.
        n1: its test images.
        k2: correct predictions of the second classifier.
        n2: its test images.
    """
    return min(1.0, float(scipy.stats.fisher_exact([[k1, n1 - k1], [k2, n2 - k2]]).pvalue))


def mcnemar(better: int, worse: int) -> float:
    """Return the p value of McNemar's exact test: are the images that only one classifier gets right evenly split?

    Twice the smaller tail of a binomial distribution with better + worse draws of probability 1/2, at most 1.

    McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or percentages.
    Psychometrika 12(2), 153-157.

    Args:
        better: images that only the first classifier gets right.
        worse: images that only the second gets right.
    """
    tail = scipy.stats.binom.cdf(min(better, worse), better + worse, 0.5)
    return min(1.0, 2 * float(tail))


def mcnemar_at_best(difference: int) -> float:
    """Return the smallest p value that McNemar's exact test can have where one arm gets so many more images right.

    Accuracies without predictions leave open which images they are of. Of all pairings with this difference, the most
    significant is the one in which the arms disagree on |difference| images and all of them go one way, since every
    further disagreement comes as a pair of opposite ones; it is always possible. Its p value is 2 * 0.5^|difference|.
    """
    return mcnemar(abs(difference), 0)


def most_opposed(difference: int, alpha: float = ALPHA) -> int | None:
    """Return how many images may go against a difference with McNemar's exact test still significant; None: never is.

    See `mcnemar_at_best`: the p value grows with the images that go the other way.

    Args:
        difference: in images that are predicted correctly.
        alpha: level of the test.
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
    """Adjust p values for their number, in the same order: reject those that are at most alpha.

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
    """Compute the rank correlation of two lists; None where one of them is constant.

    Kendall, M. G. (1945). The treatment of ties in ranking problems. Biometrika 33(3), 239-251. The p value is exact
    where there are no ties and at most 33 pairs, else that of the normal distribution (scipy's `kendalltau`).

    Args:
        first: numbers.
        second: as many.
    """
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    result = scipy.stats.kendalltau(first, second)
    return Trend(float(result.statistic), float(result.pvalue))
