"""Output goes on whatever a terminal can show, and ends quietly with its pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POWER = "report power --accuracy 0.95 --n 1500 --seeds 5 --difference 1"


@pytest.mark.parametrize("command", [POWER, "train --help"])
def test_signs_that_a_terminal_lacks_are_replaced(command: str, tmp_path: Path) -> None:
    name, *words = command.split()
    done = subprocess.run(
        [sys.executable, "-m", f"synthaug.{name}", *words],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert len(done.stdout) > 200


@pytest.mark.parametrize("command", [POWER, "train --help"])
def test_a_closed_pipe_ends_a_command_without_a_word(command: str, tmp_path: Path) -> None:
    name, *words = command.split()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", f"synthaug.{name}", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")
