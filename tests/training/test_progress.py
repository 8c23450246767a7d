"""What a run shows while it trains: a bar of one line in a terminal, few lines in a log file."""

import contextlib
import dataclasses
import os
import re
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from synthaug.training import progress
from synthaug.training.progress import SweepPlace
from tests.factories.commands import KEY, settings, train
from tests.factories.images import write_dataset


@contextlib.contextmanager
def terminal(received: bytearray) -> Iterator[TextIO]:
    """A terminal of 80 columns; `received` gets what is written to it."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))

    def receive() -> None:
        with contextlib.suppress(OSError):  # once the other end is closed
            while chunk := os.read(ours, 4096):
                received.extend(chunk)

    reader = threading.Thread(target=receive)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream
    reader.join()
    os.close(ours)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "photos", train=8, val=5)
    return folder


def messages(study: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level("INFO", "synthaug"):
        train(folder, settings(study / "photos", study), place=SweepPlace(3, 45, 600))
    return [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]


def test_the_bar_is_one_line_of_80_columns_and_shows_accuracy_and_time(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    received = bytearray()
    monkeypatch.setattr("tests.factories.commands.KEY", dataclasses.replace(KEY, arm="real0.35-synthetic0.65"))
    with terminal(received) as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        assert messages(study, tmp_path / "run", caplog) == []
    text = received.decode()
    assert "\n" not in text
    frames = [frame for frame in text.split("\r") if frame.startswith("real0.35")]
    assert max(map(len, frames)) <= 80
    assert all("run 3 of 45" in frame for frame in frames)
    assert re.search(r"100%\|█+ *\| val \d+\.\d %, 0 s left; run 3 of 45, 10 min left", frames[-1])
    assert text.endswith("\r"), "the bar is taken away"


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 4), (60.0, 0)])
def test_a_log_file_gets_a_line_now_and_then(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    lines: int,
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", seconds)
    assert len(messages(study, tmp_path / "run", caplog)) == lines


@pytest.mark.parametrize(
    ("place", "left", "text"),
    [
        (SweepPlace(3, 45, 600), 120, "run 3 of 45, 12 min left"),
        (SweepPlace(45, 45, 0), 30, "run 45 of 45"),
        (SweepPlace(1, 45), 30, "run 1 of 45"),
        (SweepPlace(2, 45, 600), None, "run 2 of 45"),
    ],
)
def test_the_time_left_of_a_sweep_is_that_of_its_runs_together(place: SweepPlace, left: float, text: str) -> None:
    assert place.describe(left) == text
