"""The command and the page, on made-up studies."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Arm, Group, NotWorse, ShareTrend
from synthaug.analysis.inference.intervals import Difference, Estimate, Part, Spread
from synthaug.analysis.text import format, table
from synthaug.analysis.text.table import print_table
from synthaug.files import read_json, write_json
from synthaug.report.__main__ import main
from synthaug.runs import layout
from tests.factories.studies import SWEEP, MadeUp, make_study

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
    print_table(compare(study), [()], Console(file=stream, width=120))
    assert "[red]x[/red]" in stream.getvalue()


def test_the_table_cuts_no_name(tmp_path: Path) -> None:
    long = "real0.4-synthetic0.6-erasing_0.25-policy_"
    study = make_study(
        tmp_path / "study", MadeUp(arms={"real": (1, 0), f"{long}trivial": (0.4, 0.6), f"{long}rand": (0.4, 0.6)})
    )
    stream = io.StringIO()
    print_table(compare(study), [()], Console(file=stream, width=100))
    assert "\u2026" not in stream.getvalue()


def test_notes_are_in_table_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    place = study / "digits/tiny_digits/resnet18/64/seed0" / layout.RESULT
    result = read_json(place)
    result["settings"]["model"]["lr"] = 0.002
    write_json(place, result)
    note = "Not all runs had the same settings: model.lr is 0.001 in real, 0.002 in 64."
    assert main([str(study)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Note: {note}" in printed
    assert "To drop a run" not in printed
    assert note in (study / "report.html").read_text(encoding="utf-8")
    assert any(found.startswith(note) for found in read_json(study / "results.json")["groups"][0]["notes"])


# --- words -----------------------------------------------------------------------------------------


def group_with(*arms: Arm, n_test: int = 1500) -> Group:
    return Group("digits", "tiny_digits", "resnet18", "0" * 64, n_test, ("0", "1"), arms, (), 0.01)


def found(value: float, low: float, high: float, adjusted_p: float = 0.01) -> Difference:
    return Difference(value, low, high, value, Spread(Part(np.zeros(()))), adjusted_p / 2, 2, adjusted_p)


UNCLEAR = (
    "cannot be told apart from real with these 1,500 test images (\u22120.40 points, 95 % interval \u22121.10 to +0.30)"
)
BELOW = "1.20 points below real, 95 % interval 0.30 to 2.10 below"


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (found(-0.012, -0.021, -0.003), BELOW),
        (found(0.012, 0.003, 0.021), "1.20 points above real, 95 % interval 0.30 to 2.10 above"),
        (found(-0.004, -0.011, 0.003, 0.3), UNCLEAR),
        (
            found(-0.012, -0.021, -0.003, 0.083),
            f"{BELOW}, which may be chance among so many arms (p = 0.083 after Holm)",
        ),
    ],
)
def test_sentences(difference: Difference, said: str) -> None:
    arm = Arm("64", 0.4, 0.6, False, 1, (0,), 400, 600, Estimate(0.95, 0.94, 0.96), difference=difference)
    assert table.answer(arm, group_with(arm)) == said
    assert table.mix(arm) == "60 % synthetic: 400 real + 600 synthetic images"


COSTS = "the 3.60 points that losing 60 % of the real images costs"
UNSEEN = "that losing 60 % of the real images costs anything is not shown (\u22120.20 points)"
OF_MANY = ", which may be chance among so many arms (p = 0.20 after Holm)"
LOSS = found(-0.036, -0.045, -0.027)


@pytest.mark.parametrize(
    ("loss", "gain", "said"),
    [
        (
            LOSS,
            found(0.024, 0.012, 0.036),
            f"synthetic images give back 2.40 of {COSTS} (95 % interval +1.20 to +3.60)",
        ),
        (
            LOSS,
            found(0.004, -0.012, 0.016, 0.5),
            f"whether synthetic images give back any of {COSTS} is open (+0.40, 95 % interval \u22121.20 to +1.60)",
        ),
        (
            LOSS,
            found(-0.02, -0.03, -0.01),
            f"synthetic images take away 2.00 points beside {COSTS} (95 % interval \u22123.00 to \u22121.00)",
        ),
        (
            found(-0.002, -0.008, 0.004, 0.6),
            found(0.01, 0.002, 0.018),
            f"{UNSEEN}, and synthetic images add 1.00 points (95 % interval +0.20 to +1.80)",
        ),
        (
            found(-0.002, -0.008, 0.004, 0.6),
            found(-0.01, -0.018, -0.002),
            f"{UNSEEN}, and synthetic images take away 1.00 points (95 % interval \u22121.80 to \u22120.20)",
        ),
        (
            found(-0.002, -0.008, 0.004, 0.6),
            found(0.001, -0.006, 0.008, 0.6),
            f"{UNSEEN}, and synthetic images change it by +0.10 points (95 % interval \u22120.60 to +0.80)",
        ),
        (
            LOSS,
            found(0.05, 0.04, 0.06),
            f"synthetic images give back {COSTS} and 1.40 more (5.00, 95 % interval +4.00 to +6.00)",
        ),
        (
            LOSS,
            found(0.024, 0.012, 0.036, 0.2),
            f"synthetic images give back 2.40 of {COSTS} (95 % interval +1.20 to +3.60){OF_MANY}",
        ),
    ],
)
def test_what_synthetic_images_give_back(loss: Difference, gain: Difference, said: str) -> None:
    accuracy = Estimate(0.95, 0.94, 0.96)
    arm = Arm(
        "64", 0.4, 0.6, False, 1, accuracy=accuracy, difference=found(-0.012, -0.021, -0.003), loss=loss, gain=gain
    )
    assert table.answer(arm, group_with(arm)) == f"{BELOW}; {said}"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("shown", "not worse by more than 1 point"),
        ("refuted", "worse by more than 1 point"),
        ("open", "that it is not worse by more than 1 point is not shown"),
    ],
)
def test_the_margin_is_a_question_of_its_own(verdict: str, said: str) -> None:
    arm = Arm(
        "64", 0.4, 0.6, False, 1, accuracy=Estimate(0.95, 0.94, 0.96), difference=found(-0.012, -0.021, -0.003),
        not_worse=NotWorse(verdict, 0.01, 0.02),
    )  # fmt: skip
    assert table.answer(arm, group_with(arm)) == f"{BELOW}; {said}"


def test_an_interval_within_the_margin_that_holm_leaves_open_says_so() -> None:
    arm = Arm(
        "64", 0.4, 0.6, False, 1, accuracy=Estimate(0.95, 0.94, 0.96), difference=found(-0.004, -0.0094, 0.002, 0.3),
        not_worse=NotWorse("open", 0.02, 0.16),
    )  # fmt: skip
    said = "that it is not worse by more than 1 point is not shown among so many arms (one-sided p = 0.16 after Holm)"
    assert table.answer(arm, group_with(arm)).endswith(f"; {said}")


def test_the_trend_in_words() -> None:
    group = group_with(Arm("real", 1, 0, True, 1))
    assert table.trend(group) == ""
    arms = ("real", "55", "64")
    falling = dataclasses.replace(group, trend=ShareTrend(found(-0.002, -0.003, -0.001), arms))
    interval = "95 % interval \u22120.30 to \u22120.10"
    said = f"Accuracy falls by 0.20 points per 10 % of synthetic share ({interval}; real, 55, 64)."
    assert table.trend(falling) == said
    flat = dataclasses.replace(group, trend=ShareTrend(found(-0.002, -0.005, 0.001), arms))
    assert table.trend(flat).startswith("No trend over the synthetic share is shown: \u22120.20 points per 10 %")


LOST, CHANCE, GAINED = found(-0.01, -0.02, -0.001), found(-0.01, -0.02, -0.001, 0.2), found(0.01, 0.001, 0.02)
SHOWN, UNSHOWN = NotWorse("shown", 0.001, 0.002), NotWorse("open", 0.1, 0.2)


def replacing(synthetic: float, difference: Difference, not_worse: NotWorse = UNSHOWN) -> Arm:
    return Arm(f"{synthetic}", 1 - synthetic, synthetic, False, 1, difference=difference, not_worse=not_worse)


def test_the_headline_counts_what_holds_after_holm() -> None:
    arms = [Arm("x", 1, 0.6, False, 1, difference=item) for item in (LOST, CHANCE, GAINED)]
    said = "3 arms against real: 1 below real, 1 above real, 1 not told apart from real."
    assert table.headline(group_with(*arms)) == f"{said} One training each: another seed may say otherwise."
    twice = [dataclasses.replace(arm, seeds=(0, 1)) for arm in arms]
    assert table.headline(group_with(*twice)) == said
    control = Arm("real40", 0.4, 0, False, 1, difference=LOST)
    mixed = Arm("64", 0.4, 0.6, False, 1, difference=CHANCE, control="real40", loss=LOST)
    assert " 1 arm against real: 1 not told apart from real." in table.headline(group_with(control, mixed))
    assert table.headline(group_with(Arm("64", 0.4, 0.6, False, 1))) == "No arm can be compared with real yet."


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        (
            [replacing(0.5, CHANCE, SHOWN), replacing(0.6, CHANCE, SHOWN), replacing(0.8, LOST)],
            "60 % of the real images can be replaced at a loss of less than 1 point. ",
        ),
        (
            [replacing(0.5, CHANCE), replacing(0.6, CHANCE, SHOWN)],
            "60 % of the real images can be replaced at a loss of less than 1 point; of 50 % alone that is not shown. ",
        ),
        (
            [replacing(0.5, LOST), replacing(0.6, CHANCE, SHOWN)],
            "60 % of the real images can be replaced at a loss of less than 1 point, although replacing 50 % costs ",
        ),
        (
            [dataclasses.replace(replacing(0.8, CHANCE, SHOWN), augment="policy trivial"), replacing(0.6, LOST)],
            "Replacing 60 % of the real images costs 1.00 points; ",
        ),
        (
            [replacing(0.5, CHANCE), replacing(0.6, LOST), replacing(0.8, LOST)],
            "Replacing 60 % of the real images costs 1.00 points; that less costs under 1 point is not shown. ",
        ),
        (
            [replacing(0.5, CHANCE), replacing(0.8, CHANCE)],
            "Replacing up to 80 % of the real images is shown neither to cost anything nor to cost under 1 point. ",
        ),
    ],
)
def test_the_headline_says_how_much_can_be_replaced(arms: list[Arm], said: str) -> None:
    assert table.headline(group_with(*arms)).startswith(said)


@pytest.mark.parametrize(
    ("value", "said"), [(None, "-"), (0.00001, "< 0.001"), (0.0341, "0.034"), (0.5, "0.50"), (1, "1.00")]
)
def test_p_values(value: float | None, said: str) -> None:
    assert format.p_value(value) == said


def test_arms_without_a_run_show_what_was_asked_for() -> None:
    assert format.counts(Arm("64", 0.4, 0.6, False, 1)) == ("0.4 \u00d7", "0.6 \u00d7")


@pytest.mark.parametrize(
    ("value", "n", "said"),
    [(0.0052, 1500, "+0.52"), (-0.00001, 1500, "0.00"), (0.0, 50, "0.0"), (-0.5, 50, "\u221250.0")],
)
def test_points(value: float, n: int, said: str) -> None:
    assert format.points(value, n) == said


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
