"""Variances of sources of chance: against the F and chi-squared tests, by hand, and on runs whose chance is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import chi2, f

from benchmarks.sources import answers
from synthaug.analysis.inference.sources_of_chance import (
    MeanSquare,
    chi_squared_interval,
    crossed_sources,
    difference_interval,
    image_source,
    nested_sources,
)

squares = st.builds(MeanSquare, st.floats(1e-6, 10), st.integers(1, 30))
tables = st.tuples(st.integers(2, 4), st.integers(2, 4), st.integers(2, 20)).flatmap(
    lambda shape: arrays(float, shape, elements=st.sampled_from([0.0, 1.0, 1.0]))
)


@given(squares)
def test_one_variance_is_that_of_chi_squared(square: MeanSquare) -> None:
    got = chi_squared_interval(square)
    n = square.degrees_of_freedom
    assert got.low == pytest.approx(square.value * n / chi2.ppf(0.975, n))
    assert got.high == pytest.approx(square.value * n / chi2.ppf(0.025, n))
    less = difference_interval(square, MeanSquare(0.0, 3))
    assert [less.low, less.high] == pytest.approx([got.low, got.high])


@given(squares, st.integers(1, 30))
def test_a_difference_leaves_out_zero_where_the_f_test_rejects(second: MeanSquare, degrees: int) -> None:
    n = degrees, second.degrees_of_freedom
    critical = MeanSquare(second.value * float(f.ppf(0.975, *n)), degrees)
    assert difference_interval(critical, second).low == pytest.approx(0, abs=1e-6 * critical.value)
    critical = MeanSquare(second.value * float(f.ppf(0.025, *n)), degrees)
    assert difference_interval(critical, second).high == pytest.approx(0, abs=1e-6 * second.value)


@given(squares, squares, st.floats(0.1, 10))
def test_a_difference_is_mirrored_and_scaled(first: MeanSquare, second: MeanSquare, factor: float) -> None:
    got, mirrored = difference_interval(first, second), difference_interval(second, first)
    assert got.low <= got.value <= got.high
    assert [mirrored.low, mirrored.high] == pytest.approx([-got.high, -got.low])
    larger, smaller = (MeanSquare(factor * square.value, square.degrees_of_freedom) for square in (first, second))
    scaled = difference_interval(larger, smaller)
    assert [scaled.low, scaled.high] == pytest.approx([factor * got.low, factor * got.high])


def test_a_difference_covers() -> None:
    random = np.random.default_rng(0)
    for n1, n2, truth in ((2, 4, 1.0), (9, 9, 2.0), (4, 2, 5.0)):
        drawn = random.chisquare(n1, 2000) * truth / n1, random.chisquare(n2, 2000) / n2
        estimates = [difference_interval(MeanSquare(a, n1), MeanSquare(b, n2)) for a, b in zip(*drawn, strict=True)]
        assert 0.935 < np.mean([item.low <= truth - 1 <= item.high for item in estimates]) < 0.975


def mean_squares(table: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of seeds, images and the rest."""
    seeds, images = table.shape
    of_seeds, of_images = table.mean(axis=1, keepdims=True), table.mean(axis=0)
    rest = np.square(table - of_seeds - of_images + table.mean()).sum() / (seeds - 1) / (images - 1)
    return images * float(of_seeds.var(ddof=1)), seeds * float(of_images.var(ddof=1)), float(rest)


@given(tables)
def test_levels_are_differences_of_what_images_do_not_explain(levels: NDArray[np.float64]) -> None:
    images = levels.shape[2]
    estimates = nested_sources([*levels])
    between = [(of_seeds - rest) / images for of_seeds, _, rest in map(mean_squares, levels)]
    expected = np.maximum([between[0], *np.diff(between)], 0)
    assert [item.value for item in estimates] == pytest.approx(expected.tolist(), abs=1e-12)
    assert all(0 <= item.low <= item.value <= item.high for item in estimates)
    assert nested_sources([*levels[:1]]) == estimates[:1]
    _, of_images, rest = mean_squares(levels[0])
    assert image_source(levels[0]).value == pytest.approx(max(of_images - rest, 0) / levels[0].size, abs=1e-12)


def test_a_level_by_hand() -> None:
    """Every image answered by all seeds or by none, but for what moves a whole seed."""
    steady = np.repeat([[0.9], [0.8], [0.7]], 10, axis=1)
    moving = np.repeat([[0.9], [0.5], [0.1]], 10, axis=1)
    first, second = nested_sources([steady, moving])
    assert [first.value, second.value] == pytest.approx([0.01, 0.16 - 0.01])
    assert first.high == pytest.approx(0.01 * 2 / chi2.ppf(0.025, 2))


@given(tables)
def test_crossed_mean_squares_are_those_of_two_factors(table: NDArray[np.float64]) -> None:
    draws, seeds = table.shape[:2]
    got = crossed_sources(table)
    accuracy = table.mean(axis=2)
    total = np.square(accuracy - accuracy.mean()).sum()
    of_draws = seeds * np.square(accuracy.mean(axis=1) - accuracy.mean()).sum()
    of_seeds = draws * np.square(accuracy.mean(axis=0) - accuracy.mean()).sum()
    rest = (total - of_draws - of_seeds) / (draws - 1) / (seeds - 1)
    assert got.draw.value == pytest.approx(max((of_draws / (draws - 1) - rest) / seeds, 0), abs=1e-12)
    assert got.seed.value == pytest.approx(max((of_seeds / (seeds - 1) - rest) / draws, 0), abs=1e-12)
    turned = crossed_sources(table.transpose(1, 0, 2))
    assert [turned.draw.value, turned.seed.high] == pytest.approx([got.seed.value, got.draw.high], abs=1e-12)
    assert got.run.value <= max(rest, 0) + 1e-12
    assert 0 <= got.image.low <= got.image.value <= got.image.high


def test_a_draw_that_moves_all_seeds_is_recognized() -> None:
    random = np.random.default_rng(0)
    effects = 0.02 * random.standard_normal((200, 5, 1)) + 0.004 * random.standard_normal((200, 5, 5))
    got = [crossed_sources(table) for table in answers(effects, 400, random)]
    assert np.mean([item.draw.low <= 0.02**2 <= item.draw.high for item in got]) > 0.9
    assert np.mean([item.draw.low > 0 for item in got]) > 0.6
    assert np.mean([item.seed.low == 0 for item in got]) > 0.94


def test_the_share_of_the_images_covers() -> None:
    """Answers that do not depend on the seed: p (1 - p) / n."""
    random = np.random.default_rng(0)
    tables = [np.repeat((random.random((1, 400)) < 0.8).astype(float), 3, axis=0) for _ in range(300)]
    truth = 0.8 * 0.2 / 400
    covered = [item.low <= truth <= item.high for item in map(image_source, tables)]
    assert np.mean(covered) > 0.91
    coin = image_source((random.random((20, 2000)) < 0.5).astype(float))
    assert coin.value < 0.25 / 20 / 2000


def test_too_few_of_anything() -> None:
    for levels in ([np.ones((1, 5))], [np.ones((3, 5)), np.ones((3, 1))]):
        with pytest.raises(ValueError, match="two seeds and two images"):
            nested_sources(levels)
    with pytest.raises(ValueError, match="got 1, 2 and 9"):
        crossed_sources(np.ones((1, 2, 9)))
