"""What of the log a terminal leaves out, and when its file is written."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from synthaug.execution.study_log import StudyFileHandler, TerminalFilter


@pytest.mark.parametrize("file_only", [False, True])
@pytest.mark.parametrize("out", [False, True])
@pytest.mark.parametrize("err", [False, True])
def test_a_line_is_left_out_only_where_a_bar_says_the_same_on_the_same_screen(
    monkeypatch: pytest.MonkeyPatch, file_only: bool, out: bool, err: bool
) -> None:
    record = logging.makeLogRecord({"file_only": True} if file_only else {})
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: out))
        patched.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: err))
        is_shown = TerminalFilter().filter(record)
    assert is_shown != (file_only and out and err)


def test_lines_wait_for_the_folder_of_the_study(tmp_path: Path) -> None:
    handler = StudyFileHandler(str(tmp_path / "study" / "log.txt"))
    for number in range(4):
        if number == 2:
            (tmp_path / "study").mkdir()
        handler.emit(logging.makeLogRecord({"msg": f"Größe {number}"}))
        assert (tmp_path / "study").exists() == (number >= 2)
    handler.close()
    expected = [f"Größe {number}" for number in range(4)]
    assert (tmp_path / "study" / "log.txt").read_text(encoding="utf-8").splitlines() == expected
