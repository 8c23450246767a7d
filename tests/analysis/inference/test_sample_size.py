"""Power and numbers of images against enumeration, simulation and each other."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.analysis.inference.hypothesis_tests import fisher, mcnemar, two_proportion_z
from synthaug.analysis.inference.intervals import ALPHA, paired_difference
from synthaug.analysis.inference.sample_size import (
    POWER,
    bonett_price_power,
    fisher_corrected_power,
    fisher_images,
    fisher_power,
    mcnemar_power,
    paired_images,
    paired_power,
    smallest_difference,
    smallest_number,
    unpaired_images,
    unpaired_power,
)

shares = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


def test_what_162_images_can_show() -> None:
    unpaired = smallest_difference(lambda size: unpaired_power(0.98, 0.98 - size, 162), 0.98)
    paired = smallest_difference(lambda size: paired_power(0.05, size, 162), 0.05)
    exact = smallest_difference(lambda size: fisher_power(0.98, 0.98 - size, 162), 0.98)
    assert unpaired is not None
    assert paired is not None
    assert exact is not None
    assert (round(unpaired, 3), round(paired, 3)) == (0.071, 0.049)
    assert exact > unpaired, "Fisher's test is the more careful one"


def test_what_one_point_needs() -> None:
    assert round(unpaired_images(0.98, 0.97)) == 3825
    assert [round(paired_images(share, 0.01)) for share in (0.03, 0.05)] == [2352, 3922]


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.3, 0.99))
def test_power_of_the_unpaired_test_undoes_its_images(p1: float, p2: float, power: float) -> None:
    if abs(p1 - p2) < 0.005:
        return
    n = math.ceil(unpaired_images(p1, p2, power))
    assert unpaired_power(p1, p2, n) >= power - 1e-9
    assert unpaired_power(p1, p2, n - 1) <= power + 1e-9
    assert unpaired_images(p1, p2, power) == pytest.approx(unpaired_images(1 - p1, 1 - p2, power))


@given(st.floats(0.02, 1), st.floats(0.05, 1), st.floats(0.3, 0.99))
def test_power_of_the_paired_test_undoes_its_images(discordant: float, part: float, power: float) -> None:
    n = math.ceil(paired_images(discordant, part * discordant, power))
    assert paired_power(discordant, part * discordant, n) >= power - 1e-9
    assert paired_power(discordant, part * discordant, n - 1) <= power + 1e-9


def test_power_of_the_z_test_by_enumeration() -> None:
    n, p1, p2 = 200, 0.8, 0.68
    chance1, chance2 = (np.array([binomial(n, k, p) for k in range(n + 1)]) for p in (p1, p2))
    rejected = [[two_proportion_z(k1, n, k2, n) <= ALPHA for k2 in range(n + 1)] for k1 in range(n + 1)]
    assert unpaired_power(p1, p2, n) == pytest.approx(float(chance1 @ np.array(rejected) @ chance2), abs=0.01)


def test_power_of_mcnemars_test_by_simulation() -> None:
    n, discordant, difference = 800, 0.2, 0.04
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    better, worse, _ = np.random.default_rng(0).multinomial(n, shares, size=20_000).T
    rejected = np.abs(better - worse) / np.sqrt(better + worse) >= 1.959964
    assert paired_power(discordant, difference, n) == pytest.approx(float(rejected.mean()), abs=0.012)


@given(st.integers(1, 12), shares, shares)
def test_power_of_fishers_test_adds_up_what_it_rejects(n: int, p1: float, p2: float) -> None:
    expected = sum(
        binomial(n, k1, p1) * binomial(n, k2, p2)
        for k1 in range(n + 1)
        for k2 in range(n + 1)
        if fisher(k1, n, k2, n) <= ALPHA
    )
    assert fisher_power(p1, p2, n) == pytest.approx(expected, abs=1e-9)


def enumerated_power(n: int, discordant: float, difference: float, rejects: Callable[[int, int], bool]) -> float:
    """Add up the probabilities of all pairs of discordant counts, better and worse, at which a test rejects."""
    better, worse = (discordant + difference) / 2, (discordant - difference) / 2
    return sum(
        math.comb(n, b) * math.comb(n - b, w) * better**b * worse**w * (1 - discordant) ** (n - b - w)
        for b in range(n + 1)
        for w in range(n + 1 - b)
        if rejects(b, w)
    )


@given(st.integers(1, 15), shares, shares)
def test_power_of_mcnemars_exact_test_adds_up_what_it_rejects(n: int, discordant: float, part: float) -> None:
    difference = part * discordant
    expected = enumerated_power(n, discordant, difference, lambda b, w: mcnemar(b, w) <= ALPHA)
    assert mcnemar_power(discordant, difference, n) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=10)
@given(st.integers(1, 9), shares, shares)
def test_power_of_bonett_and_price_adds_up_the_intervals_without_zero(n: int, discordant: float, part: float) -> None:
    def rejects(b: int, w: int) -> bool:
        return not paired_difference(np.repeat([1.0, -1.0, 0.0], [b, w, n - b - w])[None]).contains_zero

    difference = part * discordant
    expected = enumerated_power(n, discordant, difference, rejects)
    assert bonett_price_power(discordant, difference, n) == pytest.approx(expected, abs=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.3, 0.99))
def test_corrected_power_of_fishers_test_undoes_its_images(p1: float, p2: float, power: float) -> None:
    if abs(p1 - p2) < 0.005:
        return
    assert fisher_corrected_power(p1, p2, fisher_images(p1, p2, power)) == pytest.approx(power)  # type: ignore[arg-type]


@pytest.mark.parametrize(("p1", "p2"), [(0.95, 0.85), (0.6, 0.45), (0.99, 0.95)])
def test_the_approximation_of_fishers_test_is_near_the_exact_power(p1: float, p2: float) -> None:
    n = round(fisher_images(p1, p2))
    assert fisher_power(p1, p2, n) == pytest.approx(POWER, abs=0.05)
    assert fisher_corrected_power(p1, p2, n // 2) == pytest.approx(fisher_power(p1, p2, n // 2), abs=0.05)
    assert fisher_corrected_power(p1, p2, 1) == 0


SMALL = [(least, least + more, enough) for least in range(1, 5) for more in range(9) for enough in range(15)]


@pytest.mark.parametrize("cases", [SMALL, [(2, 1000, 777), (2, 1000, 1001), (1, 10**7, 1_234_567)]])
def test_the_smallest_number_is_the_first_that_is_enough(cases: list[tuple[int, int, int]]) -> None:
    for least, most, enough in cases:
        tried: list[int] = []

        def power_at(number: int, enough: int = enough, tried: list[int] = tried) -> float:
            tried.append(number)
            return POWER if number >= enough else POWER - 1e-9

        expected = max(least, enough) if enough <= most else None
        assert smallest_number(power_at, least, most) == expected
        assert least <= min(tried) <= max(tried) <= most


@given(st.integers(1, 300), shares)
def test_exact_tests_keep_their_level(n: int, p: float) -> None:
    assert fisher_power(p, p, n) <= ALPHA + 1e-9
    assert mcnemar_power(p, 0, n) <= ALPHA + 1e-9


@given(st.integers(2, 3000), st.floats(0.05, 1))
def test_the_smallest_difference_is_just_found(n: int, p: float) -> None:
    def power_at(size: float) -> float:
        return unpaired_power(p, p - size, n)

    smallest = smallest_difference(power_at, p)
    if smallest is None:
        assert power_at(p) < POWER
    else:
        assert power_at(smallest) >= POWER
        assert power_at(smallest - 2e-7) < POWER + 1e-5


def test_there_may_be_no_difference_to_find() -> None:
    assert smallest_difference(lambda size: size, 0.7) is None
    assert smallest_difference(lambda size: 1.0, 0.0) is None
    assert unpaired_power(1, 0, 1) == 0
    assert unpaired_power(1, 0, 4) == 1


def test_power_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="difference of 0"):
        unpaired_images(0.9, 0.9)
    with pytest.raises(ValueError, match="difference of 0"):
        paired_images(0.1, 0)
    for power in (paired_power, mcnemar_power):
        with pytest.raises(ValueError, match="discordant"):
            power(0.01, 0.02, 100)


def binomial(n: int, k: int, p: float) -> float:
    return float(math.comb(n, k) * p**k * (1 - p) ** (n - k))
