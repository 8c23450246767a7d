"""Which amounts of real images a learning curve lacks."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.runs.learning_curve import FEWEST_AMOUNTS, is_too_wide, missing_amounts


@pytest.mark.parametrize(
    ("amounts", "missing"),
    [
        ([1, 0.5, 0.4, 0.3, 0.2], []),
        ([1, 0.2], [0.4, 0.6]),
        ([1, 0.5], [0.7, 0.8]),
        ([1, 0.4, 0.1], [0.2]),
        ([1, 0.95], [0.97, 0.98]),
        ([0.4], []),
        ([], []),
        ([1, 1 + 2**-52], []),
        ([2, 1, 0.4, 0.2], []),
        ([50, 1000], [100, 200, 400]),
    ],
)
def test_amounts(amounts: list[float], missing: list[float]) -> None:
    assert sorted(missing_amounts(amounts)) == missing


@given(st.lists(st.floats(0.001, 2000), min_size=2, max_size=8, unique=True))
def test_with_what_is_missing_a_curve_is_complete_and_no_wider(amounts: list[float]) -> None:
    missing = missing_amounts(amounts)
    curve = sorted([*amounts, *missing])
    assert (curve[0], curve[-1]) == (min(amounts), max(amounts))
    assert len(set(curve)) == len(curve)
    assert len(curve) >= FEWEST_AMOUNTS or curve[-1] / curve[0] < 1.001
    assert not any(is_too_wide(below, above) for below, above in itertools.pairwise(curve))
    assert missing_amounts(curve) == [], "nothing is missing any more"
