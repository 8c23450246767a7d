"""Simulate comparisons of every two of many arms, and the groups of arms that are not told apart."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.calibration import chunks
from benchmarks.truth import Truth
from synthaug.analysis.inference.arm_groups import arm_groups, pairwise_differences

STUDIES = 500
IMAGES = 1000


def groups(random: np.random.Generator, studies: int = STUDIES) -> Iterator[Mapping[str, str | float]]:
    """Yield a row for each number of arms and seeds, where all are equal and where half of them are worse.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    for arms, worse, seeds in itertools.product((4, 8), (0.0, 0.02, 0.04), (3, 5)):
        truth = Truth(((0.95,),) * (arms // 2) + ((0.95 - worse,),) * (arms // 2), 0.004)
        false, separated, counts = [], [], []
        halves = {frozenset(range(arms // 2)), frozenset(range(arms // 2, arms))}
        for drawn in chunks(truth, random, studies, seeds, IMAGES):
            for correct in drawn.correct.astype(np.float64):
                differences = pairwise_differences([dict(enumerate(arm)) for arm in correct])
                grouped = arm_groups(correct.mean(axis=(1, 2)).tolist(), differences)
                assert grouped is not None
                significant = [pair for pair, item in differences.items() if item.is_significant]
                false.append(any(not worse or (i < arms // 2) == (j < arms // 2) for i, j in significant))
                separated.append({frozenset(group) for group in grouped.groups} == halves)
                counts.append(len(grouped.groups))
        yield {
            "arms": arms,
            "half is worse by, points": round(100 * worse),
            "seeds": seeds,
            "any false pair, %": round(100 * float(np.mean(false)), 1),
            "groups are the halves, %": round(100 * float(np.mean(separated)), 1),
            "groups": round(float(np.mean(counts)), 1),
        }
