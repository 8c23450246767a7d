"""Feedback: how images are spread over classes, and by which scores."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.arms import feedback
from synthaug.arms.feedback import ENTROPY, ERROR, Round
from synthaug.arms.mixing import Counts
from synthaug.runs.prediction_files import Predictions

CLASSES = ["cat", "dog", "eagle"]


def predictions(labels: list[int], probabilities: list[list[float]]) -> Predictions:
    rows = np.array(probabilities, dtype=np.float64)
    names = [f"{number}.png" for number in range(len(labels))]
    return Predictions(names, np.array(labels), rows.argmax(axis=1), rows, CLASSES, np.arange(len(labels)))


def test_a_class_scores_by_its_own_errors() -> None:
    sure = [[0.9, 0.05, 0.05]] * 4  # "cat" every time: right twice, wrong for a dog and an eagle
    scores = feedback.class_scores(predictions([0, 0, 1, 2], sure), ERROR)
    assert scores == {"cat": pytest.approx(0.5 / 3), "dog": pytest.approx(0.75), "eagle": pytest.approx(0.75)}


def test_entropy_is_of_the_images_of_a_class() -> None:
    rows = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    scores = feedback.class_scores(predictions([0, 1, 2], rows), ENTROPY)
    assert scores["cat"] == pytest.approx(0, abs=1e-8)
    assert scores["dog"] == pytest.approx(math.log(2))
    assert scores["eagle"] == pytest.approx(math.log(3))


sizes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), min_size=1, max_size=6)


@given(sizes, st.integers(0, 100))
def test_as_many_images_are_spread_as_there_can_be(classes: list[tuple[float, int]], images: int) -> None:
    weights = {str(place): weight for place, (weight, _) in enumerate(classes)}
    limits = {str(place): limit for place, (_, limit) in enumerate(classes)}
    allocated = feedback.allocate(images, weights, limits)
    assert sum(allocated.values()) == min(images, sum(limits.values()))
    assert all(0 <= allocated[name] <= limits[name] for name in weights)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(0, 100))
def test_without_limits_the_spread_is_the_exact_share_to_one_image(weights: list[float], images: int) -> None:
    by_name = {str(place): weight for place, weight in enumerate(weights)}
    allocated = feedback.allocate(images, by_name, dict.fromkeys(by_name, 1000))
    for name, weight in by_name.items():
        assert abs(allocated[name] - images * weight / sum(weights)) < 1 + 1e-9


MIX = {"cat": Counts(3, 10), "dog": Counts(3, 10), "eagle": Counts(5, 10)}


@given(st.integers(1, 6), st.lists(st.tuples(*[st.floats(1e-6, 1)] * 3), min_size=5, max_size=5), st.integers(10, 40))
def test_an_arm_ends_with_as_many_images_and_loses_none_on_the_way(
    rounds: int, scores: list[tuple[float, float, float]], limit: int
) -> None:
    limits = dict.fromkeys(MIX, limit)
    trained: list[dict[str, int]] = []

    def train(number: int, counts: dict[str, Counts]) -> Round:
        assert number == len(trained) + 1
        trained.append({name: count.synthetic for name, count in counts.items()})
        return Round(trained[-1], dict(zip(MIX, scores[number - 1], strict=True)), 0.5)

    counts, played = feedback.play(MIX, rounds, [], limits, train)  # type: ignore[arg-type]
    assert len(played) == len(trained) == rounds - 1
    assert sum(count.synthetic for count in counts.values()) == 30
    assert {name: count.real for name, count in counts.items()} == {"cat": 3, "dog": 3, "eagle": 5}
    steps = [*trained, {name: count.synthetic for name, count in counts.items()}]
    for earlier, later in itertools.pairwise(steps):
        assert all(earlier[name] <= later[name] <= limit for name in MIX)
    again, _ = feedback.play(MIX, rounds, played, limits, train)  # type: ignore[arg-type]
    assert again == counts
    assert len(trained) == rounds - 1  # what was played is not played again


def test_the_class_with_the_errors_gets_the_images() -> None:
    done = [Round({"cat": 5, "dog": 5, "eagle": 5}, {"cat": 0.01, "dog": 0.01, "eagle": 0.48}, 0.8)]
    counts = feedback.next_counts(MIX, 2, done, dict.fromkeys(MIX, 100))
    assert {name: count.synthetic for name, count in counts.items()} == {"cat": 5, "dog": 5, "eagle": 20}


def test_no_class_is_without_images_in_the_first_round() -> None:
    few = {"cat": Counts(0, 4), "dog": Counts(0, 1), "eagle": Counts(1, 1), "fox": Counts(2, 0)}
    counts = feedback.next_counts(few, 6, [], dict.fromkeys(few, 6))
    assert {name: count.synthetic for name, count in counts.items()} == {"cat": 1, "dog": 1, "eagle": 0, "fox": 0}


def test_one_round_is_the_mix_as_it_is() -> None:
    counts, played = feedback.play(MIX, 1, [], dict.fromkeys(MIX, 100), lambda *_: pytest.fail("nothing to train"))
    assert counts == MIX
    assert played == []
