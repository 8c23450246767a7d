"""Temporary folders: of this process while it lives, and gone after a kill."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from synthaug.execution import temporary_files

_HOLD = """
import time
from synthaug.execution.temporary_files import make_folder
print(make_folder(), flush=True)
time.sleep(60)
"""


def test_what_a_killed_command_leaves_is_removed_by_the_next_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    foreign = tmp_path / "synthaug-foreign"  # of a program that has no lock
    foreign.mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().decode().strip())
        (folder / "wandb").mkdir()
        mine = temporary_files.make_folder()
        assert (folder / "wandb").is_dir()
        process.send_signal(signal.SIGKILL)
    assert folder.is_dir()
    other_folder = temporary_files.make_folder()
    assert not folder.exists()
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, other_folder.name, foreign.name}
    for path in (mine, other_folder):
        temporary_files.remove_folder(path)
    assert list(tmp_path.iterdir()) == [foreign]


def test_files_of_a_block_lie_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "before")
    before = tempfile.gettempdir()
    with temporary_files.inside(tmp_path):
        assert os.environ["TMPDIR"] == str(tmp_path)
    assert os.environ["TMPDIR"] == "before"
    assert tempfile.gettempdir() == before
    with temporary_files.inside(Path("/tmp/short")):
        assert tempfile.gettempdir() == "/tmp/short"
    with temporary_files.inside(Path("/tmp") / ("long" * 30)):
        assert tempfile.gettempdir() == before
