"""The simulation in benchmarks/: it knows the truth, and would notice an interval that is too narrow."""

import json

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibration import CHOSEN, RESULTS, Row
from benchmarks.tables import tables
from benchmarks.truth import Truth, draw
from synthaug.analysis.inference import intervals


def test_a_truth_is_what_its_studies_are_drawn_from() -> None:
    truth = Truth(((0.99, 0.91), (0.95, 0.85)), seed_deviation=0.01)
    drawn = draw(truth, np.random.default_rng(0), studies=400, seeds=3, images=200)
    assert truth.expected == pytest.approx([0.95, 0.9])
    assert drawn.correct.shape == (400, 2, 3, 200)
    by_class = drawn.correct.reshape(400, 2, 3, 100, 2).mean(axis=(0, 2, 3))
    assert by_class == pytest.approx(np.array(truth.accuracies), abs=0.006)
    assert drawn.networks.mean(axis=(0, 2)) == pytest.approx(truth.expected, abs=0.002)
    assert drawn.networks.std(axis=(0, 2)) == pytest.approx([0.01, 0.01], rel=0.1)
    assert drawn.correct.mean(axis=-1) == pytest.approx(drawn.networks, abs=0.12)
    assert drawn.differences().mean() == pytest.approx(-0.05, abs=0.005)


def test_the_truth_disagrees_as_the_digits_do() -> None:
    """Two seeds of the arm `real` of experiments/controls: 95.4 % right, and they disagree on 3.8 % of the images."""
    drawn = draw(Truth(((0.954,),)), np.random.default_rng(0), studies=40, seeds=2, images=1500)
    assert np.mean(drawn.correct[:, 0, 0] != drawn.correct[:, 0, 1]) == pytest.approx(0.038, abs=0.004)


def test_seeds_cannot_move_what_is_nearly_perfect() -> None:
    with pytest.raises(ValueError, match=r"cannot vary by 0\.5"):
        _ = Truth(((0.999,),), seed_deviation=0.5).levels


def test_macro_f1_of_a_population() -> None:
    """Equal classes and evenly spread mistakes: precision, recall and F1 are all the accuracy."""
    truth = Truth(((0.9, 0.9, 0.9),), seed_deviation=0.01)
    assert calibration.population_f1(truth, 0) == pytest.approx(0.9)


def simulate_intervals(monkeypatch: pytest.MonkeyPatch, studies: int) -> list[Row]:
    monkeypatch.setattr(calibration, "ACCURACIES", (0.95,))
    monkeypatch.setattr(calibration, "DIFFERENCES", (-0.01,))
    monkeypatch.setattr(calibration, "SEED_DEVIATIONS", (0.006,))
    monkeypatch.setattr(calibration, "IMAGES", (60, 500))
    return calibration.intervals(np.random.default_rng(0), studies=studies)


def coverage(rows: list[Row], method: str) -> list[float]:
    return [row.covered for row in rows if row.method == method and row.covered is not None]


def test_the_interval_covers_and_a_broken_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = simulate_intervals(monkeypatch, studies=100)
    assert {row.method for row in rows} == {CHOSEN, *calibration.RIVALS, *calibration.RESAMPLING}
    assert np.mean(coverage(rows, CHOSEN)) > 0.94
    assert min(coverage(rows, CHOSEN)) > 0.86
    assert min(coverage(rows, "images alone")) < min(coverage(rows, CHOSEN))
    whole = intervals.VarianceComponent.half_width
    monkeypatch.setattr(intervals.VarianceComponent, "half_width", lambda part, alpha: whole(part, alpha) / 2)
    assert np.mean(coverage(simulate_intervals(monkeypatch, studies=100), CHOSEN)) < 0.85


@pytest.mark.slow
def test_the_interval_covers_93_percent_in_2000_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert min(coverage(simulate_intervals(monkeypatch, studies=2000), CHOSEN)) > 0.93


@pytest.mark.parametrize("simulate", calibration.QUESTIONS[1:])
def test_every_part_has_rates(simulate: calibration.Question) -> None:
    rows = simulate(np.random.default_rng(0), 3)
    assert rows
    for row in rows:
        rates = [rate for rate in (row.covered, row.rejected, row.predicted) if rate is not None]
        assert rates
        assert all(0 <= rate <= 1 for rate in rates)


def test_the_page_shows_what_was_simulated() -> None:
    page = RESULTS.with_name("README.md").read_text()
    assert tables(json.loads(RESULTS.read_text())) in page
