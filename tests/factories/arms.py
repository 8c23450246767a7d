"""Arms, groups and differences made up for tests of sentences, checks and figures."""

from typing import Any

import numpy as np

from synthaug.analysis.comparison.model import Arm, Group, NonInferiority
from synthaug.analysis.inference.intervals import Difference, Estimate, MeanVariance, VarianceComponent


def make_group(*arms: Arm, n_test: int = 1500, **values: Any) -> Group:
    """Return a group of arms without any run.

    Args:
        arms: of the group.
        n_test: number of test images.
        values: fields of `Group`.
    """
    fields = {"runs": (), "margin": 1.0, **values}
    return Group("digits", "0" * 64, n_test, ("0", "1"), arms, **fields)


def make_difference(value: float, low: float, high: float, adjusted_p: float = 0.01) -> Difference:
    """Return a difference of fractions.

    Args:
        value: the estimate.
        low: lower end of its interval.
        high: upper end of its interval.
        adjusted_p: p value after Holm's correction.
    """
    variance = MeanVariance(VarianceComponent(np.zeros(())))
    return Difference(value, low, high, value, variance, adjusted_p / 2, 2, adjusted_p)


def make_arm(synthetic: float, difference: Difference | None = None, **values: Any) -> Arm:
    """Return an arm of as many images as the baseline, with an accuracy of 95 %.

    Args:
        synthetic: share of the synthetic images.
        difference: from the baseline.
        values: fields of `Arm`.
    """
    fields = {
        "name": f"{100 * synthetic:g}",
        "real": 1 - synthetic,
        "synthetic": synthetic,
        "baseline": False,
        "runs_planned": 1,
        "settings": {"generator.name": "tiny_digits"} if synthetic else {},
        "seeds": (0,),
        "n_real": round(1000 * (1 - synthetic)),
        "n_synthetic": round(1000 * synthetic),
        "accuracy": Estimate(0.95, 0.94, 0.96),
        "difference": difference,
        "non_inferiority": NonInferiority("inconclusive", 0.08, 0.16) if difference else None,
        **values,
    }
    return Arm(**fields)
