"""The epoch that is tested: the first of the best on the validation images, after pretraining."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.runs.epoch_choice import epoch_to_test, first_best_epoch


@pytest.mark.parametrize(
    ("accuracies", "first", "epoch"),
    [
        ([], 0, None),
        ([0.0], 0, 0),
        ([0.5, 0.5], 0, 0),
        ([0.5, 0.6], 0, 1),
        ([0.6, 0.5, 0.6], 0, 0),
        ([math.nan], 0, None),
        ([math.nan, 0.5], 0, 1),
        ([0.9, math.nan, 0.5], 0, 0),
        ([0.9], 2, None),
        ([0.9, 0.95], 2, None),
        ([0.9, 0.9, 0.1], 2, 2),
        ([0.9, 0.9, 0.1, 0.1], 2, 2),
        ([0.9, 0.9, 0.1, 0.2], 2, 3),
        ([0.9, 0.9, math.nan, 0.2], 2, 3),
    ],
)
def test_the_first_of_the_best(accuracies: list[float], first: int, epoch: int | None) -> None:
    assert first_best_epoch(accuracies, first) == epoch


@given(st.lists(st.sampled_from([0.2, 0.5, 0.9, math.nan]), max_size=12), st.integers(0, 4))
def test_nothing_before_it_is_as_good_and_nothing_after_it_better(accuracies: list[float], first: int) -> None:
    epoch = first_best_epoch(accuracies, first)
    if epoch is None:
        assert all(math.isnan(accuracy) for accuracy in accuracies[first:])
        return
    assert epoch >= first
    assert not any(accuracy >= accuracies[epoch] for accuracy in accuracies[first:epoch])
    assert not any(accuracy > accuracies[epoch] for accuracy in accuracies[epoch:])


def test_the_last_epoch_is_the_last_whatever_its_accuracy() -> None:
    for accuracies in ([0.9], [0.9, 0.5], [0.9, math.nan]):
        assert epoch_to_test(accuracies, 0, is_last=True) == len(accuracies) - 1
        assert epoch_to_test(accuracies) == 0
    assert epoch_to_test([0.9, 0.9], 2, is_last=True) is None
    assert epoch_to_test([], 0, is_last=True) is None
