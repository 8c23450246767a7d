"""What a study can show: the published facts, plans, measured studies, and where there is no number."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.analysis.inference import power_analysis
from synthaug.analysis.inference.power_analysis import (
    BONETT_PRICE,
    PAIRED,
    Assumptions,
    PowerOfTest,
    arm_power,
    arm_powers,
    expect,
    plan,
)
from synthaug.analysis.inference.sample_size import (
    fisher_corrected_power,
    fisher_images,
    fisher_power,
    unpaired_images,
)
from synthaug.analysis.inference.variance_components import VarianceComponents, interval_power
from synthaug.analysis.text import power_text
from synthaug.analysis.text.document import markdown


def numbers(result: object) -> Iterator[float]:
    """Every number of a result."""
    if isinstance(result, (int, float)):
        yield result
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from numbers(item)
    elif is_dataclass(result):
        for field in fields(result):
            yield from numbers(getattr(result, field.name))


def of_test(result: power_analysis.Power, name: str, share: float | None = None) -> PowerOfTest:
    return next(item for item in result.tests if (item.test, item.discordant) == (name, share))


def points(difference: float | None) -> float:
    assert difference is not None
    return round(100 * difference, 1)


# --- before ------------------------------------------------------------------------------------------


def test_the_published_facts() -> None:
    result = plan(Assumptions(0.98, 162, discordant=(0.03, 0.05)))
    assert points(of_test(result, "z").smallest) == 7.1
    assert points(of_test(result, "Fisher").smallest) == 7.5
    assert points(of_test(result, "McNemar", 0.05).smallest) == 4.9
    assert of_test(result, "z").images == 3825
    assert [of_test(result, "McNemar", share).images for share in (0.03, 0.05)] == [2352, 3922]
    assert of_test(result, "McNemar", 0.03).smallest is None, "not even 3 points, with all of them going one way"


def test_fishers_test_needs_more_and_so_do_exact_ones() -> None:
    result = plan(Assumptions(0.98, 162, discordant=(0.05,)))
    needed = {item.test: item.images for item in result.tests}
    assert needed["z"] < needed["Fisher"]  # type: ignore[operator]
    assert needed["McNemar"] < needed["McNemar, exact"]  # type: ignore[operator]


def test_what_is_needed_is_just_enough() -> None:
    assumed = Assumptions(0.95, 1500, 3, 0.01, (0.05,))
    result = plan(assumed).over_seeds[0]
    variances = assumed.components_at(0.05, 0.01)
    assert result.images is not None
    assert result.seeds is not None
    of_images = [interval_power(0.01, 3, result.images - less, variances) for less in (0, 1)]
    of_seeds = [interval_power(0.01, result.seeds - less, 1500, variances) for less in (0, 1)]
    assert of_images[0] >= 0.8 > of_images[1]
    assert of_seeds[0] >= 0.8 > of_seeds[1]


def test_no_number_of_images_makes_up_for_seeds_that_vary() -> None:
    result = plan(Assumptions(0.95, 1500, 3, 0.01, seed_deviation=0.006))
    assert result.over_seeds[0].images is None
    assert result.over_seeds[0].least_seeds == 6


def test_no_number_of_seeds_makes_up_for_few_images() -> None:
    result = plan(Assumptions(0.95, 162, 3, 0.01, image_share=0.5))
    assert result.over_seeds[0].seeds is None
    assert result.over_seeds[0].least_images is not None
    assert result.over_seeds[0].least_images > 162


@settings(max_examples=5, deadline=None)
@given(st.floats(0.5, 0.999), st.integers(1, 400), st.integers(1, 6), st.floats(0.005, 0.2))
def test_a_plan_has_numbers_or_none(accuracy: float, n: int, seeds: int, difference: float) -> None:
    result = plan(Assumptions(accuracy, n, seeds, difference))
    assert all(math.isfinite(value) for value in numbers(result))
    assert all(0 < item.smallest <= 1 for item in result.tests if item.smallest is not None)
    assert "nan" not in markdown(power_text.plan_document(result))


@given(st.floats(0.5, 1), st.floats(0, 0.05), st.none() | st.floats(0.05, 0.2), st.floats(0, 1), st.floats(0, 0.01))
def test_components_add_up_to_the_discordant_images(
    accuracy: float, difference: float, share: float | None, image_share: float, seed_deviation: float
) -> None:
    assumed = Assumptions(accuracy, 500, seed_deviation=seed_deviation, image_share=image_share)
    discordant = 1 - accuracy + difference if share is None else share
    assert assumed.discordant_at(share, difference) == pytest.approx(discordant)
    components = assumed.components_at(share, difference)
    assert components.seed == pytest.approx(seed_deviation**2)
    if discordant >= difference**2 + seed_deviation**2:
        assert components.discordant(difference) == pytest.approx(discordant)
    if components.image + components.rest > 1e-9:
        assert components.image_share == pytest.approx(image_share)


@pytest.mark.parametrize(("accuracy", "difference", "other"), [(0.9, 0.05, 0.85), (0.3, 0.4, 0.7), (0.05, 0.05, 0.0)])
def test_the_other_classifier_is_worse_where_there_is_room_and_else_better(
    accuracy: float, difference: float, other: float
) -> None:
    z, fisher = power_analysis.unpaired(accuracy, 100, difference)
    assert z.images == round(unpaired_images(accuracy, other))
    assert fisher.images == round(fisher_images(accuracy, other))


def test_no_number_of_images_finds_a_difference_that_cannot_be() -> None:
    assert [item.images for item in power_analysis.unpaired(0.6, 100, 0.7)] == [None, None]
    result = plan(Assumptions(0.95, 500, 3, 0.06, (0.05,)))
    assert {item.images for item in result.tests if item.paired} == {None}
    over_seeds = result.over_seeds[0]
    assert over_seeds.smallest is not None
    assert (over_seeds.images, over_seeds.seeds, over_seeds.least_images, over_seeds.least_seeds) == (None,) * 4
    at_the_edge = plan(Assumptions(0.95, 500, 3, 0.05, (0.05,)))
    assert all(item.images for item in at_the_edge.tests if item.paired)
    assert at_the_edge.over_seeds[0].images is not None


def test_fishers_test_is_added_up_as_far_as_that_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_analysis, "MOST_EXACT", 60)
    for n, power in ((60, fisher_power), (61, fisher_corrected_power)):
        smallest = power_analysis.unpaired(0.9, n, 0.05)[1].smallest
        assert smallest is not None
        assert power(0.9, 0.9 - smallest, n) >= 0.8 > power(0.9, 0.9 - smallest + 1e-6, n)


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("share", [None, 0.12])
def test_the_smallest_difference_of_a_paired_test_is_just_found(name: str, share: float | None) -> None:
    assumed = Assumptions(0.9, 120, 1, 0.06)
    result = power_analysis.paired(assumed, share, name)
    power = PAIRED[name]
    assert result.smallest is not None
    assert result.images is not None
    reached, missed = (
        power(assumed.discordant_at(share, size), size, 120) for size in (result.smallest, result.smallest - 1e-6)
    )
    assert reached >= 0.8 > missed
    of_images = [power(assumed.discordant_at(share, 0.06), 0.06, result.images - less) for less in (-1, 2)]
    assert of_images[0] >= 0.8 > of_images[1]


def test_the_least_images_and_seeds_are_those_of_no_end_of_the_other() -> None:
    assumed = Assumptions(0.95, 1500, 3, 0.01, seed_deviation=0.006)
    result = plan(assumed).over_seeds[0]
    variances = assumed.components_at(None, 0.01)
    assert result.least_images is not None
    assert result.least_seeds is not None
    of_images = [interval_power(0.01, 1000, result.least_images - less, variances) for less in (0, 1)]
    of_seeds = [interval_power(0.01, result.least_seeds - less, math.inf, variances) for less in (0, 1)]
    assert of_images[0] >= 0.8 > of_images[1]
    assert of_seeds[0] >= 0.8 > of_seeds[1]


def test_up_to_a_thousand_seeds_are_looked_for_from_two_on() -> None:
    variances = VarianceComponents(0.01**2, 0.0, 0.03, 0.3)
    assert power_analysis.seeds_needed(0.2, 100_000, variances) == 2
    hundreds = power_analysis.seeds_needed(0.00115, math.inf, variances)
    assert hundreds is not None
    assert 500 < hundreds < 1000
    assert power_analysis.seeds_needed(0.0008, math.inf, variances) is None


def test_the_table_falls_with_images_and_from_two_seeds_on() -> None:
    grid = plan(Assumptions(0.95, 300, 4)).grids[0]
    assert grid.seeds == (1, 2, 3, 4, 5, 10)
    assert grid.images == (300, 600, 1200, 3000, 9000)
    table = np.array(grid.smallest, dtype=float)
    assert np.all(np.diff(table, axis=0) < 0)
    assert np.all(np.diff(table[:, 1:], axis=1) < 0)


def test_more_disagreement_than_there_can_be_is_said() -> None:
    impossible = plan(Assumptions(0.995, 500, discordant=(0.05,)))
    assert "5 % discordant is impossible" in markdown(power_text.plan_document(impossible))
    possible = plan(Assumptions(0.98, 162, discordant=(0.05,)))
    assert "is impossible" not in markdown(power_text.plan_document(possible))


def test_what_is_announced_of_a_study() -> None:
    enough = expect(20_000, 5, 0.01)
    assert enough.shows
    assert len(power_text.announcement(enough).splitlines()) == 1
    too_few = expect(162, 3, 0.005)
    assert not too_few.shows
    command = "python -m synthaug.report power --accuracy 0.95 --n 162 --seeds 3 --difference 0.5"
    assert power_text.announcement(too_few).splitlines()[2] == command
    longest = power_text.announcement(expect(100_000, 10, 0.0001))
    assert max(map(len, longest.splitlines())) <= 110, "a dataset's name and a console of 120 columns"


# --- after -------------------------------------------------------------------------------------------


def answers(accuracy: float, seeds: int, n: int, number: int) -> dict[int, np.ndarray]:
    random = np.random.default_rng(number)
    return {seed: (random.random(n) < accuracy).astype(np.float64) for seed in range(seeds)}


def test_a_study_is_judged_arm_by_arm() -> None:
    real = answers(0.95, 3, 2000, 0)
    arms = {"64": answers(0.94, 3, 2000, 1), "82": answers(0.9, 1, 2000, 2), "73": {7: np.ones(2000)}}
    result = arm_powers(arms, real, 0.01)
    assert list(result) == ["64", "82"], "73 shares no seed"
    assert (result["64"].seeds, result["82"].seeds) == (3, 1)
    assert result["82"].variances is None
    assert result["82"].more_seeds is None
    assert not result["64"].shows
    ways = f"{result['64'].images:,} test images or {result['64'].more_seeds} seeds."
    assert power_text.sentence(result["64"]).endswith(ways)
    assert arm_powers(arms, real, 0.2)["64"].shows


def test_the_smallest_difference_of_an_arm_is_just_shown() -> None:
    real, arm = answers(0.95, 3, 2000, 0), answers(0.94, 3, 2000, 1)
    result = arm_power(np.stack([arm[seed] - real[seed] for seed in range(3)]), 0.01)
    assert result.smallest is not None
    assert result.variances is not None
    assert result.discordant == pytest.approx(np.mean([np.mean(arm[seed] != real[seed]) for seed in range(3)]))
    assert interval_power(result.smallest, 3, 2000, result.variances.at(result.smallest)) >= 0.8
    below = result.smallest - 1e-6
    assert interval_power(below, 3, 2000, result.variances.at(below)) < 0.8


def test_one_seed_is_judged_by_the_images_that_differ() -> None:
    differences = np.repeat([-1.0, 1.0, 0.0], [60, 20, 920])[None]
    result = arm_power(differences, 0.01)
    assert (result.n, result.seeds, result.discordant) == (1000, 1, 0.08)
    assert result.smallest is not None
    assert result.images is not None
    variances = VarianceComponents(0.0, 0.08 - 0.04**2, 0.0, 0.3)
    for more, size in ((True, result.smallest), (False, result.smallest - 1e-6)):
        assert (interval_power(size, 1, 1000, variances.at(size)) >= 0.8) is more
    for more, n in ((True, result.images), (False, result.images - 1)):
        assert (interval_power(0.01, 1, n, variances.at(0.01)) >= 0.8) is more


def test_a_margin_as_large_as_the_smallest_difference_is_shown() -> None:
    arm = arm_power(np.repeat([-1.0, 1.0, 0.0], [60, 20, 920])[None], 0.01)
    assert arm.smallest is not None
    assert [replace(arm, margin_fraction=arm.smallest - less).shows for less in (0, 1e-9)] == [True, False]
    expected = expect(500, 3, 0.01)
    assert expected.smallest is not None
    sizes = [replace(expected.assumed, difference=expected.smallest - less) for less in (0, 1e-9)]
    assert [replace(expected, assumed=assumed).shows for assumed in sizes] == [True, False]


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2, 50, 1500])
@pytest.mark.parametrize("loss", [0.0, 1.0])
def test_arms_that_all_agree_have_a_number_or_none(seeds: int, n: int, loss: float) -> None:
    result = arm_power(np.full((seeds, n), -loss), 0.01)
    assert all(math.isfinite(value) for value in numbers(result))
    assert "nan" not in power_text.sentence(result)
    if n <= 2:
        assert result.smallest is None
    elif n == 1500:
        assert result.smallest is not None
        assert result.smallest < 0.1 or seeds == 2


def test_a_baseline_that_is_always_right() -> None:
    perfect = {seed: np.ones(400) for seed in range(3)}
    result = power_analysis.group_power(arm_powers({"64": perfect}, perfect, 0.01), 1.0, 0.01)
    assert result.again is not None
    assert all(math.isfinite(value) for value in numbers(result.again))
    z = of_test(result.again, "z").smallest
    assert z is not None
    assert 0 < z < 0.03
    text = markdown(power_text.study_document({"digits": result}, "made up"))
    assert "nan" not in text
    assert "--accuracy 1 " not in text, "no accuracy of 1 can be planned with"


def test_another_study_is_planned_with_the_medians_over_arms() -> None:
    real = answers(0.95, 3, 2000, 0)
    arms = {"a": answers(0.94, 3, 2000, 1), "b": answers(0.9, 2, 2000, 2), "c": answers(0.5, 1, 2000, 3)}
    result = power_analysis.group_power(arm_powers(arms, real, 0.01), 0.95, 0.01)
    assert result.again is not None
    assumed = result.again.assumed
    assert (assumed.n, assumed.seeds) == (2000, 3)
    assert assumed.discordant[0] == pytest.approx(np.median([arm.discordant for arm in result.arms.values()]))
    variances = [arm.variances for arm in result.arms.values()]
    assert assumed.seed_deviation**2 == pytest.approx(np.median([item.seed for item in variances if item]))
    image, rest, repeated = (
        np.median([getattr(item, name) for item in variances if item]) for name in ("image", "rest", "repeated")
    )
    assert (assumed.image_share, assumed.repeated) == pytest.approx((image / (image + rest), repeated))
    assert BONETT_PRICE in {item.test for item in result.again.tests}
