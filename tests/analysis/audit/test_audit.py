"""The audit of published accuracies: its numbers against brute force and on made-up tables."""

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthaug.analysis.audit.published import EXAMPLE, Published, PublishedArm, Reading, read_published
from synthaug.analysis.audit.reanalysis import (
    DEPENDS,
    MIXES,
    MOST_RUNS,
    NOT_SIGNIFICANT,
    SIGNIFICANT,
    Audit,
    audit,
    grim,
    mix_override,
)
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.inference.power_analysis import PowerOfTest
from synthaug.analysis.text.audit_text import document
from synthaug.analysis.text.document import markdown
from tests.factories.golden import assert_golden

ROOT = Path(__file__).parents[3]


def table(
    accuracies: dict[str, str],
    n_test: int | dict[str, int] = 162,
    seeds: int | None = None,
    n_train: int | None = None,
    readings: dict[str, dict[str, float]] | None = None,
    discordant: tuple[float, ...] = (),
) -> Published:
    """A table whose baseline is its first arm."""
    arms = [
        PublishedArm(name, Decimal(text), n_test if isinstance(n_test, int) else n_test[name], seeds, n_train)
        for name, text in accuracies.items()
    ]
    read = tuple(Reading(name, "", shares) for name, shares in (readings or {}).items())
    return Published("made up", "", next(iter(accuracies)), tuple(arms), read, discordant)


def verdicts(result: Audit) -> list[str]:
    return [pair.verdict for pair in result.against_baseline]


@pytest.fixture(scope="module")
def paper() -> Audit:
    return audit(read_published(ROOT / EXAMPLE))


# --- figures -----------------------------------------------------------------------------------------

figures = st.integers(0, 3).flatmap(lambda d: st.integers(0, 10 ** (d + 2)).map(lambda k: Decimal(k).scaleb(-d)))


def as_printed(k: int, n: int, like: Decimal, rounding: str) -> Decimal:
    return (Decimal(100 * k) / n).quantize(like, rounding)


@given(figures, st.integers(1, 300))
@example(Decimal("12"), 8)
@example(Decimal("13"), 8)
@example(Decimal("66.66"), 3)
@example(Decimal("100"), 7)
@example(Decimal("0.00"), 7)
def test_grim_is_what_printing_every_count_gives(figure: Decimal, n: int) -> None:
    up, even, cut = (
        {k for k in range(n + 1) if as_printed(k, n, figure, rounding) == figure}
        for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN)
    )
    result = grim(figure, n)
    rule = "rounded" if up or even else "cut off" if cut else ""
    assert result.rule == rule
    assert set(result.counts) == (up | even or cut)
    nearest = min(abs(100 * Decimal(k) / n - figure) for k in (up | even or cut or range(n + 1)))
    assert abs(100 * Decimal(result.nearest) / n - figure) == pytest.approx(nearest, abs=Decimal("1e-20"))
    below, above = result.neighbours
    assert 100 * below <= figure * n <= 100 * above
    assert above - below <= 1


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 4))
def test_every_count_passes_grim(counted: tuple[int, int], decimals: int) -> None:
    k, n = counted
    for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN):
        assert k in grim(as_printed(k, n, Decimal(1).scaleb(-decimals), rounding), n).counts


def test_two_figures_of_the_paper_are_counts_and_three_are_not(paper: Audit) -> None:
    counts = {item.arm.name: list(item.grim.counts) for item in paper.arms}
    assert counts == {"real": [159], "5:5": [154], "6:4": [], "7:3": [], "8:2": []}
    assert [item.correct for item in paper.arms] == [159, 154, 158, 154, 153]
    assert paper.against_baseline[1].extremes == (159, 158)


def test_a_mean_of_runs_may_explain_a_figure(paper: Audit) -> None:
    assert [item.runs for item in paper.arms] == [None, None, None, None, 5]
    for item in paper.arms[2:]:
        sizes = range(2, MOST_RUNS + 1)
        explained = [m for m in sizes if grim(item.arm.accuracy, 162 * m).rule not in ("", "cut off")]
        assert explained[:1] == ([item.runs] if item.runs else [])
    stated = audit(table({"a": "94.20", "b": "98.15"}, seeds=5)).arms[0]
    assert (stated.grim.n, list(stated.grim.counts)) == (5 * 162, [763])
    assert stated.correct == 153


def test_means_of_up_to_ten_runs_are_tried() -> None:
    assert audit(table({"a": "5", "b": "50"}, n_test=2)).arms[0].runs == 10
    assert audit(table({"a": "4.5", "b": "50"}, n_test=2)).arms[0].runs is None, "1 of 22 takes 11 runs"


def test_another_test_set_may_explain_all_figures(paper: Audit) -> None:
    assert paper.common_size is not None
    for n in (paper.common_size, paper.common_size - 1):
        rules = {grim(item.arm.accuracy, n).rule for item in paper.arms}
        assert ("" in rules or "cut off" in rules) == (n != paper.common_size)
    assert audit(table({"a": "98.15", "b": "95.06"})).common_size is None


def test_the_interval_is_that_of_the_figure_not_of_a_count(paper: Audit) -> None:
    accuracy = paper.arms[2].accuracy
    assert accuracy.value == pytest.approx(0.9755)
    assert (round(accuracy.low, 4), round(accuracy.high, 4)) == (0.9385, 0.9905)


# --- pairs -------------------------------------------------------------------------------------------


def test_no_difference_of_the_paper_can_be_significant(paper: Audit) -> None:
    best = {pair.second.arm.name: pair.tests["best"] for pair in paper.against_baseline}
    assert best == {"5:5": 2 * 0.5**5, "6:4": 1, "7:3": 2 * 0.5**5, "8:2": 2 * 0.5**6}
    assert [pair.corrected["best"] for pair in paper.against_baseline] == [0.1875, 1, 0.1875, 0.125]
    assert verdicts(paper) == [NOT_SIGNIFICANT] * 4
    # 94.87 lies between two counts, and the other count would be significant alone.
    assert paper.against_baseline[2].extremes == (159, 153)
    assert paper.against_baseline[2].tests["extreme"] == 0.03125
    corrected = [pair.corrected["extreme"] for pair in paper.against_baseline]
    assert min(corrected) > ALPHA, "nor any other count, after correction"
    assert [str(pair.difference) for pair in paper.against_baseline] == ["-3.09", "-0.60", "-3.28", "-3.95"]


def test_all_pairs_exist_once(paper: Audit) -> None:
    names = [{pair.first.arm.name, pair.second.arm.name} for pair in (*paper.against_baseline, *paper.other_pairs)]
    assert len(names) == 10
    assert len({frozenset(pair) for pair in names}) == 10
    assert not any(pair.corrected for pair in paper.other_pairs)


@pytest.mark.parametrize(
    ("accuracy", "verdict", "gap", "best", "opposed"),
    [
        ("95.0", NOT_SIGNIFICANT, 0, 1, None),
        ("99.0", NOT_SIGNIFICANT, 4, 0.125, None),
        ("89.0", DEPENDS, 6, 0.03125, 0),
        ("88.0", DEPENDS, 7, 0.015625, 1),
        ("87.0", DEPENDS, 8, 0.0078125, 2),
        ("40.0", SIGNIFICANT, 55, 2 * 0.5**55, 5),
    ],
)
def test_verdicts_on_one_test_set(accuracy: str, verdict: str, gap: int, best: float, opposed: int | None) -> None:
    (pair,) = audit(table({"a": "95.0", "b": accuracy}, n_test=100)).against_baseline
    counts = abs(pair.first.correct - pair.second.correct)
    assert (pair.verdict, counts, pair.tests["best"], pair.opposed) == (verdict, gap, best, opposed)


def test_a_verdict_that_the_correction_takes_back() -> None:
    result = audit(table({"a": "95.0", "b": "89.0", "c": "94.0"}, n_test=100))
    assert verdicts(result) == [NOT_SIGNIFICANT, NOT_SIGNIFICANT]
    assert [pair.tests["best"] <= ALPHA for pair in result.against_baseline] == [True, False]


def test_against_a_baseline_without_errors_there_is_a_single_pairing() -> None:
    (pair,) = audit(table({"a": "100.0", "b": "94.0"}, n_test=100)).against_baseline
    assert pair.verdict == SIGNIFICANT
    assert pair.tests["best"] == pair.tests["worst"]
    assert pair.opposed == 0


def test_other_counts_that_may_be_meant_are_tried() -> None:
    # 94.20 lies between 152 and 153 of 162: 5 and 6 images from 158.
    (pair,) = audit(table({"a": "97.53", "b": "94.20"})).against_baseline
    assert pair.verdict == NOT_SIGNIFICANT
    assert pair.extremes == (158, 152)
    assert pair.corrected["extreme"] <= ALPHA


def test_where_every_figure_is_a_single_count_no_others_are_tried() -> None:
    result = audit(table({"a": "100.0", "b": "100.0", "c": "98.8"}, n_test=80))
    assert [pair.extremes for pair in result.against_baseline] == [(80, 80), (80, 79)]
    assert all(pair.tests["extreme"] == pair.tests["best"] for pair in result.against_baseline)


def test_several_runs_or_several_test_sets_have_no_best_case() -> None:
    several = audit(table({"a": "98.0", "b": "40.0", "c": "97.0"}, n_test=100, seeds=3))
    assert [set(pair.tests) for pair in several.against_baseline] == [{"fisher", "z"}, {"fisher", "z"}]
    assert verdicts(several) == [SIGNIFICANT, NOT_SIGNIFICANT]
    assert several.against_baseline[0].unpaired_because == "a mean of several runs"
    (pair,) = audit(table({"a": "98.0", "b": "91.0"}, n_test=100, seeds=3)).against_baseline
    assert pair.verdict == NOT_SIGNIFICANT, "by Fisher's test, not by the z test"
    assert pair.corrected["z"] < ALPHA < pair.corrected["fisher"]
    apart = audit(table({"a": "98.0", "b": "91.0", "c": "98.0"}, n_test={"a": 100, "b": 110, "c": 100}))
    assert verdicts(apart) == [NOT_SIGNIFICANT, NOT_SIGNIFICANT]
    assert apart.against_baseline[0].tests["fisher"] < ALPHA < apart.against_baseline[0].corrected["fisher"]
    assert [pair.unpaired_because for pair in apart.against_baseline] == ["not the same test images", ""]


def test_a_comparison_without_a_best_case_still_counts_for_holm() -> None:
    result = audit(table({"a": "95.0", "b": "89.0", "c": "94.0"}, n_test={"a": 100, "b": 100, "c": 200}))
    first, second = result.against_baseline
    assert (first.tests["best"], first.corrected["best"]) == (0.03125, 0.0625)
    assert "best" not in second.corrected


# --- power -------------------------------------------------------------------------------------------


def test_what_the_paper_could_show(paper: Audit) -> None:
    results = {(item.test, accuracy, item.discordant): item for accuracy, item in paper.detectable}

    def points(item: PowerOfTest) -> float:
        assert item.smallest is not None
        return round(100 * item.smallest, 1)

    z, published = results["z", 0.98, None], results["z", 0.9815, None]
    assert [points(z), points(published), z.images] == [7.1, 7.0, 3825]
    three, five = results["McNemar", 0.9815, 0.03], results["McNemar", 0.9815, 0.05]
    assert three.smallest is None, "not even if all disagreements were in one direction"
    assert [points(five), three.images, five.images] == [4.9, 2352, 3922]
    assert points(results["Fisher", 0.98, None]) == 7.5


def test_only_tests_of_two_test_sets_without_an_expected_disagreement() -> None:
    result = audit(table({"a": "98.15", "b": "95.06"}))
    assert {(item.test, item.paired) for _, item in result.detectable} == {("z", False), ("Fisher", False)}


@pytest.mark.parametrize("accuracy", ["0", "100", "0.4", "99.6"])
def test_a_baseline_at_the_edge_looks_to_the_side_with_room(accuracy: str) -> None:
    results = audit(table({"a": accuracy, "b": "50"}, n_test=250)).detectable
    assert all(item.smallest is not None and 0 < item.smallest < 0.1 for _, item in results)
    assert all(item.images is not None for _, item in results)


# --- readings and controls ---------------------------------------------------------------------------


def test_the_readings_of_the_paper_contradict_each_other(paper: Audit) -> None:
    caption, prose = paper.readings
    assert caption.mixes == ("mix=real", "mix=55", "mix=64", "mix=73", "mix=82")
    assert prose.commands == ["-m mix=real,55,46,37,28"]
    assert caption.trend is not None
    assert prose.trend is not None
    assert [caption.trend.tau, prose.trend.tau] == pytest.approx([-0.8, 0])
    assert caption.mixed_trend is not None
    assert prose.mixed_trend is not None
    assert caption.mixed_trend.tau == pytest.approx(-prose.mixed_trend.tau) == pytest.approx(-2 / 3)
    assert paper.contradictory_arms == ["6:4", "7:3", "8:2"]


def test_readings_that_agree_contradict_nothing() -> None:
    shares = {"a": 0.0, "b": 35.0}
    result = audit(table({"a": "98.15", "b": "95.06"}, readings={"x": shares, "y": shares}))
    assert result.contradictory_arms == []
    assert result.readings[0].commands == ["mix=real", "mix.real=0.65 mix.synthetic=0.35"]


@pytest.mark.parametrize(("shares", "name"), MIXES.items())
def test_named_mixes_are_those_of_the_program(shares: tuple[float, float], name: str) -> None:
    mix = yaml.safe_load((ROOT / "conf/mix" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert (mix["real"], mix["synthetic"]) == shares
    assert mix_override(100 * shares[1] / sum(shares), sum(shares)) == f"mix={name}"


@pytest.mark.parametrize(("share", "override"), [(50.09, "mix=55"), (50.11, "mix.real=0.4989 mix.synthetic=0.5011")])
def test_a_share_close_to_that_of_a_named_mix_is_that_mix(share: float, override: str) -> None:
    assert mix_override(share) == override


def test_arms_of_other_sizes_are_other_mixes() -> None:
    sizes = {"few": 500, "real": 1000, "half": 1000, "more": 1500, "270": 270}
    arms = tuple(PublishedArm(name, Decimal("95.06"), 162, None, size) for name, size in sizes.items())
    shares = {"few": 0.0, "real": 0.0, "half": 50.0, "more": 33.3, "270": 0.0}
    for baseline in ("real", "few"):
        (reading,) = audit(Published("made up", "", baseline, arms, (Reading("only", "", shares),), ())).readings
        assert reading.commands == ["-m mix=real50,real,55,add50", "mix.real=0.27 mix.synthetic=0"]


def test_no_arm_of_the_paper_has_a_control(paper: Audit) -> None:
    caption, prose = paper.readings
    assert caption.real == (1348, 674, 539, 404, 270)
    assert prose.real == (1348, 674, 809, 944, 1078)
    assert caption.uncontrolled == prose.uncontrolled == ("5:5", "6:4", "7:3", "8:2")


@pytest.mark.parametrize(("size", "uncontrolled"), [(1000, ()), (990, ()), (989, ("82",)), (1010, ()), (1011, ("82",))])
def test_a_control_has_as_many_real_images_within_a_percent(size: int, uncontrolled: tuple[str, ...]) -> None:
    published = table({"real": "98.15", "82": "95.06"}, n_train=5000)
    shares = {"real": 0.0, "82": 80.0, "few": 0.0}
    few = PublishedArm("few", Decimal("95.06"), 162, None, size)
    result = audit(replace(published, arms=(*published.arms, few), readings=(Reading("only", "", shares),)))
    assert result.readings[0].real == (5000, 1000, size)
    assert result.readings[0].uncontrolled == uncontrolled


def test_without_counts_there_is_nothing_to_control() -> None:
    result = audit(table({"a": "98.15", "b": "95.06"}, readings={"x": {"a": 0.0, "b": 50.0}}))
    assert result.readings[0].real == (None, None)
    assert result.readings[0].uncontrolled == ()


# --- any table ---------------------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> Published:
    names = [f"arm {number}" for number in range(draw(st.sampled_from([2, 3, 6])))]
    sizes = st.sampled_from([1, 2, 30, 162])
    size = draw(sizes)
    arms = tuple(
        PublishedArm(
            name,
            draw(st.one_of(figures, st.sampled_from([Decimal(0), Decimal(100), Decimal("9E+1")]))),
            draw(st.one_of(st.just(size), sizes)),
            draw(st.sampled_from([None, 1, 3])),
            draw(st.sampled_from([None, 1, 1348])),
        )
        for name in names
    )
    shares = st.sampled_from([0.0, 12.5, 50.0, 80.0, 100.0])
    readings = tuple(
        Reading(name, "", {arm: draw(shares) for arm in names}) for name in draw(st.sampled_from(["", "x", "xy"]))
    )
    discordant = draw(st.sampled_from([(), (0.5,), (3.0, 100.0)]))
    return Published("made up", "somewhere", draw(st.sampled_from(names)), arms, readings, discordant)


@settings(max_examples=15, deadline=None)
@given(tables())
def test_any_table_is_audited_in_numbers(published: Published) -> None:
    result = audit(published)
    words = markdown(document(result)).split()
    assert not {"nan", "inf", "None", "None)"} & set(words)


def test_the_wording_of_what_the_table_of_the_paper_does_not_have() -> None:
    sizes = {"a": 100, "b": 100, "c": 100, "d": 120, "e": 100, "f": 100, "tie": 8}
    accuracies = {"a": "95.0", "b": "85.0", "c": "40.0", "d": "94.9", "e": "66.66", "f": "94.0", "tie": "12"}
    readings = {"x": dict.fromkeys([*accuracies, "several"], 0.0) | {"b": 33.0, "c": 10.0}}
    published = table(accuracies, sizes, seeds=1, n_train=100, readings=readings, discordant=(100.0,))
    several = replace(published.arms[-1], name="several", accuracy=Decimal("12.5"), seeds=3)
    assert_golden("audit_other.md", markdown(document(audit(replace(published, arms=(*published.arms, several))))))


def test_many_arms_fit() -> None:
    accuracies = {f"arm {number}": f"{98 - number}.0" for number in range(20)}
    result = audit(table(accuracies, n_test=1000, readings={"x": dict.fromkeys(accuracies, 50.0)}, n_train=100))
    assert len(result.against_baseline) + len(result.other_pairs) == 190
    assert result.readings[0].trend is None
