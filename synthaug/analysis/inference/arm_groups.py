"""Which of many arms are not significantly different from each other: the data of a critical-difference figure.

Demšar, J. (2006). Statistical comparisons of classifiers over multiple data sets. Journal of Machine Learning Research
7, 1-30, joins arms whose ranks differ by less than one critical difference. Here each pair has an interval of its own,
paired by seed and image, so that groups are those of which no two arms differ significantly.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import Values, adjusted, difference
from synthaug.analysis.inference.intervals import Difference

Pair = tuple[int, int]


@dataclass(frozen=True)
class ArmGroups:
    """Arms in order of accuracy, and which of them are not told apart. Arms are positions in what was passed.

    Attributes:
        order: the most accurate first.
        groups: two arms or more of which no two differ significantly, and to which none can be added, in this order.
            Groups overlap. An arm may be missing between two others of a group: it differs from another of them, as
            pairs have intervals of their own; a figure must mark the members.
    """

    order: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def pairwise_differences(
    arms: Sequence[Values],
    clusters: NDArray[np.int64] | None = None,
    looks: int = 1,
    folds: NDArray[np.int64] | None = None,
) -> dict[Pair, Difference]:
    """Estimate the difference of every two arms, the earlier minus the later, p values adjusted by Holm over all.

    Args:
        arms: values of each.
        clusters: of near duplicates among the test images.
        looks: see `contrasts.adjusted`.
        folds: in which each image was tested.
    """
    pairs = list(itertools.combinations(range(len(arms)), 2))
    differences = adjusted([difference(arms[i], arms[j], clusters=clusters, folds=folds) for i, j in pairs], looks)
    return {pair: item for pair, item in zip(pairs, differences, strict=True) if item is not None}


def arm_groups(accuracies: Sequence[float], differences: Mapping[Pair, Difference]) -> ArmGroups | None:
    """Group arms that are not significantly different; None where a pair is not tested.

    Args:
        accuracies: of each arm.
        differences: of every two, by their positions in either order; significance is `Difference.is_significant`.

    Raises:
        ValueError: a pair is missing.
    """
    arms = range(len(accuracies))
    by_pair = {frozenset(pair): item for pair, item in differences.items()}
    missing = [pair for pair in itertools.combinations(arms, 2) if frozenset(pair) not in by_pair]
    if missing:
        raise ValueError(f"need the differences of all pairs of arms, {len(missing)} are missing: {missing[:5]}")
    if any(item.p_value is None for item in by_pair.values()):
        return None
    order = sorted(arms, key=lambda arm: -accuracies[arm])
    alike = {
        arm: {rival for rival in arms if rival != arm and not by_pair[frozenset((arm, rival))].is_significant}
        for arm in arms
    }
    groups = [group for group in _cliques((), order, [], alike) if len(group) > 1]
    return ArmGroups(tuple(order), tuple(groups))


def _cliques(
    members: tuple[int, ...], candidates: list[int], seen: list[int], alike: Mapping[int, set[int]]
) -> Iterator[tuple[int, ...]]:
    """Yield the maximal sets of arms that are all alike, with these members, in the order of the candidates.

    Bron, C., Kerbosch, J. (1973). Algorithm 457: finding all cliques of an undirected graph. Communications of the ACM
    16(9), 575-577.
    """
    if not candidates and not seen:
        yield members
    for place, arm in enumerate(candidates):
        remaining = [later for later in candidates[place + 1 :] if later in alike[arm]]
        excluded = [earlier for earlier in [*seen, *candidates[:place]] if earlier in alike[arm]]
        yield from _cliques((*members, arm), remaining, excluded, alike)
