"""Balanced accuracy and worst strata: against their definitions, and against the plain intervals where those hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import difference
from synthaug.analysis.inference.intervals import accuracy_over_seeds
from synthaug.analysis.inference.strata import (
    Strata,
    balanced_accuracy,
    balanced_difference,
    gap_difference,
    strata_parts,
    worst,
    worst_difference,
)

Table = NDArray[np.float64]
divisions = st.lists(st.integers(0, 3), min_size=2, max_size=40).map(lambda members: Strata(np.array(members), 5))


def answers(seeds: int, images: int, number: int = 0, accuracy: float = 0.7) -> Table:
    return (np.random.default_rng(number).random((seeds, images)) < accuracy).astype(float)


def by_seed(table: Table) -> dict[int, Table]:
    return dict(enumerate(table))


def means(table: Table, strata: Strata) -> list[float]:
    return [table[:, rows].mean() for rows in strata.rows if len(rows)]


@given(divisions, st.integers(1, 4), st.integers(0, 99))
def test_the_mean_of_the_parts_is_that_of_the_strata(strata: Strata, seeds: int, number: int) -> None:
    table = answers(seeds, len(strata.members), number)
    parts = strata_parts(table, strata)
    assert parts.mean() == pytest.approx(np.mean(means(table, strata)))
    of_seeds = [np.mean(means(row[None], strata)) for row in table]
    assert parts.mean(axis=1) == pytest.approx(np.array(of_seeds))
    # The variance over images is that of a stratified sample.
    if seeds == 1 and all(len(rows) != 1 for rows in strata.rows):
        expected = [table[0, rows].var(ddof=1) / len(rows) for rows in strata.rows if len(rows)]
        variance = parts[0].var() / len(strata.members)
        assert variance == pytest.approx(sum(expected) / len(expected) ** 2, abs=1e-12)


@given(divisions, st.integers(1, 4), st.integers(0, 99), st.floats(0, 1))
def test_estimates_hold_their_values(strata: Strata, seeds: int, number: int, accuracy: float) -> None:
    tables = [answers(seeds, len(strata.members), number + arm, accuracy) for arm in (0, 1)]
    first, second = map(by_seed, tables)
    of_strata = [np.array(means(table, strata)) for table in tables]
    balanced, lowest = balanced_accuracy(tables[0], strata), worst(tables[0], strata)
    expected = {
        of_strata[0].mean(): balanced,
        of_strata[0].min(): lowest.accuracy,
        np.ptp(of_strata[0]): lowest.gap,
        of_strata[0].mean() - of_strata[1].mean(): balanced_difference(first, second, strata),
        of_strata[0].min() - of_strata[1].min(): worst_difference(first, second, strata),
        np.ptp(of_strata[0]) - np.ptp(of_strata[1]): gap_difference(first, second, strata),
    }
    for value, estimate in expected.items():
        assert estimate.value == pytest.approx(value)
        assert estimate.low <= estimate.value + 1e-12
        assert estimate.value <= estimate.high + 1e-12
    assert tables[0][:, strata.rows[lowest.stratum]].mean() == lowest.accuracy.value
    assert 0 <= lowest.accuracy.low <= lowest.accuracy.high <= 1
    assert 0 <= balanced.low <= balanced.high <= 1


def test_equal_strata_are_estimated_as_all_images_are() -> None:
    strata = Strata(np.arange(400) % 4, 4)
    first, second = answers(3, 400, 1), answers(3, 400, 2)
    balanced, plain = balanced_accuracy(first, strata), accuracy_over_seeds(first)
    assert (balanced.value, balanced.low, balanced.high) == pytest.approx(
        (plain.value, plain.low, plain.high), abs=0.003
    )
    item, of_all = (
        balanced_difference(by_seed(first), by_seed(second), strata),
        difference(by_seed(first), by_seed(second)),
    )
    assert (item.value, item.low, item.high) == pytest.approx((of_all.value, of_all.low, of_all.high), abs=0.003)
    assert item.p_value == pytest.approx(of_all.p_value, rel=0.1)
    single = Strata(np.zeros(400, dtype=np.int64), 1)
    lowest = worst(first, single)
    assert lowest.accuracy == plain
    assert (lowest.gap.value, lowest.gap.low) == (0, 0)


def test_a_rare_stratum_decides_a_balanced_difference() -> None:
    strata = Strata(np.repeat([0, 1], [300, 6]), 2)
    first = np.ones((3, 306))
    second = first.copy()
    second[:, 300:303] = 0
    item = balanced_difference(by_seed(first), by_seed(second), strata)
    assert item.value == pytest.approx(0.25)
    assert item.high - item.low > 0.2
    assert difference(by_seed(first), by_seed(second)).value == pytest.approx(3 / 306)


def test_arms_without_a_common_seed_and_single_seeds_are_estimated_too() -> None:
    strata = Strata(np.repeat([0, 1], [60, 20]), 2)
    first, second = answers(2, 80, 1), answers(2, 80, 2)
    apart = balanced_difference({0: first[0], 1: first[1]}, {2: second[0], 3: second[1]}, strata)
    paired = balanced_difference(by_seed(first), by_seed(second), strata)
    assert apart.value == pytest.approx(paired.value)
    assert balanced_difference({0: first[0]}, {0: second[0]}, strata).p_value is None
    assert worst_difference({0: first[0]}, {2: second[0]}, strata).low < 0


def test_the_worst_is_taken_as_one_of_several() -> None:
    """The interval of the worst of many equal strata is wider than that of one, and reaches up to the others."""
    strata = Strata(np.arange(400) % 20, 20)
    table = answers(2, 400, 3, accuracy=0.8)
    lowest = worst(table, strata)
    alone = accuracy_over_seeds(table[:, strata.rows[lowest.stratum]])
    assert lowest.accuracy.low < alone.low
    assert lowest.accuracy.high > alone.high
    assert lowest.accuracy.high > 0.8
    assert lowest.gap.low == 0


def test_a_stratum_that_is_plainly_the_worst_has_its_own_difference() -> None:
    strata = Strata(np.repeat([0, 1], [500, 200]), 2)
    first, second = (
        np.concatenate([answers(10, 500, n, 0.95), answers(10, 200, n + 9, 0.5 + n / 5)], 1) for n in (1, 0)
    )
    rows = strata.rows[1]
    item = worst_difference(by_seed(first), by_seed(second), strata)
    own = difference(by_seed(first), by_seed(second), rows)
    assert item.value == pytest.approx(own.value)
    assert item.low < own.low < own.high < item.high
    assert item.high - item.low < 1.5 * (own.high - own.low)
    change = gap_difference(by_seed(first), by_seed(second), strata)
    assert change.high < 0


def test_near_duplicates_count_once() -> None:
    strata = Strata(np.repeat([0, 1], [40, 20]), 2)
    table = np.repeat(answers(1, 30, 4), 2, axis=1)
    clusters = np.repeat(np.arange(30), 2)
    for estimate in (balanced_accuracy, lambda *args: worst(*args).accuracy):
        alone, together = estimate(table, strata), estimate(table, strata, clusters)
        assert together.high - together.low > 1.2 * (alone.high - alone.low)
        assert together.value == pytest.approx(alone.value)
