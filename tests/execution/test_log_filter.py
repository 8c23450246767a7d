"""What of the log a terminal leaves out."""

import logging
import sys
from types import SimpleNamespace

import pytest

from synthaug.execution.log_filter import TerminalFilter


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
