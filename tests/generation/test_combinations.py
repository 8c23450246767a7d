"""Combinations of lists: even at every number of images, and none twice before all were used."""

import math
import statistics
from collections import Counter
from itertools import combinations as pairs_of

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.generation.combinations import combination

SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=5)


@given(SIZES)
def test_every_combination_comes_once_before_any_comes_again(sizes: list[int]) -> None:
    count = math.prod(sizes)
    sequence = [combination(index, tuple(sizes)) for index in range(min(count, 3000))]
    assert len(set(sequence)) == len(sequence)
    assert combination(count + 3, tuple(sizes)) == combination(3 % count, tuple(sizes))


@given(SIZES, st.integers(0, 2000))
def test_values_of_a_list_are_equally_often_up_to_one(sizes: list[int], images: int) -> None:
    sequence = [combination(index, tuple(sizes)) for index in range(images)]
    for position, size in enumerate(sizes):
        counts = Counter(dict.fromkeys(range(size), 0)) + Counter()
        counts.update(dict.fromkeys(range(size), 0))
        counts.update(values[position] for values in sequence)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_one_list_is_taken_in_turn() -> None:
    assert [combination(index, (3,)) for index in range(5)] == [(0,), (1,), (2,), (0,), (1,)]
    assert combination(0, ()) == ()


@pytest.mark.parametrize("sizes", [(8, 7, 5, 5), (8, 8, 8, 8), (6, 4, 3), (5, 5, 5)])
def test_lists_do_not_go_side_by_side(sizes: tuple[int, ...]) -> None:
    """A fresh draw of each value for each image would have 1 - 1/e of all pairs of two lists after as many images."""
    shares = []
    for first, second in pairs_of(range(len(sizes)), 2):
        count = sizes[first] * sizes[second]
        chosen = [combination(index, tuple(sizes)) for index in range(count)]
        shares.append(len({(values[first], values[second]) for values in chosen}) / count)
    assert min(shares) >= 0.5
    assert statistics.mean(shares) > 1 - math.exp(-1)
