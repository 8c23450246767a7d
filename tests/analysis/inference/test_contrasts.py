"""Differences, parts of the macro F1 and slopes: against their definitions, one image left out at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import adjusted, difference, macro_f1_parts, right, slope
from synthaug.analysis.inference.hypothesis_tests import mcnemar
from synthaug.analysis.inference.intervals import paired_difference, unpaired_difference

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=25)


def macro_f1(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    """By its definition, over the classes that are asked for or answered."""
    found = []
    for name in set(labels) | set(answers):
        hits = ((labels == name) & (answers == name)).sum()
        found.append(2 * hits / ((labels == name).sum() + (answers == name).sum()))
    return float(np.mean(found))


@given(pairs)
def test_parts_of_the_macro_f1_are_those_of_leaving_each_image_out(drawn: list[tuple[int, int]]) -> None:
    labels, answers = np.array(drawn).T
    n, whole = len(labels), macro_f1(labels, answers)
    kept = [np.arange(n) != image for image in range(n)]
    pseudo = np.array([n * whole - (n - 1) * macro_f1(labels[rows], answers[rows]) for rows in kept])
    got = macro_f1_parts({0: answers}, labels, CLASSES)[0]
    assert got == pytest.approx(pseudo - pseudo.mean() + whole)


def test_the_only_image_has_the_whole_macro_f1() -> None:
    assert macro_f1_parts({0: np.array([1])}, np.array([1]), CLASSES)[0].tolist() == [1.0]


def made(seeds: tuple[int, ...], accuracy: float, images: int = 200) -> dict[int, NDArray[np.float64]]:
    return {seed: (np.random.default_rng(seed).random(images) < accuracy).astype(float) for seed in seeds}


def test_only_seeds_of_both_are_paired() -> None:
    first, second = made((0, 1, 2), 0.8), made((1, 2, 3), 0.9)
    expected = paired_difference(np.stack([first[seed] - second[seed] for seed in (1, 2)]))
    assert difference(first, second) == expected
    assert difference(made((0, 1), 0.8), made((2, 3), 0.9)).seeds == 2
    apart = unpaired_difference(np.stack([*made((0, 1), 0.8).values()]), np.stack([*made((2, 3), 0.9).values()]))
    assert difference(made((0, 1), 0.8), made((2, 3), 0.9)) == apart


def test_right_answers_of_one_seed_are_tested_by_mcnemar() -> None:
    first, second = made((0, 1), 0.8), made((1, 5), 0.9)
    values = first[1] - second[1]
    found = difference(first, second)
    assert found.p_value == mcnemar(int((values > 0).sum()), int((values < 0).sum()))
    parts = difference({0: first[1] * 0.7}, {0: second[1]})
    assert parts.p_value == paired_difference((first[1] * 0.7 - second[1])[None]).p_value


def test_rows_are_those_of_a_class() -> None:
    first, second = made((0, 1), 0.8), made((0, 1), 0.9)
    rows = np.array([3, 5, 8])
    expected = paired_difference(np.stack([first[seed][rows] - second[seed][rows] for seed in (0, 1)]))
    assert difference(first, second, rows) == expected


def test_slope_is_that_of_the_means() -> None:
    shares = [0.0, 0.5, 0.6, 0.8]
    arms = [made((0, 1, 2), accuracy) for accuracy in (0.95, 0.9, 0.9, 0.85)]
    found = slope(shares, arms, per=0.1)
    assert found is not None
    means = [np.mean([*arm.values()]) for arm in arms]
    assert found.value == pytest.approx(0.1 * np.polyfit(shares, means, 1)[0])
    assert found.low < found.value < found.high < 0


def test_no_slope_without_three_shares_or_a_common_seed() -> None:
    arms = [made((0,), 0.9), made((0,), 0.8), made((0,), 0.7)]
    assert slope([0.0, 0.5, 0.5], arms, per=0.1) is None
    assert slope([0.0, 0.5, 0.8], [*arms[:2], made((1,), 0.7)], per=0.1) is None
    assert slope([], [], per=0.1) is None


def test_holm_passes_over_what_is_not_there() -> None:
    one = difference(made((0,), 0.5), made((1,), 0.99))
    found = adjusted([None, one, None, one])
    assert found[0] is found[2] is None
    assert [item.adjusted_p for item in found if item] == [2 * one.p_value] * 2


def test_right() -> None:
    assert right({3: np.array([1, 0, 2])}, np.array([1, 1, 2]))[3].tolist() == [1, 0, 1]
