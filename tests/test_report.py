"""The command and the page, on made-up studies."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import SWEEP, MadeUp, make_study
from rich.console import Console

from synthaug import results
from synthaug.analysis import table
from synthaug.analysis.comparison import compare
from synthaug.analysis.statistics import Estimate
from synthaug.analysis.study import Arm, Group
from synthaug.analysis.table import print_table
from synthaug.report import main

SMALL = {name: SWEEP[name] for name in ("real", "64")}


# --- the command -----------------------------------------------------------------------------------


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(make_study(tmp_path / "whole", MadeUp(arms=SMALL)))]) == 0
    out = capsys.readouterr().out
    assert out.endswith("report.html\n")
    assert "1,000" in out
    assert main([str(make_study(tmp_path / "part", MadeUp(arms=SMALL, failed=[("64", 0)])))]) == 1
    out = capsys.readouterr().out
    assert "64  seed 0  failed: ValueError" in out
    assert "To drop a run that is no longer wanted, delete its entry in" in out
    assert (tmp_path / "part/report.html").is_file()
    assert main([str(tmp_path / "nothing")]) == 2
    captured = capsys.readouterr()
    assert "is no folder" in captured.err
    assert not captured.out


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "Exit codes" in capsys.readouterr().out


def test_the_command_imports_nothing_heavy(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    code = (
        "import sys; from synthaug.report import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'diffusers', 'transformers', 'wandb', 'hydra', 'matplotlib.pyplot'}; "
        "bad = heavy & set(sys.modules); assert not bad, bad; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(study)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_table_takes_names_literally(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1, 0), "[red]x[/red]": (0.4, 0.6)}))
    stream = io.StringIO()
    print_table(compare(study), Console(file=stream, width=120))
    assert "[red]x[/red]" in stream.getvalue()


def test_the_table_cuts_no_name(tmp_path: Path) -> None:
    long = "real0.4-synthetic0.6-erasing_0.25-policy_"
    study = make_study(
        tmp_path / "study", MadeUp(arms={"real": (1, 0), f"{long}trivial": (0.4, 0.6), f"{long}rand": (0.4, 0.6)})
    )
    stream = io.StringIO()
    print_table(compare(study), Console(file=stream, width=100))
    assert "\u2026" not in stream.getvalue()


def test_notes_are_in_table_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    place = study / "digits/tiny_digits/resnet18/64/seed0" / results.RESULT
    result = results.read_json(place)
    result["settings"]["model"]["lr"] = 0.002
    results.write_json(place, result)
    note = "Not all runs had the same settings: model.lr is 0.001 in real, 0.002 in 64."
    assert main([str(study)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Note: {note}" in printed
    assert "To drop a run" not in printed
    assert note in (study / "report.html").read_text(encoding="utf-8")
    assert any(found.startswith(note) for found in results.read_json(study / "results.json")["groups"][0]["notes"])


# --- words -----------------------------------------------------------------------------------------


def group_with(*arms: Arm, n_test: int = 1500) -> Group:
    return Group("digits", "tiny_digits", "resnet18", "0" * 64, n_test, ("0", "1"), arms, (), ())


UNCLEAR = (
    "cannot be told apart from real with these 1,500 test images (\u22120.40 points, 95 % interval \u22121.10 to +0.30)"
)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Estimate(-0.012, -0.021, -0.003), "1.20 points below real, 95 % interval 0.30 to 2.10 below"),
        (Estimate(0.012, 0.003, 0.021), "1.20 points above real, 95 % interval 0.30 to 2.10 above"),
        (
            Estimate(-0.004, -0.011, 0.003),
            UNCLEAR,
        ),
    ],
)
def test_sentences(difference: Estimate, said: str) -> None:
    arm = Arm("64", 0.4, 0.6, False, 1, (0,), 400, 600, Estimate(0.95, 0.94, 0.96), difference=difference)
    assert table.answer(arm, group_with(arm)) == said
    assert table.mix(arm) == "60 % synthetic: 400 real + 600 synthetic images"


def test_arms_without_a_run_show_what_was_asked_for() -> None:
    assert table.counts(Arm("64", 0.4, 0.6, False, 1)) == ("0.4 \u00d7", "0.6 \u00d7")


@pytest.mark.parametrize(
    ("value", "n", "said"),
    [(0.0052, 1500, "+0.52"), (-0.00001, 1500, "0.00"), (0.0, 50, "0.0"), (-0.5, 50, "\u221250.0")],
)
def test_points(value: float, n: int, said: str) -> None:
    assert table.points(value, n) == said


def test_the_caption_names_arms_with_one_seed() -> None:
    one, two = Arm("64", 0.4, 0.6, False, 2, (0,)), Arm("73", 0.3, 0.7, False, 2, (0, 1))
    assert any("spread from run to run is not measured: 64." in line for line in table.caption(group_with(one, two)))
    assert not any("spread" in line for line in table.caption(group_with(two)))
    assert "One seed per arm" in table.caption(group_with(one))[-1]


def test_the_caption_says_that_seeds_share_the_synthetic_images() -> None:
    real, mixed = Arm("real", 1, 0, True, 2, (0, 1)), Arm("64", 0.4, 0.6, False, 2, (0, 1))
    assert "share its synthetic images" in table.caption(group_with(real, mixed))[-1]
    drawn = dataclasses.replace(mixed, one_draw=False)
    assert not any("share its synthetic images" in line for line in table.caption(group_with(real, drawn)))
    assert not any("synthetic" in line for line in table.caption(group_with(real)))
