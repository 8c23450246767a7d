"""Confidence and calibration: as torchmetrics has them, with intervals that hold what they promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_calibration_error

from synthaug.analysis.inference.confidence import calibration, error_parts
from synthaug.analysis.inference.intervals import wilson

LEVELS = [0.0, 1 / 15, 0.2, 1 / 3, 0.5, 0.6, 0.93, 14 / 15, 0.999, 1.0]


@given(st.lists(st.tuples(st.sampled_from(LEVELS) | st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_parts_have_the_error_of_torchmetrics_for_a_mean(answers: list[tuple[float, bool]]) -> None:
    # Single precision, as torchmetrics has its bins in: else a confidence may fall on either side of a bin's end.
    confidence = np.array([max(value, 1 - value) for value, _ in answers], dtype=np.float32).astype(np.float64)
    correct = np.array([right for _, right in answers], dtype=np.float64)
    # Two classes: the answer is the first one, right or wrong.
    probabilities = torch.tensor(np.stack([confidence, 1 - confidence], axis=1))
    labels = torch.tensor([0 if right else 1 for right in correct])
    ties = confidence == 0.5  # torchmetrics takes the first of equals, as here
    assert bool((probabilities.argmax(dim=1) == 0).all()) or ties.any()
    expected = multiclass_calibration_error(probabilities, labels, num_classes=2, n_bins=15)
    bounds = np.linspace(0, 1, 16)
    if np.abs(confidence[:, None] - bounds).min() > 1e-6:
        assert error_parts(confidence, correct).mean() == pytest.approx(float(expected), abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_error_is_at_least_the_overconfidence(answers: list[tuple[float, bool]]) -> None:
    confidence, correct = (np.array(values, dtype=np.float64) for values in zip(*answers, strict=True))
    gap = float((confidence - correct).mean())
    assert error_parts(confidence, correct).mean() >= abs(gap) - 1e-12


def draw_answers(
    rng: np.random.Generator, seeds: int, n: int, over: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Answers of seeds to images: right as often as sure, less `over`; images and seeds both differ."""
    sure = np.clip(0.8 + 0.1 * rng.standard_normal(n) + 0.03 * rng.standard_normal((seeds, n)), 0.5, 1)
    return sure, (rng.random((seeds, n)) < sure - over).astype(np.float64)


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover(seeds: int) -> None:
    rng = np.random.default_rng(0)
    truth = float(np.clip(0.8 + np.hypot(0.1, 0.03) * rng.standard_normal(200_000), 0.5, 1).mean())
    hits = {"confidence": 0, "overconfidence": 0, "error": 0}
    for _ in range(200):
        estimate = calibration(*draw_answers(rng, seeds, 300, 0.1))
        hits["confidence"] += estimate.confidence.low <= truth <= estimate.confidence.high
        hits["overconfidence"] += estimate.overconfidence.low <= 0.1 <= estimate.overconfidence.high
        hits["error"] += estimate.error.low <= 0.1 <= estimate.error.high
    assert all(count >= 180 for count in hits.values()), hits


def test_one_image_and_perfect_answers_have_an_interval() -> None:
    single = calibration(np.array([[0.7]]), np.array([[1.0]]))
    assert single.overconfidence.value == pytest.approx(-0.3)
    assert single.error.value == pytest.approx(0.3)
    assert 0 <= single.confidence.low < 0.7 < single.confidence.high <= 1
    sure = calibration(np.ones((2, 50)), np.ones((2, 50)))
    assert (sure.confidence.value, sure.overconfidence.value, sure.error.value) == (1, 0, 0)
    assert sure.error.low == 0 < sure.error.high
    assert sure.confidence.low > wilson(40, 50).low
