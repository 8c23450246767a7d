"""Made-up differences with their intervals."""

import numpy as np

from synthaug.analysis.inference.intervals import Difference, MeanVariance, VarianceComponent


def make_difference(value: float, low: float, high: float, adjusted_p: float = 0.01) -> Difference:
    """Return a difference of fractions with this interval.

    Args:
        value: of the difference.
        low: end of its interval.
        high: the other end.
        adjusted_p: after Holm's correction; twice the p value.
    """
    variance = MeanVariance(VarianceComponent(np.zeros(())))
    return Difference(value, low, high, value, variance, adjusted_p / 2, 2, adjusted_p)
