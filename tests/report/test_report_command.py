"""The command and the page, on made-up studies."""

import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.report.__main__ import QUESTIONS, main
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
    assert "64-seed0 failed" in out
    assert (tmp_path / "part/report.html").is_file()
    assert main([str(tmp_path / "nothing")]) == 2
    captured = capsys.readouterr()
    assert "is no folder" in captured.err
    assert not captured.out


@pytest.mark.parametrize("question", ["", *QUESTIONS])
def test_help_has_examples_and_exit_codes(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [question] if question else []
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    examples, _, codes = text.partition("examples:\n")[2].partition("\n\n")
    assert all(line.startswith(f"  python -m synthaug.report {question}".rstrip()) for line in examples.splitlines())
    assert {code for code in "012" if f" {code} " in codes} >= {"0", "2"}
    assert all(name in text for name in QUESTIONS) or question
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--no-such-option"])
    assert stopped.value.code == 2
    assert capsys.readouterr().out == ""


def test_the_command_imports_nothing_heavy(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    code = (
        "import sys; from synthaug.report.__main__ import QUESTIONS, main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'diffusers', 'transformers', 'wandb', 'hydra', 'matplotlib.pyplot'}; "
        "bad = heavy & set(sys.modules); assert not bad, bad; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(study)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
