"""Check the intervals that weigh test images unequally: balanced accuracy, the worst stratum, the gap to the best."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth import Truth, draw
from synthaug.analysis.inference import strata
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.inference.strata import Strata

# Test images of each stratum.
SIZES = {
    "10 of 16": [16] * 10,
    "10 of 3": [3] * 10,
    "60 down to 2": [60, 40, 27, 18, 12, 8, 5, 4, 3, 2],
    "300 and 6": [300, 6],
    "300 and 100": [300, 100],
}
# What the strata's accuracies are in the baseline, from the first to the last, and in the arm: differences from it.
TRUTHS = {
    "all 90 %": ((0.9, 0.9), (0.0, 0.0)),
    "98 down to 80 %": ((0.98, 0.8), (0.0, 0.05)),
    "the worst changes": ((0.95, 0.85), (-0.1, 0.1)),
}


def strata_rows(random: np.random.Generator, studies: int = 200) -> Iterator[Mapping[str, str | float]]:
    """Yield the coverage of each interval by sizes of the strata, accuracies and seeds.

    Args:
        random: source of random numbers.
        studies: in each cell.
    """
    for name, sizes in SIZES.items():
        division = Strata(np.repeat(np.arange(len(sizes)), sizes), len(sizes))
        for truth_name, (ends, gains) in TRUTHS.items():
            first = np.linspace(*ends, len(sizes))
            arms = (first, first + np.linspace(*gains, len(sizes)))
            for seeds in (3, 10):
                truth = Truth(tuple(tuple(map(float, arm)) for arm in arms), 0.006, image=0.8, arm=0.05)
                covered = _covered(truth, division, sizes, random, studies, seeds)
                yield {"test images": name, "accuracies": truth_name, "seeds": seeds, **covered}


def _covered(
    truth: Truth, division: Strata, sizes: list[int], random: np.random.Generator, studies: int, seeds: int
) -> dict[str, float]:
    """Return the share of studies in which each interval holds the truth, in percent."""
    images = [row for label, size in enumerate(sizes) for row in range(label, len(sizes) * size, len(sizes))]
    drawn = draw(truth, random, studies, seeds, len(sizes) * max(sizes)).correct[..., images].astype(np.float64)
    baseline, arm = (np.asarray(accuracies) for accuracies in truth.accuracies)
    expected = {
        "balanced accuracy": arm.mean(),
        "its difference": (arm - baseline).mean(),
        "worst": arm.min(),
        "gap": np.ptp(arm),
        "worst's difference": arm.min() - baseline.min(),
        "gap's difference": np.ptp(arm) - np.ptp(baseline),
    }
    hits = dict.fromkeys(expected, 0)
    for study in drawn:
        for key, estimate in _estimates(study, division).items():
            hits[key] += estimate.low <= expected[key] <= estimate.high
    return {key: round(100 * count / studies, 1) for key, count in hits.items()}


def _estimates(study: NDArray[np.float64], division: Strata) -> dict[str, Estimate]:
    baseline, arm = (dict(enumerate(of_arm)) for of_arm in study)
    worst = strata.worst(study[1], division)
    return {
        "balanced accuracy": strata.balanced_accuracy(study[1], division),
        "its difference": strata.balanced_difference(arm, baseline, division),
        "worst": worst.accuracy,
        "gap": worst.gap,
        "worst's difference": strata.worst_difference(arm, baseline, division),
        "gap's difference": strata.gap_difference(arm, baseline, division),
    }
