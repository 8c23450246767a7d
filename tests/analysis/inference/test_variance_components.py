"""Power over seeds and images: against the interval itself on drawn studies, and against other people's formulas."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import nct, norm
from scipy.stats import t as student

from synthaug.analysis.inference.intervals import paired_difference
from synthaug.analysis.inference.sample_size import bonett_price_power
from synthaug.analysis.inference.variance_components import (
    VarianceComponents,
    _limits,
    _slopes,
    estimate_components,
    interval_power,
)

some = st.builds(
    VarianceComponents, st.floats(0, 1e-4), st.floats(1e-4, 0.01), st.floats(0.05, 0.1), st.floats(0.05, 0.6)
)


class Answers:
    """Two arms whose answers are right where a sum of normal effects, of image, arm, seed and chance, is above 0."""

    def __init__(self, accuracy: float, difference: float, image: float, of_arm: float, of_seed: float) -> None:
        self.image, self.of_arm, self.of_seed = image, of_arm, of_seed
        total = math.sqrt(1 + image**2 + of_arm**2 + of_seed**2)
        self.means = [float(norm.ppf(p)) * total for p in (accuracy, accuracy - difference)]

    @property
    def components(self) -> VarianceComponents:
        """The variances that such answers have, with many images and seeds drawn."""
        random, many = np.random.default_rng(0), 200_000
        image = random.normal(0, self.image, many)
        chances = [
            norm.cdf((mean + image + random.normal(0, self.of_arm, many)) / math.hypot(1, self.of_seed))
            for mean in self.means
        ]
        seeds = [
            norm.cdf((mean + random.normal(0, self.of_seed, many)) / math.hypot(1, self.image, self.of_arm))
            for mean in self.means
        ]
        gap = chances[1] - chances[0]
        discordant = chances[0] * (1 - chances[1]) + chances[1] * (1 - chances[0])
        seed, of_image = float(np.var(seeds[1] - seeds[0])), float(np.var(gap))
        rest = float(discordant.mean() - gap.mean() ** 2) - seed - of_image
        return VarianceComponents(seed, of_image, rest, float(np.square(discordant).mean() / discordant.mean()))

    def draw(self, seeds: int, n: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Differences of right answers, (seeds, images)."""
        image = random.normal(0, self.image, n)
        right = [
            mean
            + image
            + random.normal(0, self.of_arm, n)
            + random.normal(0, self.of_seed, (seeds, 1))
            + random.normal(size=(seeds, n))
            > 0
            for mean in self.means
        ]
        return np.subtract(right[1], right[0], dtype=np.float64)


@pytest.mark.parametrize(
    ("accuracy", "difference", "seeds", "n"),
    [
        (0.98, 0.05, 1, 162),
        (0.95, 0.10, 2, 500),
        (0.98, 0.045, 3, 162),
        (0.95, 0.025, 3, 1500),
        (0.95, 0.035, 5, 162),
        (0.90, 0.02, 5, 500),
        (0.98, 0.012, 10, 300),
        (0.99, 0.0193, 10, 162),
    ],
)
@pytest.mark.parametrize("of_seed", [0.02, 0.15])
def test_power_is_how_often_the_interval_leaves_out_zero(
    accuracy: float, difference: float, seeds: int, n: int, of_seed: float
) -> None:
    answers = Answers(accuracy, difference, 2.0, 0.6, of_seed if seeds > 1 else 0.0)
    random = np.random.default_rng([seeds, n])
    frequency = np.mean([not paired_difference(answers.draw(seeds, n, random)).contains_zero for _ in range(1000)])
    assert interval_power(difference, seeds, n, answers.components) == pytest.approx(frequency, abs=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("size", [0.5, 1.0, 3.0])
def test_without_end_of_images_it_is_a_t_test_of_seeds(seeds: int, size: float) -> None:
    variances = VarianceComponents(0.01**2, 0.002, 0.03, 0.3)
    quantile, shift = student.ppf(0.975, seeds - 1), size * math.sqrt(seeds)
    expected = float(nct.sf(quantile, seeds - 1, shift) + nct.cdf(-quantile, seeds - 1, shift))
    assert interval_power(size * 0.01, seeds, math.inf, variances) == pytest.approx(expected, abs=0.002)
    assert interval_power(size * 0.01, seeds, 10**9, variances) == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize(
    ("seed", "image", "rest", "seeds", "n", "difference", "expected"),
    [
        (1e-3, 0.02, 0.3, 3, 60, 0.0, 0.013646709),
        (0.0, 0.3, 0.3, 2, 40, 0.0, 0.007480053),
        (4e-4, 0.0, 0.6, 5, 80, 0.0, 0.020289140),
        (0.01, 0.0, 0.0, 3, 30, 0.3, 0.704049789),
        (0.01, 0.0, 0.0, 4, 60, 0.2, 0.729168282),
    ],
)
def test_power_of_few_images_to_more_digits_than_simulation_gives(
    seed: float, image: float, rest: float, seeds: int, n: int, difference: float, expected: float
) -> None:
    """Of designs in which the estimated variance does not grow with the estimated difference."""
    variances = VarianceComponents(seed, image, rest, 0.3)
    assert interval_power(difference, seeds, n, variances) == pytest.approx(expected, abs=1e-8)


@given(st.floats(1e-6, 1e-3), st.floats(0, 1), st.floats(1e-3, 0.1), st.floats(0.01, 1))
def test_no_slope_is_so_steep_that_zero_leaves_the_interval(
    base: float, slope: float, mean: float, part: float
) -> None:
    low, high = _limits(np.array([base]), np.array([slope]), mean, part * base)
    assert -low[0] * high[0] == pytest.approx(max(part * base, base - slope * mean), rel=1e-6)


@given(some, st.integers(1, 20), st.integers(100, 5000), st.floats(0, 0.05), st.floats(0, 0.05))
def test_power_is_a_probability_and_grows(
    variances: VarianceComponents, seeds: int, n: int, first: float, second: float
) -> None:
    small, large = sorted((first, second))
    powers = [interval_power(size, seeds, n, variances.at(size)) for size in (small, large)]
    assert all(0 <= value <= 1 for value in powers)
    assert powers[0] <= powers[1] + 0.01
    assert interval_power(-large, seeds, n, variances.at(large)) == powers[1]


@given(some, st.integers(2, 10), st.integers(50, 2000))
def test_arms_that_do_not_differ_are_rarely_told_apart(variances: VarianceComponents, seeds: int, n: int) -> None:
    assert interval_power(0.0, seeds, n, variances) <= 0.051


def test_one_seed_is_bonett_and_price() -> None:
    variances = VarianceComponents(0.0, 0.01, 0.03, 0.3)
    expected = bonett_price_power(0.04 + 0.02**2, 0.02, 800)
    assert interval_power(0.02, 1, 800, variances) == expected


@given(st.integers(2, 6), st.integers(2, 30), st.integers(0, 10_000))
def test_components_of_a_table_that_is_a_sum(seeds: int, n: int, number: int) -> None:
    random = np.random.default_rng(number)
    rows, columns = random.normal(size=seeds), random.normal(size=n)
    variances = estimate_components(rows[:, None] + columns, 0.3)
    assert variances is not None
    assert variances.rest == pytest.approx(0, abs=1e-12)
    assert variances.seed == pytest.approx(float(np.var(rows, ddof=1)))
    assert variances.image == pytest.approx(float(np.var(columns, ddof=1)))


@given(st.integers(2, 6), st.integers(2, 30), st.integers(0, 10_000))
def test_components_are_those_of_the_mean_squares(seeds: int, n: int, number: int) -> None:
    table = np.random.default_rng(number).integers(-1, 2, (seeds, n)).astype(np.float64)
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    residuals = table - rows[:, None] - columns + table.mean()
    of_rest = np.sum(residuals**2) / ((seeds - 1) * (n - 1))
    of_seeds, of_images = n * np.var(rows, ddof=1), seeds * np.var(columns, ddof=1)
    repeats = sum(abs(first) * abs(second) for a, first in enumerate(table) for b, second in enumerate(table) if a != b)
    variances = estimate_components(table, 0.3)
    assert variances is not None
    assert variances.rest == pytest.approx(of_rest)
    assert variances.seed == pytest.approx(max(0.0, (of_seeds - of_rest) / n), abs=1e-12)
    assert variances.image == pytest.approx(max(0.0, (of_images - of_rest) / seeds), abs=1e-12)
    total = np.abs(table).sum()
    assert variances.repeated == pytest.approx(np.sum(repeats) / (seeds - 1) / total if total else 0.3)


def test_components_are_right_on_average() -> None:
    answers = Answers(0.9, 0.05, 2.0, 0.8, 0.3)
    random = np.random.default_rng(0)
    drawn = [estimate_components(answers.draw(4, 400, random), 0.3) for _ in range(400)]
    for name in ("image", "rest", "repeated"):
        mean = np.mean([getattr(variances, name) for variances in drawn])
        assert mean == pytest.approx(getattr(answers.components, name), rel=0.1)
    # None is below 0, so that on average there is a little too much of it.
    assert (
        answers.components.seed
        < np.mean([variances.seed for variances in drawn if variances])
        < 1.5 * answers.components.seed
    )


def test_nothing_is_known_of_seeds_from_one() -> None:
    assert estimate_components(np.zeros((1, 100)), 0.3) is None
    assert estimate_components(np.zeros((3, 1)), 0.3) is None
    assert estimate_components(np.zeros((3, 100)), 0.3) == VarianceComponents(0, 0, 0, 0.3)


@given(some, st.floats(0, 1))
def test_arms_that_differ_disagree_as_often(variances: VarianceComponents, difference: float) -> None:
    assert variances.at(difference).discordant(difference) >= difference - 1e-12
    assert variances.at(0.0) is variances


@pytest.mark.parametrize(
    ("discordant", "better", "worse", "seeds"), [(0.1, 0.6, 0.1, 2), (0.05, 0.3, 0.05, 3), (0.2, 0.5, 0.0, 2)]
)
def test_slopes_are_those_of_the_model_enumerated(discordant: float, better: float, worse: float, seeds: int) -> None:
    """On a share of the images the arms disagree: +1 with one probability in each seed, -1 with another."""
    chances = {1: better, -1: worse, 0: 1 - better - worse}
    patterns = list(itertools.product(chances, repeat=seeds))
    weights = [discordant * math.prod(chances[value] for value in pattern) for pattern in patterns]
    probability = np.array([*weights, 1 - discordant])
    values = np.array([*patterns, (0,) * seeds], dtype=float)
    mean, rest = values.mean(axis=1), values.var(axis=1, ddof=1)
    centred = mean - probability @ mean
    variance, with_rest = probability @ centred**2, probability @ (centred * rest)
    apart = better - worse
    d = discordant * apart
    parts = VarianceComponents(
        1e-5, discordant * apart**2 - d * d, discordant * (better + worse - apart**2), better + worse
    )
    expected = (probability @ centred**3 - with_rest / seeds) / variance, with_rest / variance
    assert _slopes(d, seeds, parts) == pytest.approx(expected)
