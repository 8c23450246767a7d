"""Output goes on whatever a terminal can show, tells it to do nothing, and ends quietly with its pipe."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.errors import UserError, explain, raise_all
from synthaug.terminal import printable, tolerant_output

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2Jowned", "\\x1b[2Jowned"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("hid\rden\x08", "hid\\rden\\x08"),
        ("\x9b31m\x7f\0", "\\x9b31m\\x7f\\x00"),
        ("jpg.\u202efdp", "jpg.\\u202efdp"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\\u2028b"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("käse 猫 👩\u200d🔬 a\u00a0b \u3000", "käse 猫 👩\u200d🔬 a\u00a0b \u3000"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_errors_and_the_log_tell_a_terminal_to_do_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    name, factory = "cat\x1b[2J.png", logging.getLogRecordFactory()
    with pytest.raises(UserError) as caught:
        raise_all("Files:", [name])
    assert "\x1b" not in f"{caught.value} {explain(ValueError(name))} {explain(OSError(13, 'denied', name))}"
    with tolerant_output():
        handler = logging.StreamHandler()
        log = logging.Logger("of its own")
        log.addHandler(handler)
        log.warning("%s is left out", name)
    assert capfd.readouterr().err == "cat\\x1b[2J.png is left out\n"
    assert logging.getLogRecordFactory() is factory


def test_a_log_that_nobody_reads_is_no_matter(capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = logging.Logger("of its own")
    with os.fdopen(writing, "w", buffering=1) as pipe:
        log.addHandler(logging.StreamHandler(pipe))
        with tolerant_output():
            log.warning("a line")
        assert capfd.readouterr().err == ""
        log.warning("a line")
        assert "BrokenPipeError" in capfd.readouterr().err
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())  # or closing it would fail


@pytest.mark.parametrize("to", ["closed", "full"])
def test_output_that_nobody_takes_ends_in_a_sentence(to: str, tmp_path: Path) -> None:
    redirection = {"closed": ">&-", "full": "> /dev/full"}[to]
    done = subprocess.run(
        f"'{sys.executable}' -m synthaug.{POWER} {redirection}",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode, len(done.stderr.splitlines())) == ((0, 0) if to == "closed" else (1, 1))


def test_a_command_ends_without_a_look_for_garbage() -> None:
    script = """
import gc
from synthaug.terminal import tolerant_output

class Garbage:
    def __del__(self):
        print("collected")

with tolerant_output():
    garbage = Garbage()
    garbage.itself = garbage
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
