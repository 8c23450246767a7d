"""The intervals: against scipy, against the published formula, at the edges, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped, unused-ignore]

from synthaug.analysis.statistics import Estimate, paired_difference, sample_deviation, wilson

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_agrees_with_scipy(pair: tuple[int, int]) -> None:
    successes, n = pair
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    got = wilson(successes, n)
    assert got.low == pytest.approx(expected.low, abs=1e-12)
    assert got.high == pytest.approx(expected.high, abs=1e-12)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_of_a_mean_over_seeds(n: int, share: float) -> None:
    got = wilson(share * n, n)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 4), (5, 4), (math.nan, 4)])
def test_wilson_refuses_what_is_no_proportion(successes: float, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_one_seed_is_bonett_and_price(better: int, worse: int, same: int) -> None:
    n = better + worse + same
    if n == 0:
        return
    differences = np.array([1.0] * better + [-1.0] * worse + [0.0] * same)
    p_better, p_worse = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    half = 1.959963984540054 * math.sqrt((p_better + p_worse - (p_better - p_worse) ** 2) / (n + 2))
    got = paired_difference(differences)
    assert got.value == pytest.approx((better - worse) / n)
    assert got.low == pytest.approx(max(-1, p_better - p_worse - half), abs=1e-12)
    assert got.high == pytest.approx(min(1, p_better - p_worse + half), abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300))
def test_paired_difference_is_sane_and_symmetric(values: list[float]) -> None:
    got = paired_difference(np.array(values))
    assert -1 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high
    mirrored = paired_difference(-np.array(values))
    assert mirrored.low == pytest.approx(-got.high)
    assert mirrored.high == pytest.approx(-got.low)


def test_identical_predictions_leave_room_for_doubt() -> None:
    got = paired_difference(np.zeros(1500))
    assert got.value == 0
    assert got.low == pytest.approx(-got.high)
    assert 0 < got.high < 0.01


@pytest.mark.parametrize("values", [[], [2.0], [math.nan]])
def test_paired_difference_refuses_nonsense(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one difference"):
        paired_difference(np.array(values))


def test_coverage_of_the_paired_interval() -> None:
    """4,000 made-up test sets of 300 images, 6 % and 3 % discordant: covered about 95 % of the time."""
    random = np.random.default_rng(0)
    truth = 0.03 - 0.06
    draws = random.choice([1.0, -1.0, 0.0], p=[0.03, 0.06, 0.91], size=(4000, 300))
    covered = [estimate.low <= truth <= estimate.high for estimate in map(paired_difference, draws)]
    assert 0.94 < np.mean(covered) < 0.975


def test_coverage_with_three_seeds() -> None:
    """Seeds that share the difficulty of an image: the interval still covers the truth of these models."""
    random = np.random.default_rng(1)
    hard = random.random((2000, 400, 1)) < 0.1
    arm = np.where(hard, random.random((2000, 400, 3)) < 0.4, random.random((2000, 400, 3)) < 0.98).mean(axis=2)
    real = np.where(hard, random.random((2000, 400, 3)) < 0.6, random.random((2000, 400, 3)) < 0.99).mean(axis=2)
    truth = 0.1 * (0.4 - 0.6) + 0.9 * (0.98 - 0.99)
    covered = [estimate.low <= truth <= estimate.high for estimate in map(paired_difference, arm - real)]
    assert 0.94 < np.mean(covered) < 0.975


def test_contains_zero() -> None:
    assert Estimate(0.1, 0.0, 0.2).contains_zero
    assert not Estimate(-0.1, -0.2, -0.01).contains_zero


def test_deviation_needs_two() -> None:
    assert sample_deviation([0.9]) is None
    assert sample_deviation([0.9, 0.92]) == pytest.approx(0.02 / math.sqrt(2))
