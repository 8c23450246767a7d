"""Differences over folds: against the formula, in any order, and on classifiers that learn from overlapping sets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.folds import blocks, learnt, neighbours
from synthaug.analysis.inference.arm_groups import pairwise_differences
from synthaug.analysis.inference.contrasts import class_differences, contrast, difference, main_effects, slope
from synthaug.analysis.inference.folds import cluster_folds, fold_accuracy, fold_difference, folds_mean_variance
from synthaug.analysis.inference.intervals import paired_difference, wilson

Z = 1.959963984540054
Study = tuple[NDArray[np.float64], NDArray[np.int64]]


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """Draw a table of seeds by images, and the fold of each image."""
    folds, seeds = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    images = draw(st.integers(folds, 40))
    values = draw(arrays(float, (seeds, images), elements=st.sampled_from([-1.0, 0.0, 0.0, 1.0])))
    return values, np.array(draw(st.permutations([image % folds for image in range(images)])))


@given(studies())
def test_it_is_sane_symmetric_and_knows_no_order(study: Study) -> None:
    values, folds = study
    got = fold_difference(values, folds)
    assert got.value == pytest.approx(values.mean())
    assert -1 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high
    assert got.seeds == len(values) * len(np.unique(folds))
    assert got.p_value is not None
    assert 0 < got.p_value <= 1
    mirrored = fold_difference(-values, folds)
    assert [mirrored.low, mirrored.high] == pytest.approx([-got.high, -got.low])
    turned = fold_difference(values[::-1, ::-1], 7 - folds[::-1])
    assert [turned.low, turned.high, turned.p_value] == pytest.approx([got.low, got.high, got.p_value])


@given(studies())
def test_the_p_value_and_the_interval_say_the_same(study: Study) -> None:
    got = fold_difference(*study)
    if got.p_value is not None and abs(got.p_value - 0.05) > 1e-9 and abs(got.value) < 1:
        assert (got.p_value < 0.05) == (not got.contains_zero)


@given(studies())
def test_it_allows_for_more_than_the_images(study: Study) -> None:
    values, folds = study
    of_folds = fold_difference(values, folds).variance
    count = len(np.unique(folds))
    least = math.sqrt(1 + count / (count - 1)) * float(of_folds.images.half_width(0.05))
    assert float(of_folds.half_width()) >= least * (1 - 1e-9)


def test_by_hand() -> None:
    """Two seeds, four images in two folds."""
    values = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    got = fold_difference(values, np.array([0, 0, 1, 1]))
    size = math.sqrt(np.var([0.5, 0, -1, 0.5]) / np.mean([np.var(values[0]), np.var(values[1])]))
    single = ((0.25**2 + 0.25**2 + 0.75**2 + 0.75**2) * 4 / 2 + 2 * size**2) / 6**2
    of_runs = np.mean([np.var([0.5, 0], ddof=1), np.var([-0.5, 0], ddof=1)]) / 2
    assert of_runs > np.var([0, 0], ddof=1)
    half = math.sqrt(student.ppf(0.975, 2) ** 2 * of_runs / 2 + Z**2 * 3 * single)
    assert float(got.variance.half_width()) == pytest.approx(half)
    assert got.centre == pytest.approx(values.sum() / 2 / 6)


def test_with_one_seed_the_folds_tell_how_much_runs_differ() -> None:
    """Folds of one value each: nothing but runs."""
    folds = np.arange(400) % 4
    values = np.array([0.4, -0.2, 0.1, 0.3])
    got = fold_difference(values[folds][None], folds)
    of_folds = values.var(ddof=1) / 4 * (1 + 4 / 3)
    assert float(got.variance.half_width()) == pytest.approx(student.ppf(0.975, 3) * math.sqrt(of_folds), rel=0.03)


def test_a_seed_that_is_bad_in_all_folds_counts() -> None:
    folds = np.arange(300) % 5
    steady, moved = np.zeros((3, 300)), np.array([[0.1], [0.0], [-0.1]]) * np.ones((3, 300))
    apart = fold_difference(moved, folds).high - fold_difference(steady, folds).high
    assert apart > 0.9 * student.ppf(0.975, 10) * 0.1 / math.sqrt(3) - 0.02


@given(st.integers(2, 4))
def test_many_tables_at_once_are_as_each_alone(seeds: int) -> None:
    tables = np.random.default_rng(seeds).choice([1.0, -1.0, 0.0], p=[0.1, 0.1, 0.8], size=(6, seeds, 30))
    folds = np.arange(30) % 5
    centres, spread = folds_mean_variance(tables, folds)
    alone = [fold_difference(table, folds) for table in tables]
    np.testing.assert_allclose(centres, [estimate.centre for estimate in alone])
    np.testing.assert_allclose(spread.half_width(), [estimate.variance.half_width() for estimate in alone])


@pytest.mark.parametrize("folds", [np.zeros(5, dtype=np.int64), np.arange(4)])
def test_folds_that_are_none(folds: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="two folds or more"):
        fold_difference(np.zeros((1, 5)), folds)


def test_it_covers_where_an_interval_over_images_does_not() -> None:
    """Nearest neighbours depend much on the training images, which all folds share."""
    folds = np.arange(100) // 2 % 5
    answers = np.concatenate(list(learnt(neighbours, blocks(10), folds, 1, 400, np.random.default_rng(0)))).astype(
        float
    )
    tables = answers[:, 1] - answers[:, 0]
    assert np.mean([fold_difference(table, folds).contains_zero for table in tables]) > 0.95
    assert np.mean([paired_difference(table).contains_zero for table in tables]) < 0.93
    estimates = [fold_accuracy(table, folds) for table in answers[:, 0]]
    assert np.mean([item.low <= answers.mean() <= item.high for item in estimates]) > 0.95


@given(studies())
def test_an_accuracy_is_no_surer_than_of_the_images_that_the_factor_leaves(study: Study) -> None:
    values, folds = study
    correct = (values >= 0).astype(float)
    got = fold_accuracy(correct, folds)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.value == correct.mean()
    count = len(np.unique(folds))
    images = max(1.0, correct.shape[1] / (1 + count / (count - 1)))
    least = wilson(got.value * images, images)
    assert got.low <= least.low + 1e-12 if got.value > 0.5 else got.high >= least.high - 1e-12
    wrong = fold_accuracy(1 - correct, folds)
    if abs(got.value - 0.5) > 1e-9:
        assert [wrong.low, wrong.high] == pytest.approx([1 - got.high, 1 - got.low])


def test_clusters_are_in_one_fold() -> None:
    folds, clusters = np.array([2, 0, 2, 1]), np.array([7, 3, 7, 5])
    assert cluster_folds(folds, clusters).tolist() == [0, 1, 2]
    assert cluster_folds(folds, None) is folds
    assert cluster_folds(folds, np.array([9, 3, 7, 5])) is folds
    with pytest.raises(ValueError, match="near duplicates are in different folds"):
        cluster_folds(folds, np.array([7, 7, 3, 5]))


def draw_values(accuracy: float, seed: int, images: int = 120) -> dict[int, NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    return {number: (random.random(images) < accuracy).astype(float) for number in range(2)}


def test_every_comparison_knows_folds() -> None:
    first, second = draw_values(0.8, 0), draw_values(0.7, 1)
    folds = np.arange(120) % 5
    expected = fold_difference(np.stack([first[seed] - second[seed] for seed in (0, 1)]), folds)
    assert difference(first, second, folds=folds) == expected
    for same in (
        contrast([1, -1], [first, second], folds=folds),
        pairwise_differences([first, second], folds=folds)[0, 1],
        main_effects(["a", "b"] * 2, ["x", "x", "y", "y"], [first, second] * 2, folds=folds)[0].difference,
    ):
        assert same is not None
        assert [same.low, same.high, same.p_value] == pytest.approx([expected.low, expected.high, expected.p_value])
    line = slope([0.0, 0.5, 1.0], [second, second, first], per=1, folds=folds)
    assert line is not None
    assert line.seeds == 10
    twice, reference = ({seed: np.repeat(arm[seed], 2) for seed in arm} for arm in (first, second))
    copies = difference(twice, reference, None, np.repeat(np.arange(120), 2), np.repeat(folds, 2))
    assert [copies.low, copies.high] == pytest.approx([expected.low, expected.high])


def test_differences_by_class_over_folds() -> None:
    first, second = draw_values(0.8, 0), draw_values(0.7, 1)
    folds, labels = np.arange(120) % 5, np.where(np.arange(120) % 5 == 3, 1, 0)
    in_several, in_one, absent = class_differences(first, second, labels, 3, folds=folds)
    assert in_one is None
    assert absent is None
    rows = np.flatnonzero(labels == 0)
    assert in_several is not None
    assert in_several.low == difference(first, second, rows, folds=folds).low


def test_seeds_that_are_not_shared_are_one_run_in_each_fold() -> None:
    first, second = draw_values(0.8, 0), {seed + 5: values for seed, values in draw_values(0.7, 1).items()}
    folds = np.arange(120) % 5
    got = difference(first, second, folds=folds)
    means = [np.mean([*arm.values()], axis=0) for arm in (first, second)]
    assert got == fold_difference((means[0] - means[1])[None], folds)
