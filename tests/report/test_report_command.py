"""The command and the page, on made-up studies."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.findings import findings
from synthaug.analysis.output.console import print_comparison
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
        "import sys; from synthaug.report.__main__ import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'diffusers', 'transformers', 'wandb', 'hydra', 'matplotlib.pyplot'}; "
        "bad = heavy & set(sys.modules); assert not bad, bad; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(study)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_table_takes_names_literally(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1, 0), "[red]x[/red]": (0.4, 0.6)}))
    stream = io.StringIO()
    print_comparison(compare(study), findings(compare(study)), Console(file=stream, width=120))
    assert "[red]x[/red]" in stream.getvalue()


def test_the_table_cuts_no_name(tmp_path: Path) -> None:
    long = "real0.4-synthetic0.6-erasing_0.25-policy_"
    study = make_study(
        tmp_path / "study", MadeUp(arms={"real": (1, 0), f"{long}trivial": (0.4, 0.6), f"{long}rand": (0.4, 0.6)})
    )
    stream = io.StringIO()
    print_comparison(compare(study), findings(compare(study)), Console(file=stream, width=100))
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
