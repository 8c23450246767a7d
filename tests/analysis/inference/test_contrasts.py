"""Differences, parts of the macro F1 and slopes: against their definitions, one image left out at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import (
    adjusted,
    class_differences,
    contrast,
    difference,
    macro_f1_parts,
    main_effects,
    right,
    slope,
)
from synthaug.analysis.inference.intervals import paired_difference, unpaired_difference

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=25)


def macro_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """By its definition, over the classes that are labels or predictions."""
    scores = []
    for name in set(labels) | set(predicted):
        hits = ((labels == name) & (predicted == name)).sum()
        scores.append(2 * hits / ((labels == name).sum() + (predicted == name).sum()))
    return float(np.mean(scores))


@given(pairs)
def test_parts_of_the_macro_f1_are_those_of_leaving_each_image_out(drawn: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(drawn).T
    n, whole = len(labels), macro_f1(labels, predicted)
    kept = [np.arange(n) != image for image in range(n)]
    pseudo = np.array([n * whole - (n - 1) * macro_f1(labels[rows], predicted[rows]) for rows in kept])
    got = macro_f1_parts({0: predicted}, labels, CLASSES)[0]
    assert got == pytest.approx(pseudo - pseudo.mean() + whole)


def test_the_only_image_has_the_whole_macro_f1() -> None:
    assert macro_f1_parts({0: np.array([1])}, np.array([1]), CLASSES)[0].tolist() == [1.0]


def draw_values(seeds: tuple[int, ...], accuracy: float, images: int = 200) -> dict[int, NDArray[np.float64]]:
    return {seed: (np.random.default_rng(seed).random(images) < accuracy).astype(float) for seed in seeds}


def test_only_seeds_of_both_are_paired() -> None:
    first, second = draw_values((0, 1, 2), 0.8), draw_values((1, 2, 3), 0.9)
    expected = paired_difference(np.stack([first[seed] - second[seed] for seed in (1, 2)]))
    assert difference(first, second) == expected
    assert difference(draw_values((0, 1), 0.8), draw_values((2, 3), 0.9)).seeds == 2
    apart = unpaired_difference(
        np.stack([*draw_values((0, 1), 0.8).values()]), np.stack([*draw_values((2, 3), 0.9).values()])
    )
    assert difference(draw_values((0, 1), 0.8), draw_values((2, 3), 0.9)) == apart


def test_rows_are_those_of_a_class() -> None:
    first, second = draw_values((0, 1), 0.8), draw_values((0, 1), 0.9)
    rows = np.array([3, 5, 8])
    expected = paired_difference(np.stack([first[seed][rows] - second[seed][rows] for seed in (0, 1)]))
    assert difference(first, second, rows) == expected


def test_near_duplicates_count_as_one_image() -> None:
    first, second = draw_values((0, 1), 0.8), draw_values((0, 1), 0.9)
    twice, reference = ({seed: np.repeat(values, 2) for seed, values in arm.items()} for arm in (first, second))
    clusters = np.repeat(np.arange(200), 2)
    once, estimate = difference(first, second), difference(twice, reference, clusters=clusters)
    assert [estimate.low, estimate.high, estimate.p_value] == pytest.approx([once.low, once.high, once.p_value])
    rows = np.array([3, 5, 8])
    of_class = difference(twice, reference, np.concatenate([2 * rows, 2 * rows + 1]), clusters)
    expected = difference(first, second, rows)
    assert [of_class.low, of_class.high] == pytest.approx([expected.low, expected.high])
    apart = difference(twice, {9: reference[0]}, clusters=clusters)
    alone = difference(first, {9: second[0]})
    assert [apart.low, apart.high] == pytest.approx([alone.low, alone.high])
    labels = np.arange(200) % 2
    doubled = class_differences(twice, reference, np.repeat(labels, 2), 2, clusters)
    single = class_differences(first, second, labels, 2)
    assert [item.low for item in doubled if item] == pytest.approx([item.low for item in single if item])
    arms = [draw_values((0, 1), accuracy) for accuracy in (0.9, 0.8, 0.7)]
    line = slope([0.5, 0.6, 0.8], arms, per=0.1)
    of_copies = slope([0.5, 0.6, 0.8], [{s: np.repeat(v, 2) for s, v in arm.items()} for arm in arms], 0.1, clusters)
    assert line is not None
    assert of_copies is not None
    assert [of_copies.low, of_copies.high] == pytest.approx([line.low, line.high])


def test_slope_is_that_of_the_means() -> None:
    shares = [0.0, 0.5, 0.6, 0.8]
    arms = [draw_values((0, 1, 2), accuracy) for accuracy in (0.95, 0.9, 0.9, 0.85)]
    line = slope(shares, arms, per=0.1)
    assert line is not None
    means = [np.mean([*arm.values()]) for arm in arms]
    assert line.value == pytest.approx(0.1 * np.polyfit(shares, means, 1)[0])
    assert line.low < line.value < line.high < 0


def test_no_slope_without_three_shares_or_a_common_seed() -> None:
    arms = [draw_values((0,), 0.9), draw_values((0,), 0.8), draw_values((0,), 0.7)]
    assert slope([0.0, 0.5, 0.5], arms, per=0.1) is None
    assert slope([0.0, 0.5, 0.8], [*arms[:2], draw_values((1,), 0.7)], per=0.1) is None
    assert slope([], [], per=0.1) is None


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=6), st.integers(1, 3))
def test_a_contrast_is_that_of_the_means_and_of_two_arms_their_difference(drawn: list[int], seeds: int) -> None:
    weights = [weight - sum(drawn) / len(drawn) for weight in drawn]
    arms = [draw_values(tuple(range(10 * arm, 10 * arm + seeds)), 0.8, 30) for arm in range(len(weights))]
    arms = [dict(enumerate(arm.values())) for arm in arms]
    got = contrast(weights, arms)
    means = [np.mean([*arm.values()]) for arm in arms]
    assert got is not None
    assert got.value == pytest.approx(np.dot(weights, means))
    mirrored = contrast([-weight for weight in weights], arms)
    assert mirrored is not None
    assert [mirrored.low, mirrored.high] == pytest.approx([-got.high, -got.low])
    pair = contrast([1, -1], arms[:2])
    assert pair is not None
    plain = difference(arms[0], arms[1])
    assert [pair.low, pair.high] == pytest.approx([plain.low, plain.high])
    assert contrast(weights, [*arms[:-1], {99: arms[-1][0]}]) is None


def test_main_effects_average_over_everything_else() -> None:
    levels, cells = ["a", "a", "b", "b", "c", "c", "c"], ["x", "y", "x", "y", "x", "y", "z"]
    arms = [draw_values((0, 1, 2), accuracy) for accuracy in (0.9, 0.8, 0.85, 0.75, 0.9, 0.8, 0.1)]
    effects = main_effects(levels, cells, arms)
    assert [(effect.first, effect.second, effect.cells) for effect in effects] == [
        ("a", "b", 2), ("a", "c", 2), ("b", "c", 2)
    ]  # fmt: skip
    expected = adjusted(
        contrast([0.5, 0.5, -0.5, -0.5], [arms[place] for place in places])
        for places in ([0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5])
    )
    assert [effect.difference for effect in effects] == expected
    shuffled = main_effects(levels[::-1], cells[::-1], arms[::-1])
    assert sorted(abs(effect.difference.value) for effect in shuffled) == pytest.approx(
        sorted(abs(effect.difference.value) for effect in effects)
    )
    twice = main_effects(levels, cells, arms, looks=2)
    assert twice[0].difference.adjusted_p == min(1, 2 * (effects[0].difference.adjusted_p or 0))


def test_a_pair_of_levels_in_one_cell_or_none_has_no_main_effect() -> None:
    arms = [draw_values((0, 1), 0.9)] * 4
    assert main_effects(["a", "a", "b", "b"], ["x", "y", "y", "z"], arms) == []
    assert main_effects(["a", "a", "b", "b"], ["w", "x", "y", "z"], arms) == []
    with pytest.raises(ValueError, match="the same level and the same cell"):
        main_effects(["a", "a"], ["x", "x"], arms[:2])


def test_what_all_arms_of_a_cell_share_is_not_in_a_main_effect() -> None:
    """The cell decides by 40 points, the factor by exactly none."""
    first, second = draw_values((0, 1), 0.9), draw_values((0, 1), 0.5)
    (effect,) = main_effects(["a", "b", "a", "b"], ["x", "x", "y", "y"], [first, first, second, second])
    assert effect.difference.value == 0
    assert effect.difference.high < 0.02


def test_holm_passes_over_what_is_missing_or_not_tested() -> None:
    tested = difference(draw_values((0, 1), 0.5), draw_values((0, 1), 0.6))
    single = difference(draw_values((0,), 0.5), draw_values((0,), 0.99))
    assert tested.p_value is not None
    differences = adjusted([None, tested, single, tested])
    assert differences[0] is None
    assert [item.adjusted_p for item in differences if item] == [2 * tested.p_value, None, 2 * tested.p_value]
    by_looks = adjusted([tested, single], looks=3)
    assert [item.adjusted_p for item in by_looks if item] == [min(1.0, 3 * tested.p_value), None]


def test_one_seed_is_never_significant() -> None:
    single = difference(draw_values((0,), 0.5), draw_values((0,), 0.99))
    assert (single.p_value, single.is_significant, single.contains_zero) == (None, False, False)


def test_differences_by_class() -> None:
    first, second = draw_values((0, 1), 0.8), draw_values((0, 1), 0.9)
    labels = np.arange(200) % 3
    empty, *rest = class_differences(first, second, labels + 1, 4)
    assert empty is None
    expected = [difference(first, second, np.flatnonzero(labels == label)) for label in range(3)]
    assert rest == adjusted(expected)


def test_right() -> None:
    assert right({3: np.array([1, 0, 2])}, np.array([1, 1, 2]))[3].tolist() == [1, 0, 1]
