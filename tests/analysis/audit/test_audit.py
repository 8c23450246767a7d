"""The audit of published accuracies: its numbers against brute force, its words on made-up tables, its command."""

import io
import re
import subprocess
import sys
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from synthaug.analysis.audit.published import EXAMPLE, Published, PublishedArm, Reading, read_published
from synthaug.analysis.audit.reanalysis import MIXES, MOST_RUNS, Audit, attainable, audit, mix_of
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text.audit_text import (
    ALWAYS,
    CORRECTED,
    NEVER,
    OPEN,
    UNPAIRED_CORRECTED,
    UNPAIRED_NO,
    UNPAIRED_YES,
    document,
    findings,
    verdict,
)
from synthaug.analysis.text.document import Block, Commands, Heading, Points, Rows, Sentences, markdown, print_document
from synthaug.report.__main__ import main
from tests.factories.studies import MadeUp, make_study

ROOT = Path(__file__).parents[3]
README = ROOT / "experiments/paper/README.md"
NO_NUMBER = re.compile(r"\b(?i:nan|inf)\b|\bNone\b")


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


def said(found: Audit, width: int = 120) -> str:
    """The audit as it is printed, on one line."""
    stream = io.StringIO()
    print_document(document(found), Console(file=stream, width=width))
    return " ".join(stream.getvalue().split())


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
def test_attainable_is_what_printing_every_count_gives(figure: Decimal, n: int) -> None:
    up, even, cut = (
        {k for k in range(n + 1) if as_printed(k, n, figure, rounding) == figure}
        for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN)
    )
    found = attainable(figure, n)
    rule = "rounded" if up and even else "half up" if up else "half to even" if even else "cut off" if cut else ""
    assert found.rule == rule
    assert set(found.counts) == (up | even or cut)
    nearest = min(abs(100 * Decimal(k) / n - figure) for k in (up | even or cut or range(n + 1)))
    assert abs(100 * Decimal(found.nearest) / n - figure) == pytest.approx(nearest, abs=Decimal("1e-20"))
    assert 100 * found.below <= figure * n <= 100 * found.above
    assert found.above - found.below <= 1


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 4))
def test_every_count_is_attainable(counted: tuple[int, int], decimals: int) -> None:
    k, n = counted
    for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN):
        assert k in attainable(as_printed(k, n, Decimal(1).scaleb(-decimals), rounding), n).counts


def test_two_figures_of_the_paper_are_counts_and_three_are_not(paper: Audit) -> None:
    counts = {figure.arm.name: list(figure.attainable.counts) for figure in paper.figures}
    assert counts == {"real": [159], "5:5": [154], "6:4": [], "7:3": [], "8:2": []}
    assert [figure.right for figure in paper.figures] == [159, 154, 158, 154, 153]
    assert (paper.figures[2].attainable.below, paper.figures[2].attainable.above) == (158, 159)


def test_a_mean_of_runs_may_explain_a_figure(paper: Audit) -> None:
    assert [figure.runs for figure in paper.figures] == [None, None, None, None, 5]
    for figure in paper.figures[2:]:
        found = [
            m for m in range(2, MOST_RUNS + 1) if attainable(figure.arm.accuracy, 162 * m).rule not in ("", "cut off")
        ]
        assert found[:1] == ([figure.runs] if figure.runs else [])
    stated = audit(table({"a": "94.20", "b": "98.15"}, seeds=5))
    assert stated.figures[0].attainable.n == 5 * 162
    assert "763 of 810 (162 × 5 runs)" in said(stated)


def test_another_test_set_may_explain_all_figures(paper: Audit) -> None:
    assert paper.common_size is not None
    for n in (paper.common_size, paper.common_size - 1):
        rules = {attainable(figure.arm.accuracy, n).rule for figure in paper.figures}
        assert ("" in rules or "cut off" in rules) == (n != paper.common_size)
    assert audit(table({"a": "98.15", "b": "95.06"})).common_size is None


def test_the_interval_is_that_of_the_figure_not_of_a_count(paper: Audit) -> None:
    figure = paper.figures[2]
    assert figure.accuracy.value == pytest.approx(0.9755)
    assert (round(figure.accuracy.low, 4), round(figure.accuracy.high, 4)) == (0.9385, 0.9905)


@pytest.mark.parametrize(
    ("figure", "n", "words"),
    [
        ("66.66", 3, "66.66 (a) is 2 of 3 only if digits were cut off instead of rounded."),
        ("13", 8, "13 (a) is 1 of 8 only if a tie is rounded up."),
        ("12", 8, "12 (a) is 1 of 8 only if a tie is rounded to even."),
        ("97.55", 162, "97.55 (a) is no count: 158 of 162 is 97.53, 159 of 162 is 98.15. No mean of 2 to 10 runs"),
        ("94.20", 162, "It could be the mean of 5 runs."),
        ("98", 162, "In steps of 1 with 162 answers every figure is a count, so that it says nothing."),
        ("98.15", 162, "Of the 10,001 figures in steps of 0.01, 163 are counts of 162."),
        ("98.1", 5000, "4,903 to 4,907 of 5,000"),
    ],
)
def test_what_is_said_of_a_figure(figure: str, n: int, words: str) -> None:
    assert words in said(audit(table({"a": figure, "b": "100"}, n_test=n)))


# --- pairs -------------------------------------------------------------------------------------------


def test_no_difference_of_the_paper_can_be_significant(paper: Audit) -> None:
    best = {pair.second.arm.name: pair.tests.best for pair in paper.against_baseline}
    assert best == {"5:5": 2 * 0.5**5, "6:4": 1, "7:3": 2 * 0.5**5, "8:2": 2 * 0.5**6}
    assert [pair.corrected.best for pair in paper.against_baseline if pair.corrected] == [0.1875, 1, 0.1875, 0.125]
    assert [verdict(pair) for pair in paper.against_baseline] == [NEVER, NEVER, NEVER, CORRECTED]
    # 94.87 lies between two counts, and the other one would be significant alone.
    assert paper.against_baseline[2].extremes == (159, 153)
    assert "Taken as 159 against 153 right answers, it is 0.0312 at best." in said(paper)
    corrected = [pair.corrected.extreme for pair in paper.against_baseline if pair.corrected]
    assert all(p is not None and p > ALPHA for p in corrected), "nor any other count, after correction"


def test_all_pairs_are_there_once(paper: Audit) -> None:
    names = [{pair.first.arm.name, pair.second.arm.name} for pair in (*paper.against_baseline, *paper.others)]
    assert len(names) == 10
    assert len({frozenset(pair) for pair in names}) == 10
    assert all(pair.corrected is None for pair in paper.others)


@pytest.mark.parametrize(
    ("other", "expected", "words"),
    [
        ("95.0", NEVER, "b: 0 images apart. No pairing of the answers makes it significant: p is 1 at best."),
        ("99.0", NEVER, "b: 4 images apart. No pairing of the answers makes it significant: p is 0.125 at best."),
        (
            "89.0",
            OPEN,
            "b: 6 images apart. It depends on the answers: p is 0.0312 at best, and at most 0.05 if not one",
        ),
        ("88.0", OPEN, "p is 0.0156 at best, and at most 0.05 if no more than one image goes the other way."),
        ("86.0", OPEN, "and at most 0.05 if no more than 4 images go the other way."),
        ("40.0", ALWAYS, "b: 55 images apart. Significant however the answers are paired, also corrected."),
    ],
)
def test_verdicts_on_one_test_set(other: str, expected: str, words: str) -> None:
    found = audit(table({"a": "95.0", "b": other}, n_test=100))
    assert [verdict(pair) for pair in found.against_baseline] == [expected]
    assert words in said(found)


def test_a_verdict_that_the_correction_takes_back() -> None:
    found = audit(table({"a": "95.0", "b": "89.0", "c": "94.0"}, n_test=100))
    assert [verdict(pair) for pair in found.against_baseline] == [CORRECTED, NEVER]
    assert "as one of 2 comparisons, no pairing of the answers makes it significant." in said(found)
    assert "Alone and uncorrected, b could be significant at the best." in said(found)


def test_against_a_baseline_that_is_all_right_there_is_one_pairing() -> None:
    found = audit(table({"a": "100.0", "b": "94.0"}, n_test=100))
    assert [verdict(pair) for pair in found.against_baseline] == [ALWAYS]
    assert found.against_baseline[0].tests.best == found.against_baseline[0].tests.worst


def test_other_counts_that_may_be_meant_are_told() -> None:
    # 94.20 lies between 152 and 153 of 162: 5 and 6 images from 158.
    found = audit(table({"a": "97.53", "b": "94.20"}))
    assert [verdict(pair) for pair in found.against_baseline] == [NEVER]
    assert "The other counts that may be meant could make b significant." in said(found)


def test_where_every_figure_is_one_count_no_other_is_spoken_of() -> None:
    found = audit(table({"a": "100.0", "b": "100.0", "c": "98.8"}, n_test=80))
    assert [verdict(pair) for pair in found.against_baseline] == [NEVER, NEVER]
    assert "other count" not in said(found)


def test_several_runs_or_several_test_sets_have_no_best_case() -> None:
    several = audit(table({"a": "98.0", "b": "40.0", "c": "97.0"}, n_test=100, seeds=3))
    assert [pair.tests.best for pair in several.against_baseline] == [None, None]
    assert [verdict(pair) for pair in several.against_baseline] == [UNPAIRED_YES, UNPAIRED_NO]
    assert "No best case of McNemar's test: a mean of several runs." in said(several)
    apart = audit(table({"a": "98.0", "b": "91.0", "c": "98.0"}, n_test={"a": 100, "b": 110, "c": 100}))
    assert [verdict(pair) for pair in apart.against_baseline] == [UNPAIRED_CORRECTED, NEVER]
    assert "not the same test images" in said(apart)
    assert "differs by Fisher's test only as the one comparison, not as one of 2" in said(apart)


def test_a_comparison_without_a_best_case_still_counts_as_one() -> None:
    found = audit(table({"a": "95.0", "b": "89.0", "c": "94.0"}, n_test={"a": 100, "b": 100, "c": 200}))
    first, second = found.against_baseline
    assert first.corrected is not None
    assert second.corrected is not None
    assert (first.tests.best, first.corrected.best) == (0.03125, 0.0625)
    assert (second.tests.best, second.corrected.best) == (None, None)


# --- power -------------------------------------------------------------------------------------------


def test_what_the_paper_could_show(paper: Audit) -> None:
    rows = {(found.test, found.accuracy, found.discordant): found for found in paper.detectable}
    z, published = rows["z", 0.98, None], rows["z", 0.9815, None]
    assert [round(100 * (found.difference or 0), 1) for found in (z, published)] == [7.1, 7.0]
    assert round(z.images or 0) == 3825
    three, five = rows["McNemar", None, 0.03], rows["McNemar", None, 0.05]
    assert three.difference is None, "not even if all disagreements went one way"
    assert round(100 * (five.difference or 0), 1) == 4.9
    assert [round(found.images or 0) for found in (three, five)] == [2352, 3922]
    assert (rows["Fisher", 0.98, None].difference or 0) > (z.difference or 1)


def test_without_an_expected_disagreement_the_way_is_told() -> None:
    assert "give expected_discordant" in said(audit(table({"a": "98.15", "b": "95.06"})))


def test_large_test_sets_are_not_enumerated() -> None:
    found = audit(table({"a": "76.13", "b": "76.14"}, n_test=50_000, discordant=(5.0,)))
    assert {item.test for item in found.detectable} == {"z", "McNemar"}


@pytest.mark.parametrize("accuracy", ["0", "100", "0.4", "99.6"])
def test_a_baseline_at_the_edge_looks_to_the_other_side(accuracy: str) -> None:
    found = audit(table({"a": accuracy, "b": "50"}, n_test=250)).detectable
    assert all(item.difference is not None and 0 < item.difference < 0.1 for item in found)
    assert all(item.images is not None for item in found if item.test == "z")


# --- readings and controls ---------------------------------------------------------------------------


def test_the_readings_of_the_paper_contradict_each_other(paper: Audit) -> None:
    caption, prose = paper.readings
    assert caption.mixes == ("real", "55", "64", "73", "82")
    assert prose.mixes == ("real", "55", "46", "37", "28")
    assert caption.trend is not None
    assert prose.trend is not None
    assert [caption.trend.tau, prose.trend.tau] == pytest.approx([-0.8, 0])
    assert caption.mixed_trend is not None
    assert prose.mixed_trend is not None
    assert caption.mixed_trend.tau == pytest.approx(-prose.mixed_trend.tau) == pytest.approx(-2 / 3)
    assert (
        "The readings contradict each other about 6:4, 7:3 and 8:2: 8:2 is 80 % (caption) or 20 % (prose) synthetic."
    ) in findings(paper)[1]
    for command in ("-m mix=real,55,64,73,82 # caption", "-m mix=real,55,46,37,28 # prose"):
        assert f"python -m synthaug.train {command}" in said(paper)


def test_readings_that_agree_contradict_nothing() -> None:
    shares = {"a": 0.0, "b": 35.0}
    found = audit(table({"a": "98.15", "b": "95.06"}, readings={"x": shares, "y": shares}))
    assert not any("contradict" in finding for finding in findings(found))
    assert "python -m synthaug.train mix.real=0.65 mix.synthetic=0.35 # x" in said(found)
    assert "No reading is given" in said(audit(table({"a": "98.15", "b": "95.06"})))


@pytest.mark.parametrize(("shares", "name"), MIXES.items())
def test_named_mixes_are_those_of_the_program(shares: tuple[float, float], name: str) -> None:
    mix = yaml.safe_load((ROOT / "conf/mix" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert (mix["real"], mix["synthetic"]) == shares
    assert mix_of(100 * shares[1] / sum(shares), sum(shares)) == name


def test_arms_of_other_sizes_are_other_mixes() -> None:
    sizes = {"few": 500, "real": 1000, "half": 1000, "more": 1500, "270": 270}
    arms = tuple(PublishedArm(name, Decimal("95.06"), 162, None, size) for name, size in sizes.items())
    shares = {"few": 0.0, "real": 0.0, "half": 50.0, "more": 33.3, "270": 0.0}
    for baseline in ("real", "few"):
        found = audit(Published("made up", "", baseline, arms, (Reading("only", "", shares),), ()))
        assert found.readings[0].mixes == ("real50", "real", "55", "add50", "mix.real=0.27 mix.synthetic=0")


def test_no_arm_of_the_paper_has_a_control(paper: Audit) -> None:
    caption, prose = paper.readings
    assert caption.real == (1348, 674, 539, 404, 270)
    assert prose.real == (1348, 674, 809, 944, 1078)
    assert caption.uncontrolled == prose.uncontrolled == ("5:5", "6:4", "7:3", "8:2")
    assert any("no control with as few real images for 5:5, 6:4, 7:3 and 8:2." in text for text in findings(paper))


def test_a_control_is_found() -> None:
    published = table({"real": "98.15", "82": "95.06", "few": "95.06"}, n_train=1000)
    few = PublishedArm("few", Decimal("95.06"), 162, None, 199)
    published = Published(
        "made up",
        "",
        "real",
        (*published.arms[:2], few),
        (Reading("only", "", {"real": 0.0, "82": 80.0, "few": 0.0}),),
        (),
    )
    found = audit(published)
    assert found.readings[0].real == (1000, 200, 199)
    assert found.readings[0].uncontrolled == ()
    assert "every arm that has fewer real images than the baseline has its control" in said(found)
    assert not any("control" in text for text in findings(found))


def test_without_counts_there_is_nothing_to_control() -> None:
    readings = {"x": {"a": 0.0, "b": 50.0}}
    assert "Without n_train" in said(audit(table({"a": "98.15", "b": "95.06"}, readings=readings)))


# --- any table ---------------------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> Published:
    names = [f"arm {number}" for number in range(draw(st.sampled_from([2, 3, 6])))]
    sizes = st.sampled_from([1, 2, 30, 162])
    one = draw(sizes)
    arms = tuple(
        PublishedArm(
            name,
            draw(st.one_of(figures, st.sampled_from([Decimal(0), Decimal(100), Decimal("9E+1")]))),
            draw(st.one_of(st.just(one), sizes)),
            draw(st.sampled_from([None, 1, 3])),
            draw(st.sampled_from([None, 1, 1348])),
        )
        for name in names
    )
    shares = st.sampled_from([0.0, 12.5, 50.0, 80.0, 100.0])
    readings = tuple(
        Reading(name, "", {arm: draw(shares) for arm in names}) for name in draw(st.sampled_from(["", "x", "xy"]))
    )
    discordant = draw(st.sampled_from([(), (0.01,), (3.0, 5.0), (100.0,)]))
    return Published("made up", "somewhere", draw(st.sampled_from(names)), arms, readings, discordant)


@settings(max_examples=40)
@given(tables())
def test_any_table_is_audited_in_numbers(published: Published) -> None:
    found = audit(published)
    for text in (said(found, 80), markdown(document(found))):
        assert not NO_NUMBER.search(text), text
    assert findings(found)


def test_many_arms_fit() -> None:
    accuracies = {f"arm {number}": f"{98 - number}.0" for number in range(20)}
    found = audit(table(accuracies, n_test=1000, readings={"x": dict.fromkeys(accuracies, 50.0)}, n_train=100))
    assert len(found.against_baseline) + len(found.others) == 190
    assert "share or accuracy is the same in all arms" in said(found)


# --- the document and the command --------------------------------------------------------------------


def test_markdown_and_console_show_names_as_they_are() -> None:
    blocks: list[Block] = [
        Heading("[b]x[/b]", 1),
        Sentences("a_b | *c* <d>"),
        Points(["one", "two"], numbered=True),
        Rows(("arm", "n"), [("[red]", "1")]),
        Commands(["python -m x"]),
    ]
    assert markdown(blocks) == (
        "### [b]x[/b]\n\na\\_b \\| \\*c\\* \\<d>\n\n1. one\n2. two\n\n"
        "| arm | n |\n| --- | ---: |\n| [red] | 1 |\n\n    python -m x\n"
    )
    stream = io.StringIO()
    print_document(blocks, Console(file=stream, width=80))
    for part in ("[b]x[/b]", "a_b | *c* <d>", "2. two", "[red]", "    python -m x"):
        assert part in stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_on_a_terminal(paper: Audit, width: int) -> None:
    stream = io.StringIO()
    print_document(document(paper), Console(file=stream, width=width))
    assert max(map(len, stream.getvalue().splitlines())) <= width
    assert "…" not in stream.getvalue()


def test_the_command_in_a_pipe() -> None:
    command = [sys.executable, "-W", "error", "-m", "synthaug.report", "audit", str(ROOT / EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert done.stdout.startswith("Audit of the paper (KAICTS 2024)\n")
    assert "5:5: 5 images apart. No pairing of the answers makes it significant: p is 0.0625 at best." in done.stdout


def test_the_readme_holds_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(ROOT / EXAMPLE), "--markdown"]) == 0
    block = re.search(r"<!-- audit: begin -->\n(.*)<!-- audit: end -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    assert block[1] == capsys.readouterr().out


def test_the_readmes_short_table_can_be_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = re.search(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert snippet is not None
    (tmp_path / "mine.yaml").write_text(snippet[1], encoding="utf-8")
    assert main(["audit", str(tmp_path / "mine.yaml")]) == 0
    assert capsys.readouterr().out.startswith("Audit of mine\n")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)[^)]*\)", README.read_text(encoding="utf-8")))
def test_links_lead_somewhere(link: str) -> None:
    assert (README.parent / link).exists()


def test_a_table_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("n_test: 0\nbaseline: a\narms: {a: 101, b: 5}\n", encoding="utf-8")
    assert main(["audit", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[1:] == [
        "  - line 1, n_test='0': must be a whole number from 1 to 10000000, digits only",
        "  - line 3, arms.a='101': must be from 0 to 100",
    ]


def test_the_command_line_of_the_audit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["audit"])
    assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main(["audit", "--help"])
    assert stopped.value.code == 0
    captured = capsys.readouterr()
    assert "the following arguments are required: table" in captured.err
    assert "Exit codes: 0 the table is audited" in captured.out


def test_a_study_called_audit_can_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_study(tmp_path / "audit", MadeUp(arms={"real": (1, 0)}))
    monkeypatch.chdir(tmp_path)
    assert main(["./audit"]) == 0
    assert "report.html" in capsys.readouterr().out
