"""What a process does that is asked to end: once cleanly, the second time at once, and not where it was told not to."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synthaug import signals
from synthaug.exit_codes import exit_code
from synthaug.report import __main__ as report


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the tests their handlers back: a command that was stopped leaves those of the system, as it ends."""
    before = {number: signal.getsignal(number) for number in signals.STOPPING}
    for number in signals.STOPPING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", signals.STOPPING)
def test_every_signal_ends_a_command_with_its_code_and_what_is_kept(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended, signals.stoppable(lambda: "Half of it stays."):
        send(number)
    assert ended.value.code == 128 + number
    assert signals.received() is None
    (message,) = caplog.messages
    assert message.endswith("Half of it stays.")
    assert ("Ctrl-C" if number == signal.SIGINT else number.name) in message
    assert signal.getsignal(number) == signal.SIG_DFL, "no traceback while the interpreter ends"


def test_what_a_library_makes_of_a_signal_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            raise RuntimeError("unexpected position")

    def swallow() -> None:
        try:
            send(signal.SIGTERM)
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning does

    for work in (fail, swallow):
        with pytest.raises(SystemExit) as ended, signals.stoppable("kept"), signals.stoppable("kept"):
            work()
        assert ended.value.code == 143
    assert len(caplog.messages) == 2, "of two blocks in one another, one says so"
    with signals.listening(), pytest.raises(RuntimeError) as raised:
        fail()
    with pytest.raises(signals.Stopped):
        signals.leave_if_stopped(raised.value)
    signals.leave_if_stopped(ValueError("a failure"))


def test_a_command_that_nobody_stops_ends_as_it_would(caplog: pytest.LogCaptureFixture) -> None:
    before = {number: signal.getsignal(number) for number in signals.STOPPING}
    with pytest.raises(ValueError, match="wrong"), signals.stoppable("kept"):
        raise ValueError("wrong")
    for code in (0, 2):
        with pytest.raises(SystemExit) as ended, signals.stoppable("kept"):
            sys.exit(code)
        assert ended.value.code == code
    assert not caplog.messages
    assert {number: signal.getsignal(number) for number in signals.STOPPING} == before


def test_an_ignored_signal_stays_ignored_and_a_handler_of_the_caller_stays() -> None:
    calls = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a job in the background of a script
    signal.signal(signal.SIGUSR2, lambda number, frame: calls.append(number))  # submitit
    with signals.stoppable("kept"):
        signals.listen()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR2):
            send(number)
    assert calls == [signal.SIGUSR2]


def test_a_signal_within_a_finalizer_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    class Finalized:
        def __del__(self) -> None:
            send(signal.SIGUSR1)

    def finalize() -> None:
        Finalized()
        gc.collect()
        time.sleep(10)

    with pytest.raises(SystemExit) as ended, signals.stoppable("kept"):
        finalize()
    assert ended.value.code == 138
    assert "Traceback" not in capfd.readouterr().err


def _wait_in_vain() -> None:
    time.sleep(60)


_TWICE = """
import multiprocessing, os, signal, sys, time
from synthaug import signals
from tests.test_signals import _wait_in_vain
signals.before_end_at_once.append(lambda: print("cleaned up", flush=True))
helper = multiprocessing.get_context("fork").Process(target=_wait_in_vain)
with signals.stoppable("kept"):
    helper.start()
    os.kill(helper.pid, signal.SIGINT)  # a whole group of processes is told; the helper leaves that to its parent
    try:
        print(helper.pid, flush=True)
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # of the same event
        print("leaving", flush=True)
        time.sleep(60)
"""


def test_a_second_signal_ends_a_command_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _TWICE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout
    with process.stdout as printed:
        assert printed.readline()
        process.send_signal(signal.SIGHUP)
        assert printed.readline() == "leaving\n"
        time.sleep(1.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        assert printed.read() == "cleaned up\n", "the helper would hold the pipe open"


_STAYS_IN_AN_IMPORT = """\
import os, sys, time
class Finder:
    def find_spec(self, name, *_):
        if name == os.environ["SLOW"]:
            print(name, flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("module", ["synthaug.config.command_help", "synthaug.tracking.run_ids"])  # the first, the last
def test_a_command_that_is_stopped_while_it_is_imported_ends_without_a_word(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_STAYS_IN_AN_IMPORT, encoding="utf-8")
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "synthaug.train", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "SLOW": module},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    assert process.stdout.readline() == f"{module}\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == -signal.SIGINT


def test_a_helper_can_still_be_terminated() -> None:
    with signals.listening():
        helper = multiprocessing.get_context("fork").Process(target=_wait_in_vain)
        helper.start()
        helper.terminate()
        helper.join(10)
    assert helper.exitcode == -signal.SIGTERM


def test_commands_that_read_files_are_stopped_like_those_that_train(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(*_: object) -> int:
        send(signal.SIGUSR1)
        return 0

    monkeypatch.setattr("synthaug.report.power.main", stop)
    commands: list[Callable[[], int]] = [lambda: report.main(["power"]), lambda: exit_code(stop)]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            command()
        assert ended.value.code == 138
    assert all("the same command" in message for message in caplog.messages)
    assert len(caplog.messages) == 2
