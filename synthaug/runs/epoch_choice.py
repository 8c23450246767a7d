"""Which epoch of a run is tested."""

import math
from collections.abc import Sequence


def first_best_epoch(accuracies: Sequence[float], first: int = 0) -> int | None:
    """Return the index of the first of the best epochs on the validation images; None if no epoch qualifies.

    Args:
        accuracies: validation accuracy per epoch; NaN for an epoch that was not validated.
        first: the first epoch that may be chosen; those before it are pretraining.
    """
    candidates = [epoch for epoch in range(first, len(accuracies)) if not math.isnan(accuracies[epoch])]
    return max(candidates, key=accuracies.__getitem__, default=None)


def epoch_to_test(accuracies: Sequence[float], first: int = 0, is_last: bool = False) -> int | None:
    """Return the index of the epoch that is tested; None if no epoch qualifies.

    Args:
        accuracies: validation accuracy per epoch.
        first: the first epoch that may be chosen.
        is_last: whether it is the last one, whatever its accuracy, or the first of the best.
    """
    if is_last:
        return len(accuracies) - 1 if len(accuracies) > first else None
    return first_best_epoch(accuracies, first)
