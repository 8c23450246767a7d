"""The equivalent number of real images: a known curve comes back, and what the arms cannot tell is withheld."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import equivalent as simulation
from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group, Reason
from synthaug.analysis.exchange import equivalent, rate
from synthaug.analysis.exchange.equivalent import Equivalent, EquivalentSizes, equivalent_sizes, group_equivalents
from synthaug.analysis.exchange.law import Law
from synthaug.analysis.exchange.rate import Amounts
from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.output.records import equivalents_record
from tests.factories.exchange_studies import GRID, LAW, answers, write_exchange_study

REAL = tuple(arm for arm in GRID if not arm.n_synthetic)


def tables(law: Law = LAW, arms: Sequence[Amounts] = GRID, seeds: int = 3, run: float = 0.1) -> list[Values]:
    return [dict(enumerate(arm.astype(float))) for arm in answers(law, arms, seeds, run=run)]


def by_name(sizes: EquivalentSizes) -> dict[str, Equivalent]:
    return {item.arm.name: item for item in sizes.arms}


def codes(reasons: Sequence[Reason]) -> list[str]:
    return [reason.code for reason in reasons]


# --- numbers -----------------------------------------------------------------------------------------


def test_an_arm_is_worth_the_real_images_with_its_error() -> None:
    sizes = equivalent_sizes(GRID, tables(run=0.02))
    assert sizes.reasons == ()
    assert [point.arm for point in sizes.real] == list(REAL)
    arm = by_name(sizes)["100+500"]  # 100 + 500 / 2
    assert arm.bound == "within"
    assert arm.number == pytest.approx(350, rel=0.3)
    assert arm.low is not None
    assert arm.high is not None
    assert arm.low < 350 < arm.high
    worths = [arm.worth(end) for end in (arm.low, arm.number, arm.high)]
    assert worths == pytest.approx([(end - 100) / 500 for end in (arm.low, arm.number or 0, arm.high)])


def test_what_lies_beyond_the_amounts_is_open() -> None:
    best, worst = Amounts("best", 400, 20_000), Amounts("worst", 100, 100)
    sizes = equivalent_sizes([*REAL, best], tables(arms=[*REAL, best]))
    (item,) = sizes.arms
    assert (item.bound, item.high) == ("at least", None)
    assert item.worth(item.high) is None
    harmful = replace(LAW, value=-0.7)
    (item,) = equivalent_sizes([*REAL, worst], tables(harmful, [*REAL, worst])).arms
    assert (item.bound, item.low, item.number) == ("at most", None, None)
    assert item.high == 50


def test_a_worth_that_falls_with_the_number_needs_no_law() -> None:
    falling = replace(LAW, value=0.05, unit=2000.0, power=0.3)
    items = by_name(equivalent_sizes(GRID, tables(falling, seeds=5, run=0.02)))
    for name in ("100+500", "100+2000", "200+500"):
        item = items[name]
        assert (item.low or 0) < falling.effective(item.arm.n_real, item.arm.n_synthetic) < (item.high or np.inf)


@given(st.permutations(range(len(GRID))))
@settings(max_examples=5, deadline=None)
def test_the_order_of_the_arms_changes_nothing(order: Sequence[int]) -> None:
    right = tables()
    shuffled = equivalent_sizes([GRID[i] for i in order], [right[i] for i in order])
    assert json.dumps(equivalents_record(shuffled)) == json.dumps(equivalents_record(equivalent_sizes(GRID, right)))


@given(st.integers(0, 10_000), st.integers(3, 4), st.integers(1, 30), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_whatever_the_answers_ends_are_ordered_and_within_the_amounts(
    draw: int, seeds: int, images: int, easy: float
) -> None:
    right = np.random.default_rng(draw).random((len(GRID), seeds, images)) < easy
    sizes = equivalent_sizes(GRID, [dict(enumerate(arm.astype(float))) for arm in right])
    for item in sizes.arms:
        assert (item.bound is None) == bool(item.reasons)
        ends = [end for end in (item.low, item.number, item.high) if end is not None]
        assert ends == sorted(ends)
        assert all(50 <= end <= 1000 for end in ends)
    json.dumps(equivalents_record(sizes), allow_nan=False)


# --- what is withheld --------------------------------------------------------------------------------

MIXED = Amounts("mixed", 200, 500)


@pytest.mark.parametrize(
    ("arms", "seeds", "law", "code"),
    [
        (REAL, 3, LAW, rate.NO_SYNTHETIC),
        ([*REAL[1:4], MIXED], 3, LAW, rate.FEW_REAL),
        ([*REAL[1:4], MIXED], 1, LAW, f"{rate.FEW_REAL} {equivalent.FEW_SEEDS}"),
        (GRID, 2, LAW, equivalent.FEW_SEEDS),
        (GRID, 3, replace(LAW, scale=0.0, floor=0.1), rate.FLAT),
        (GRID, 3, replace(LAW, scale=0.0, floor=0.0), rate.ALL_RIGHT),
    ],
)
def test_a_design_that_cannot_tell_has_a_reason(arms: Sequence[Amounts], seeds: int, law: Law, code: str) -> None:
    sizes = equivalent_sizes(arms, tables(law, arms, seeds, run=0.0))
    assert codes(sizes.reasons) == code.split()
    assert sizes.estimated == ()
    json.dumps(equivalents_record(sizes), allow_nan=False)


def test_a_step_that_is_too_wide_names_the_missing_amount() -> None:
    def items(*amounts: int) -> dict[str, Equivalent]:
        arms = [*(Amounts(f"real{n}", n, 0) for n in amounts), Amounts("low", 20, 40), Amounts("high", 200, 400)]
        return by_name(equivalent_sizes(arms, tables(arms=arms, run=0.02)))

    wide_above, wide_below = items(20, 40, 80, 200, 1000), items(20, 100, 200, 400, 1000)
    assert wide_above["high"].reasons == (Reason("wide_step", {"below": 200, "above": 1000, "missing": 400}),)
    assert wide_below["low"].reasons == (Reason("wide_step", {"below": 20, "above": 100, "missing": 40}),)
    assert wide_above["low"].bound == "within", "no step is too wide where it stands"
    assert wide_below["high"].bound, "nor here"


def test_arms_with_too_few_seeds_are_left_aside_one_by_one() -> None:
    arms = [*REAL, Amounts("few", 100, 500), Amounts("enough", 100, 500)]
    right = tables(arms=arms)
    del right[0][0], right[-2][0]
    sizes = equivalent_sizes(arms, right)
    assert [point.arm.n_real for point in sizes.real] == [100, 200, 400, 1000]
    items = by_name(sizes)
    assert items["few"].reasons == (Reason("few_seeds", {"number": 2, "needed": 3}),)
    assert items["enough"].bound


# --- groups ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    (group,) = compare(write_exchange_study(tmp_path_factory.mktemp("outputs") / "study", seeds=3)).groups
    return group


@pytest.mark.parametrize(
    ("change", "code"), [({"steps": 9_999}, equivalent.UNEQUAL_STEPS), ({"augment": "hue 0.1"}, None)]
)
def test_only_arms_that_differ_in_amounts_alone_are_read_off(
    group: Group, change: dict[str, object], code: str | None
) -> None:
    (whole,) = group_equivalents(group)
    assert len(whole.arms) == 10
    (sizes,) = group_equivalents(changed(group, ["100+500"], change))
    assert codes(sizes.reasons) == ([code] if code else [])
    assert len(sizes.arms) == (0 if code else 9)


def changed(group: Group, names: Sequence[str], change: Mapping[str, object]) -> Group:
    arms = tuple(replace(arm, **change) if arm.name in names else arm for arm in group.arms)  # type: ignore[arg-type]
    return replace(group, arms=arms)


def test_each_way_of_training_has_a_curve_of_its_own(group: Group) -> None:
    probe = {"settings": {"model.name": "probe", "mix.real": 0.1, "mix.name": "any"}}
    alike, other = group_equivalents(changed(group, ["100+0", "100+500", "100+2000", "1000+0"], probe))
    assert codes(alike.reasons) == codes(other.reasons) == [rate.FEW_REAL], "neither has four amounts any more"
    (only,) = group_equivalents(changed(group, ["1000+0"], probe))
    assert [point.arm.n_real for point in only.real] == [50, 100, 200, 400], (
        "no arm with synthetic images is trained so"
    )
    settings = next(arm.settings for arm in group.arms if arm.name == "100+500")
    by_another_generator = {"settings": {**settings, "generator.name": "sdxl", "prompts.name": "clip"}}
    (both,) = group_equivalents(changed(group, ["100+500"], by_another_generator))
    assert by_name(both)["100+500"].bound, "how its images are made is what is measured"


# --- calibration -------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", [simulation.TRUTHS[1], simulation.TRUTHS[6]], ids=lambda truth: truth.name)
def test_intervals_hold_the_truth(truth: simulation.Truth) -> None:
    row = simulation.simulate(replace(truth, studies=12), np.random.default_rng(1))
    assert row["covered"] >= 0.93, "120 intervals"
    assert row["shares"].get("within", 0) > 0.1


@pytest.mark.parametrize(
    ("low", "high", "true", "covered"),
    [
        (100.0, 200.0, 150.0, True),
        (100.0, 200.0, 90.0, False),
        (None, 200.0, 10.0, True),
        (60.0, 200.0, 10.0, False),
        (60.0, None, 5000.0, True),
        (60.0, 900.0, np.inf, False),
    ],
)  # fmt: skip
def test_an_open_end_covers_what_lies_beyond(low: float | None, high: float | None, true: float, covered: bool) -> None:
    assert simulation.covers(Equivalent(MIXED, 0.1, 0.01, None, low, high), true, 50, 1000) == covered


def test_the_table_of_the_simulation_is_that_of_the_file() -> None:
    readme = simulation.RESULTS.with_name("README.md").read_text(encoding="utf-8")
    assert simulation.table(json.loads(simulation.RESULTS.read_text())["rows"]) in readme
