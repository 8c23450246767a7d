"""The comparison on the console."""

import io
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.findings import findings
from synthaug.analysis.output.console import _seed_ranges, print_comparison
from synthaug.analysis.text import arm_table, sentences
from synthaug.analysis.text.check_text import check_lines, check_text
from synthaug.files import read_json
from synthaug.report.__main__ import main
from tests.factories.golden import assert_golden
from tests.factories.studies import SWEEP, MadeUp, edit_result, make_study, run_folder

SMALL = {name: SWEEP[name] for name in ("real", "64")}


def printed(study: Path, width: int = 120) -> str:
    comparison = compare(study)
    stream = io.StringIO()
    print_comparison(comparison, findings(comparison), Console(file=stream, width=width))
    return stream.getvalue()


def test_wording(tmp_path: Path) -> None:
    arms = {**SWEEP, "real50": (0.5, 0.0)}
    study = make_study(tmp_path / "colours", MadeUp(arms=arms, seeds=(0, 1), failed=[("82", 0), ("82", 1)]))
    lines = [line.rstrip() for line in printed(study).splitlines()]
    assert_golden("console.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("width", [80, 120])
def test_no_number_is_folded(tmp_path: Path, width: int) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1.0, 0.0), "real20": (0.2, 0.0)}))
    words = printed(study, width).partition("confidence")[0].split()
    for cells in arm_table.table(compare(study).groups[0])[1]:
        assert set(" ".join((*cells[:3], *cells[4:6])).split()) <= set(words)


@pytest.mark.parametrize(
    ("arm", "parts"),
    [
        ("real20", ["real20"]),
        ("real0.35-synthetic0.65", ["real0.35-", "synthetic0.65"]),
        ("a-b-real0.35-synthetic0.65-policy_trivial", ["a-b-real0.35-", "synthetic0.65-", "policy_trivial"]),
    ],
)
def test_80_columns_hold_the_table_and_fold_a_long_name_at_its_hyphens(
    tmp_path: Path, arm: str, parts: list[str]
) -> None:
    arms = {"real": (1.0, 0.0), arm: (0.2, 0.0)}
    text = printed(make_study(tmp_path / "study", MadeUp(arms=arms, seeds=tuple(range(10)), n_test=1500)), 80)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert set(parts) <= {word for line in lines for word in line.split()[:1]}
    assert sum(line.endswith(" 0–9") for line in lines) == 2


def test_80_columns_hold_a_grid_whose_arms_are_called_by_their_images(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0)} | {
        f"real{real}-synthetic{synthetic}": (real, synthetic) for real in (1, 0.1, 0.4) for synthetic in (0.5, 2)
    }
    lines = printed(make_study(tmp_path / "study", MadeUp(arms=arms, seeds=(0, 1, 2), n_test=300)), 80).splitlines()
    table = [line.rstrip() for line in lines[: next(n for n, line in enumerate(lines) if "confidence" in line)]]
    assert max(map(len, table)) <= 80
    names = [line.strip().split("  ")[0] for line in table]
    for real, synthetic in (("1,000 real", "+ 500 synthetic"), ("400 real", "+ 2,000 synthetic")):
        assert any(pair == (real, synthetic) for pair in pairwise(names))
    assert sum(line.endswith(" 0–2") for line in table) == 7
    assert not any(name in line for line in lines for name in arms if name != "real")


@pytest.mark.parametrize(
    ("seeds", "text"), [((), ""), ((0,), "0"), ((0, 1), "0 1"), ((0, 1, 2, 5), "0–2 5"), ((1, 3, 4, 5, 6), "1 3–6")]
)
def test_seeds_in_a_row_are_a_range(seeds: tuple[int, ...], text: str) -> None:
    assert _seed_ranges(seeds) == text


def test_names_are_literal_and_not_cut(tmp_path: Path) -> None:
    long = "real0.4-synthetic0.6-erasing_0.25-policy_"
    arms = {"real": (1.0, 0.0), "[red]x[red]": (0.4, 0.6), f"{long}trivial": (0.4, 0.6), f"{long}rand": (0.4, 0.6)}
    text = printed(make_study(tmp_path / "study", MadeUp(arms=arms, n_test=40)), width=100)
    assert "[red]x[red]" in text
    assert "\u2026" not in text.partition("confidence")[0]


def test_console_page_and_json_have_the_same_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    edit_result(run_folder(study, "64"), {"versions.torch": "0.1"})
    comparison = compare(study)
    (group_findings,) = findings(comparison)
    lines = check_lines(group_findings.listed_checks)
    assert any("torch is 2.14.1 in real, 0.1 in 64" in line for line in lines)
    assert main([str(study)]) == 0
    console = " ".join(capsys.readouterr().out.split())
    page = (study / "report.html").read_text(encoding="utf-8")
    assert all(line in console for line in lines)
    assert "torch is 2.14.1 in real, 0.1 in 64" in page
    in_headline = [check_text(check).message for check in group_findings.checks if check.in_headline]
    assert in_headline
    assert not any(message in text for message in in_headline for text in (console, page))
    recorded = read_json(study / "results.json")["groups"][0]["checks"]
    assert [(check["code"], check["severity"]) for check in recorded] == [
        (check.code, check.severity) for check in group_findings.checks
    ]


def test_groups_are_said_not_to_be_corrected_for_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("digits", "letters"):
        study = make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=(0, 1), n_test=40, dataset=dataset))
    note = sentences.groups_note(compare(study).groups)
    assert note
    assert main([str(study)]) == 0
    files = [(study / name).read_text(encoding="utf-8") for name in ("report.html", "results.md")]
    for text in (capsys.readouterr().out, *files):
        assert " ".join(text.split()).count(note) == 1
