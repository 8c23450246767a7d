"""The command and the page, on made-up studies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.analysis import pipeline
from synthaug.analysis.validity import checks
from synthaug.data.sample_list import Sample
from synthaug.files import write_json
from synthaug.report.__main__ import QUESTIONS, main
from synthaug.runs import contents, layout
from tests.factories.studies import SWEEP, MadeUp, make_study, run_folder

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
    assert "is not a folder" in captured.err
    assert not captured.out


def test_an_unchanged_study_is_shown_and_not_compared_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, missing=[("64", 0)]))
    assert main([str(study)]) == 1
    printed = capsys.readouterr().out

    def made_again(study: Path, prices: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(pipeline, "show_report", made_again)
    assert main([str(study)]) == 1
    assert capsys.readouterr().out == printed
    with pytest.raises(RuntimeError):
        main([str(study), "--price-hour", "2"])
    make_study(study, MadeUp(arms=SMALL))
    with pytest.raises(RuntimeError):
        main([str(study)])


def test_a_study_that_is_read_only_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    monkeypatch.setattr(checks, "write_json", lambda *_: os.open(tmp_path, os.O_WRONLY))
    assert main([str(study)]) == 0
    captured = capsys.readouterr()
    assert "1,000" in captured.out
    assert str(study) in captured.err
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    (study / layout.PAGE).mkdir()
    assert main([str(study)]) == 2
    assert layout.PAGE in capsys.readouterr().err


def test_names_and_messages_of_files_tell_a_terminal_to_do_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, failed=[("64", 0)], classes=("cat\x1b[2J", "dog\x07")))
    folder = run_folder(study, "64")
    write_json(folder / layout.FAILED, {"error": "\x1b]0;owned\x07", "type": "E\x1b[1A", "when": "\x9b2J"})
    for words in ([str(study)], ["explain", str(run_folder(study, "real"))], ["explain", str(folder)]):
        for option in ([], ["--markdown"]) if words[0] == "explain" else ([],):
            main([*words, *option])
            captured = capsys.readouterr()
            assert "\\x1b" in captured.out + captured.err
            assert not set("\x1b\x07\x9b") & set(captured.out + captured.err)


def test_what_a_mix_names_is_opened_only_if_it_is_a_file(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    os.mkfifo(tmp_path / "pipe.png")
    run = run_folder(study, "64")
    names = (str(tmp_path / "pipe.png"), "/dev/zero")
    rows = [Sample(name, 0, "1", origin, "0" * 64) for name in names for origin in ("real", "synthetic")]
    contents.write_mix(run, rows)
    assert main([str(study)]) == 0
    assert main(["explain", str(run)]) == 1


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
