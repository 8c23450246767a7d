"""The exchange rate: a known law comes back, and where nothing can be told that is said."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.exchange import rate
from synthaug.analysis.exchange.covariance import errors, variation
from synthaug.analysis.exchange.law import CHANGING, CONSTANT, SHIFTED, WORTHLESS, Law, Problem
from synthaug.analysis.exchange.rate import Amounts, Value, fit, group_exchange
from synthaug.analysis.output.records import exchange_record
from synthaug.analysis.text import exchange_text
from synthaug.analysis.text.document import markdown
from tests.factories.exchange_studies import GRID, LAW, answers, write_exchange_study

REAL = np.array([arm.n_real for arm in GRID], dtype=float)
SYNTHETIC = np.array([arm.n_synthetic for arm in GRID], dtype=float)


def problem_of(law: Law) -> Problem:
    """The arms' true errors, known to a point, about as well as a study knows them."""
    return Problem(REAL, SYNTHETIC, law.error(REAL, SYNTHETIC), 1e-4 * np.eye(len(GRID)))


def replaced(law: Law = LAW, **changes: float) -> Law:
    return Law(**{**{name: getattr(law, name) for name in law.__dataclass_fields__}, **changes})


# --- the law -----------------------------------------------------------------------------------------

laws = st.builds(
    Law,
    floor=st.floats(0, 0.1),
    scale=st.floats(0.03, 0.2),
    exponent=st.floats(0.3, 1.5),
    value=st.floats(-0.015, 2),
    size=st.just(300.0),
)


@given(laws)
@example(Law(floor=0.0, scale=0.1875, exponent=1.203125, value=-0.015, size=300.0))  # next to an impossible value
@settings(max_examples=40, deadline=None)
def test_a_law_without_noise_comes_back(law: Law) -> None:
    profile = problem_of(law).profile(CONSTANT)
    low, high = profile.interval(3.84)
    assert profile.least < 1.5
    assert low is None or low <= law.value
    assert high is None or law.value <= high
    # The grid is finer than what such errors could tell apart.
    assert np.allclose(profile.law.error(REAL, SYNTHETIC), law.error(REAL, SYNTHETIC), atol=0.02)


def test_each_form_finds_what_it_is_about() -> None:
    falling = problem_of(replaced(power=0.5, unit=2000.0, value=0.2)).profile(CHANGING).law
    assert falling.power == pytest.approx(0.5, abs=0.11)
    assert falling.value_at(500) > falling.value_at(2000)
    shifted = problem_of(replaced(shift=0.03)).profile(SHIFTED).law
    assert shifted.shift == pytest.approx(0.03, abs=6e-3)
    assert shifted.value == pytest.approx(0.5, abs=0.1)
    assert problem_of(replaced(value=0.0)).profile(WORTHLESS).least < 0.5


def test_floor_and_scale_are_never_negative() -> None:
    rising = Problem(REAL, SYNTHETIC, 0.02 + 1e-5 * REAL, 1e-6 * np.eye(len(GRID))).profile(CONSTANT).law
    steep = Problem(REAL, SYNTHETIC, 0.5 - 1e-4 * REAL, 1e-6 * np.eye(len(GRID))).profile(CONSTANT).law
    assert min(rising.floor, rising.scale, steep.floor, steep.scale) >= 0


def test_the_law_says_nothing_where_synthetic_images_undo_all_real_ones() -> None:
    law = replaced(value=-0.1)
    assert law.error(100, 2000) == np.inf
    assert np.isfinite(law.error(1000, 2000))


# --- what varies -------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4), st.integers(1, 30), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_covariance_is_positive_definite_whatever_the_answers(
    draw: int, arms: int, seeds: int, images: int, easy: float
) -> None:
    right = np.random.default_rng(draw).random((arms, seeds, images)) < easy
    given_answers = [dict(enumerate(arm)) for arm in right]
    covariance = variation(given_answers).covariance(errors(given_answers))
    assert np.isfinite(covariance).all()
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_the_covariance_is_that_of_repeated_studies() -> None:
    arms = GRID[3:9]
    measured = [answers(arms=arms, run=0.15, draw=draw) for draw in range(150)]
    means = np.array([1 - right.mean(axis=(1, 2)) for right in measured])
    estimated = [
        variation([dict(enumerate(arm)) for arm in right]).covariance(1 - right.mean(axis=(1, 2))) for right in measured
    ]
    true, mean = np.cov(means.T), np.mean(estimated, axis=0)
    assert np.allclose(np.diag(mean), np.diag(true), rtol=0.35)
    contrast = np.array([1, -1, 0, 0, 0, 0.0])
    assert contrast @ mean @ contrast == pytest.approx(contrast @ true @ contrast, rel=0.35)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.integers(2, 30), st.integers(2, 4))
@settings(max_examples=30)
def test_copies_of_every_test_image_change_nothing(draw: int, arms: int, seeds: int, images: int, times: int) -> None:
    right = (np.random.default_rng(draw).random((arms, seeds, images)) < 0.7).astype(float)
    once, repeated = ([dict(enumerate(arm)) for arm in table] for table in (right, np.repeat(right, times, axis=-1)))
    error = errors(once)
    clusters = np.repeat(np.arange(images), times)
    assert np.allclose(variation(repeated, clusters).covariance(error), variation(once).covariance(error))


def test_the_covariance_is_that_of_repeated_studies_with_near_duplicates() -> None:
    """Half of the images stand there once, the others in clusters of four."""
    arms, single = GRID[3:9], 300
    clusters = np.concatenate([np.arange(single), np.repeat(np.arange(single, 2 * single), 4)])
    measured = [answers(arms=arms, run=0.02, draw=draw, images=2 * single)[..., clusters] for draw in range(150)]
    means = np.array([1 - right.mean(axis=(1, 2)) for right in measured])
    tables = [[dict(enumerate(arm.astype(float))) for arm in right] for right in measured]
    estimated = [variation(table, clusters).covariance(mean) for table, mean in zip(tables, means, strict=True)]
    true, mean = np.cov(means.T), np.mean(estimated, axis=0)
    assert np.allclose(np.diag(mean), np.diag(true), rtol=0.35)
    without = np.mean([variation(table).covariance(mean) for table, mean in zip(tables, means, strict=True)], axis=0)
    assert (np.diag(without) < 0.7 * np.diag(mean)).all(), "images alone would be too sure"


# --- the exchange rate -------------------------------------------------------------------------------


def test_the_true_value_is_in_the_interval_and_said() -> None:
    exchange = fit(GRID, answers())
    assert exchange.value is not None
    assert exchange.value.low is not None
    assert exchange.value.high is not None
    assert 0 < exchange.value.low < 0.5 < exchange.value.high < 1.5
    assert exchange.better is None
    assert [value.n_synthetic for value in exchange.along] == [500, 2000]
    k = Value(100, 0.5, 0.25, 1.0)
    assert (k.k, k.k_low, k.k_high) == (2, 1, 4)


@given(st.permutations(range(len(GRID))))
@settings(max_examples=5, deadline=None)
def test_the_order_of_the_arms_changes_nothing(order: Sequence[int]) -> None:
    right = answers(images=300)
    swapped = fit([GRID[i] for i in order], right[list(order)], along=False)
    assert exchange_record(swapped) == exchange_record(fit(GRID, right, along=False))


def test_arrays_and_mappings_are_the_same_and_seeds_may_differ() -> None:
    right = answers(images=300)
    mappings = [dict(enumerate(arm)) for arm in right]
    assert fit(GRID, mappings, along=False) == fit(GRID, right, along=False)
    del mappings[0][2], mappings[3][0]
    assert fit(GRID, mappings, along=False).identifiable


def test_every_class_has_its_own_rate() -> None:
    labels = np.arange(1500) % 2
    right = answers()
    # The second class never learns from synthetic images.
    right[:, :, labels == 1] = answers(replaced(value=0.0))[:, :, labels == 1]
    exchange = fit(GRID, right, labels, ["cat", "dog", "no test image"])
    cat, dog = exchange.classes
    assert (cat.name, cat.n_test, dog.name) == ("cat", 750, "dog")
    assert cat.exchange.value is not None
    assert cat.exchange.value.helps
    assert dog.exchange.value is not None
    assert not dog.exchange.value.helps
    assert dog.exchange.value.k_high is None
    text = markdown(exchange_text.document(exchange))
    assert "| cat | 750 |" in text


def test_worthless_and_harmful_images_are_called_so() -> None:
    worthless = fit(GRID, answers(replaced(value=0.0)), along=False)
    assert worthless.better == "worthless"
    harmful = fit(GRID, answers(replaced(value=-0.018)), along=False)
    assert harmful.value is not None
    assert harmful.value.harms
    assert (harmful.value.k, harmful.value.k_low, harmful.value.k_high) == (None, None, None)


def test_another_form_is_named_where_it_fits_better() -> None:
    shifted = fit(GRID, answers(replaced(shift=0.05)))
    assert shifted.better == "shifted"
    arms = [Amounts(f"{n}+{s}", n, s) for n in (50, 100, 200, 400, 1000) for s in (0, 50, 200, 1000, 4000)]
    changing = fit(arms, answers(replaced(power=0.3, unit=1000.0, value=0.3, scale=0.12), arms, run=0.05))
    assert changing.better == "changing"


FLAT_LAW = replaced(scale=0.0, floor=0.1)
PERFECT = replaced(scale=0.0, floor=0.0)


@pytest.mark.parametrize(
    ("arms", "law", "reason"),
    [
        ([arm for arm in GRID if not arm.n_synthetic], LAW, rate.NO_SYNTHETIC),
        ([arm for arm in GRID if arm.n_real in (100, 400)], LAW, rate.FEW_REAL),
        (GRID[:4], LAW, rate.FEW_ARMS),
        (GRID, FLAT_LAW, rate.FLAT),
        (GRID, PERFECT, rate.ALL_RIGHT),
    ],
)
def test_a_rate_that_is_not_identifiable_has_a_reason(arms: Sequence[Amounts], law: Law, reason: str) -> None:
    exchange = fit(arms, answers(law, arms))
    assert not exchange.identifiable
    assert exchange.value is None
    assert exchange.along == ()
    assert reason in [item.code for item in exchange.reasons]
    json.dumps(exchange_record(exchange), allow_nan=False)
    markdown(exchange_text.document(exchange))


def test_open_ends_are_reasons() -> None:
    # Real images beyond 100 bring nothing, so that nothing bounds what a synthetic one may be worth.
    arms = [Amounts(f"{n}+{s}", n, s) for n in (100, 101, 102) for s in (0, 3000)]
    exchange = fit(arms, answers(replaced(value=30.0, exponent=2.0), arms), along=False)
    assert exchange.reasons == (Reason("no_upper_limit", {"largest": 10}),)
    assert exchange.limit is not None
    assert exchange.limit.helps
    assert exchange.value is None
    labels = np.zeros(1500, dtype=int)
    rows = markdown(
        exchange_text.document(fit(arms, answers(replaced(value=30.0, exponent=2.0), arms), labels, ["cat"]))
    )
    assert "not identifiable: at most " in rows


def test_arms_without_real_images_and_single_seeds_are_spoken_of() -> None:
    arms = [*GRID, Amounts("synthetic", 0, 1000)]
    right = np.concatenate([answers(seeds=1), answers(seeds=1)[:1]])
    exchange = fit(arms, right, along=False)
    assert [arm.name for arm in exchange.left_out] == ["synthetic"]
    assert exchange.one_seed
    assert exchange.identifiable
    remarks = exchange_text.remarks(exchange)
    assert any("synthetic." in remark for remark in remarks)
    unknown = exchange_text.remarks(dataclasses.replace(exchange, value=None))
    assert len(remarks) == len(unknown) + 2, "without an interval, none is too narrow"


def test_arms_off_the_law_widen_the_interval() -> None:
    right = answers(run=0.0)
    right[4, :, :300] = False  # one arm far worse than any law allows
    exchange = fit(GRID, right, along=False)
    assert exchange.inflation > 2


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="answers of at least one seed for each of 15 arms, got 14"):
        fit(GRID, answers()[:-1])
    with pytest.raises(ValueError, match="answers to the same test images"):
        fit(GRID[:2], [{0: np.ones(3, dtype=bool)}, {0: np.ones(4, dtype=bool)}])


def test_a_study_gives_its_rate_as_plain_data(tmp_path: Path) -> None:
    (group,) = compare(write_exchange_study(tmp_path / "study")).groups
    exchange = group_exchange(group)
    plain = json.loads(json.dumps(exchange_record(exchange), allow_nan=False))
    assert plain["identifiable"] is True
    assert plain["value"]["low"] < 0.5 < plain["value"]["high"]
    assert plain["value"]["k"] == pytest.approx(1 / plain["value"]["value"])
    assert [row["class"] for row in plain["classes"]] == ["cat", "dog"]
    assert len(plain["points"]) == len(GRID)
