"""Who is to blame decides the exit code: a command line, or a process that the system has ended."""

import functools
import os
import signal
from collections.abc import Callable

import pytest

from synthaug import train
from synthaug.errors import ProcessEndedError, UserError
from synthaug.execution import worker_pool
from synthaug.execution.session import Session
from synthaug.execution.single_run import run_command
from synthaug.exit_codes import exit_code


def raise_it(error: Exception, *_: object) -> int:
    raise error


COMMANDS: dict[str, Callable[[], object]] = {
    "train": train.main,
    "generate": lambda: run_command(lambda job: None, train.HELP, "images stay"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("error", "code"), [(UserError("a"), 2), (ProcessEndedError("a"), 1)])
def test_a_process_that_was_ended_is_no_wrong_configuration(
    command: str, error: UserError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Session, "run", functools.partial(raise_it, error))
    with pytest.raises(SystemExit) as ended:
        COMMANDS[command]()
    assert ended.value.code == code
    assert capsys.readouterr().err == "a\n"
    assert exit_code(functools.partial(raise_it, error)) == code


def end_by_the_system(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_tries_a_network_may_be_ended_by_the_system() -> None:
    with pytest.raises(ProcessEndedError, match="SIGKILL"):
        worker_pool.call_in_worker_process(end_by_the_system, "")
