"""python -m synthaug.report audit, as it is typed, and the audit in the README of the paper."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.analysis.audit.published import EXAMPLE
from synthaug.report.__main__ import main
from tests.factories.golden import assert_golden
from tests.factories.studies import MadeUp, make_study

ROOT = Path(__file__).parents[2]
README = ROOT / "experiments/paper/README.md"


def test_the_command_in_a_pipe() -> None:
    command = [sys.executable, "-W", "error", "-m", "synthaug.report", "audit", str(ROOT / EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert_golden("audit.txt", done.stdout)


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
    problems = [line.partition(":")[0].removeprefix("  - ") for line in captured.err.splitlines()[1:]]
    assert problems == ["line 1, n_test='0'", "line 3, arms.a='101'"]


def test_a_study_called_audit_can_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_study(tmp_path / "audit", MadeUp(arms={"real": (1, 0)}))
    monkeypatch.chdir(tmp_path)
    assert main(["./audit"]) == 0
    assert "report.html" in capsys.readouterr().out
