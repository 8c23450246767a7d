"""What a learning curve of real images takes: arms without synthetic images, of enough amounts, close together.

`controls=true` adds the amounts that a study lacks, and the analysis reads equivalent numbers off no other curve.
"""

import itertools
import math
from collections.abc import Iterable

FEWEST_SEEDS = 3  # with one or two, their spread is a guess
FEWEST_AMOUNTS = 4  # one more than the curve has numbers: else nothing could contradict it
WIDEST_STEP = 2.5  # ratio of neighbouring amounts, between which the law is relied upon


def is_too_wide(below: float, above: float) -> bool:
    """Return whether there should be an amount between two neighbours.

    Args:
        below: the smaller amount.
        above: the larger one.
    """
    return above > WIDEST_STEP * below * (1 + 1e-9)


def between(below: float, above: float) -> float:
    """Return a round number near the geometric mean of two.

    Args:
        below: the smaller number.
        above: the larger one.
    """
    middle = math.sqrt(below * above)
    candidates = (float(f"{middle:.{digits}g}") for digits in (1, 2, 3))
    return next((number for number in candidates if below < number < above), middle)


def missing_amounts(amounts: Iterable[float]) -> list[float]:
    """Return the amounts that a curve from the smallest to the largest one lacks, the largest first.

    Args:
        amounts: of real images, absolute or as shares. Fewer than two have no curve between them.
    """
    curve = sorted(set(amounts))
    missing: list[float] = []
    while len(curve) > 1:
        below, above = max(itertools.pairwise(curve), key=lambda pair: pair[1] / pair[0])
        if len(curve) >= FEWEST_AMOUNTS and not is_too_wide(below, above):
            break
        middle = between(below, above)
        if not below < middle < above:  # numbers that are next to equal
            break
        missing.append(middle)
        curve = sorted([*curve, middle])
    return sorted(missing, reverse=True)
