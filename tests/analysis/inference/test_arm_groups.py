"""Groups of arms that are not told apart: against their definition, for every pattern of significant pairs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.inference.arm_groups import Pair, arm_groups, pairwise_differences
from synthaug.analysis.inference.contrasts import adjusted, difference
from synthaug.analysis.inference.intervals import Difference, paired_difference

SOME = paired_difference(np.zeros((2, 10)))


@st.composite
def patterns(draw: st.DrawFn) -> tuple[list[float], dict[Pair, Difference]]:
    """Draw accuracies of arms, and which of their pairs are significant."""
    accuracies = draw(st.lists(st.integers(0, 20).map(lambda hits: hits / 20), min_size=1, max_size=7))
    pairs = list(itertools.combinations(range(len(accuracies)), 2))
    return accuracies, {pair: replace(SOME, adjusted_p=draw(st.sampled_from([0.01, 0.05, 0.2, 1.0]))) for pair in pairs}


@given(patterns())
def test_groups_are_the_largest_sets_without_a_significant_pair(
    pattern: tuple[list[float], dict[Pair, Difference]],
) -> None:
    accuracies, differences = pattern
    got = arm_groups(accuracies, differences)
    assert got is not None
    ordered = [accuracies[arm] for arm in got.order]
    assert ordered == sorted(accuracies, reverse=True)
    assert sorted(got.order) == list(range(len(accuracies)))
    alike = {frozenset(pair) for pair, item in differences.items() if not item.is_significant}
    subsets = [arms for size in range(2, len(ordered) + 1) for arms in itertools.combinations(got.order, size)]
    cliques = [arms for arms in subsets if all(frozenset(pair) in alike for pair in itertools.combinations(arms, 2))]
    maximal = [arms for arms in cliques if not any(set(arms) < set(larger) for larger in cliques)]
    assert sorted(got.groups) == sorted(maximal)
    assert [got.order.index(group[0]) for group in got.groups] == sorted(got.order.index(arms[0]) for arms in maximal)


def draw_values(accuracy: float, seed: int) -> dict[int, NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    return {number: (random.random(400) < accuracy).astype(float) for number in range(5)}


def test_arms_of_two_heights_are_two_groups() -> None:
    arms = [draw_values(accuracy, seed) for seed, accuracy in enumerate((0.7, 0.95, 0.7, 0.95, 0.7))]
    differences = pairwise_differences(arms)
    assert len(differences) == 10
    expected = adjusted([difference(arms[i], arms[j]) for i, j in itertools.combinations(range(5), 2)])
    assert list(differences.values()) == expected
    got = arm_groups([float(np.mean([*arm.values()])) for arm in arms], differences)
    assert got is not None
    assert [set(group) for group in got.groups] == [{1, 3}, {0, 2, 4}]
    later = {(j, i): item for (i, j), item in differences.items()}
    assert arm_groups([float(np.mean([*arm.values()])) for arm in arms], later) == got


def test_no_groups_where_nothing_is_tested_or_something_is_missing() -> None:
    single = paired_difference(np.zeros((1, 10)))
    assert arm_groups([0.5, 0.6], {(0, 1): single}) is None
    with pytest.raises(ValueError, match=r"2 are missing: \[\(0, 2\), \(1, 2\)\]"):
        arm_groups([0.5, 0.6, 0.7], {(0, 1): SOME})
    alone = arm_groups([0.5], {})
    assert alone is not None
    assert (alone.order, alone.groups) == ((0,), ())
