"""Number formats."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.text import format

MINUS = "\u2212"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.00001, "< 0.001"), (0.0341, "0.034"), (0.1, "0.10"), (0.5, "0.50"), (1, "1.00")]
)
def test_p_values(value: float | None, text: str) -> None:
    assert format.p_value(value) == text


def test_p_values_in_sentences() -> None:
    assert [format.p_equals(value) for value in (0.0001, 0.083)] == ["p < 0.001", "p = 0.083"]


@pytest.mark.parametrize(
    ("value", "n", "text"),
    [(0.0052, 1500, "+0.52"), (-0.00001, 1500, "0.00"), (0.0, 50, "0.0"), (-0.5, 50, f"{MINUS}50.0")],
)
def test_points(value: float, n: int, text: str) -> None:
    assert format.points(value, n) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (Decimal("-3.09"), None, f"{MINUS}3.09"),
        (Decimal("0.00"), None, "0.00"),
        (2 / 3, 2, "+0.67"),
        (-0.001, 2, "0.00"),
    ],
)
def test_signed_numbers(value: float | Decimal, decimals: int | None, text: str) -> None:
    assert format.signed(value, decimals) == text


@given(st.floats(-1, 1), st.sampled_from([10, 99, 100, 5000]))
def test_points_are_within_half_a_digit(value: float, n: int) -> None:
    decimals = 2 if n >= 100 else 1
    assert abs(float(format.points(value, n).replace(MINUS, "-")) - 100 * value) <= 0.5001 * 10**-decimals


@pytest.mark.parametrize(("size", "text"), [(0.01, "1 point"), (0.005, "0.5 points"), (0.02, "2 points")])
def test_sizes_in_points(size: float, text: str) -> None:
    assert format.in_points(size) == text


@pytest.mark.parametrize(
    ("size", "margin", "text"),
    [(0.0712, 0.01, "7.1"), (0.01004, 0.01, "1.004"), (0.0042, 0.01, "0.42"), (0.1, 0.1, "10.00000000")],
)
def test_a_size_is_told_from_the_margin(size: float, margin: float, text: str) -> None:
    assert format.size_in_points(size, margin) == text


def test_intervals() -> None:
    estimate = Estimate(-0.012, -0.021, -0.003)
    assert format.difference(estimate, 1500) == f"{MINUS}1.20 [{MINUS}2.10, {MINUS}0.30]"
    assert format.accuracy(Estimate(0.95, 0.941, 0.957), 50) == "95.0 [94.1, 95.7]"
    assert format.accuracy(None, 50) == format.difference(None, 50) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.2, "41 s"), (119, "119 s"), (720, "12 min"), (11100, "3 h 05 min"), (7200, "2 h 00 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert format.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (0.123, "0.12"), (2, "2.0"), (99.4, "99"), (99.6, "100"), (1234, "1,200"), (-0.5, f"{MINUS}0.50")],
)
def test_two_significant_digits(number: float | None, text: str) -> None:
    assert format.two_significant(number) == text
