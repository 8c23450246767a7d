"""Graceful shutdown: Ctrl-C, and the signals that clusters, containers and terminals send before they kill.

The first signal raises `Stopped` where the command is, as Ctrl-C does; `stoppable` then logs how to resume and exits
with 128 + the number of the signal, as shells do. A second one ends the command at once. Signals that were ignored when
the command began (`nohup`, background jobs of a script) stay ignored, and handlers that a caller has installed
(submitit) are left alone.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from synthaug.errors import UserError, explain, is_interruption

log = logging.getLogger(__name__)

STOPPING = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP")
    if name in signal.Signals.__members__
)
before_end_at_once: list[Callable[[], None]] = []  # clean-up that killed child processes skip
_SAME_EVENT = 1.0  # seconds; schedulers and terminals send several signals, or one several times
_AGAIN = 0.05  # seconds


class Stopped(KeyboardInterrupt):
    """A signal asks this process to end."""


class _State:
    """Signals that this process has received; global, since a process has one handler of each signal."""

    listener = 0  # process whose handlers these are
    handled: tuple[signal.Signals, ...] = ()
    received: signal.Signals | None = None
    when = 0.0
    is_lost = False  # whether the exception was raised where Python drops exceptions
    is_reported = False


def received() -> signal.Signals | None:
    """Return the signal that has asked this process to end, if any."""
    return _State.received


@contextlib.contextmanager
def stoppable(advice: str | Callable[[], str], reports: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Let signals end the block, report it in one line, and exit with 128 + the signal's number.

    Args:
        advice: which results exist and how to resume, or a function that returns it.
        reports: whether this process logs it; of the processes of a distributed run, one does.
    """
    with listening():
        try:
            yield
        except BaseException as error:
            number = _State.received or (signal.SIGINT if is_interruption(error) else None)
            if number is None or (isinstance(error, SystemExit) and not error.code):
                raise
            _report(number, advice, reports)
            sys.exit(128 + number)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Raise `Stopped` in the block where this process is asked to end."""
    if threading.current_thread() is not threading.main_thread() or _State.listener == os.getpid():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    unraisable = sys.unraisablehook

    def drop(dropped: "sys.UnraisableHookArgs") -> None:
        if isinstance(dropped.exc_value, Stopped):  # within a finalizer, say: once more where it can be raised
            _State.is_lost = True
            threading.Timer(_AGAIN, os.kill, (os.getpid(), _State.received or signal.SIGINT)).start()
        else:
            unraisable(dropped)

    _State.listener, _State.is_reported = os.getpid(), False
    _State.handled = tuple(
        number for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)
    )
    sys.unraisablehook = drop
    listen()
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        for number in _State.handled:
            # What is left for a command that was stopped is the interpreter's end, where Ctrl-C shows a traceback.
            signal.signal(number, signal.SIG_DFL if _State.received else before[number])
        _State.listener, _State.received = 0, None


def listen() -> None:
    """Install the handlers of this process; again, where a library may have replaced them."""
    if _State.listener == os.getpid():
        for number in _State.handled:
            signal.signal(number, _handle)


def listen_to_command(number: signal.Signals) -> None:
    """Let one signal alone stop a child process.

    Args:
        number: that the command sends.
    """
    leave_to_command()
    _State.listener, _State.received, _State.handled = os.getpid(), None, (number,)
    listen()


def leave_to_command() -> None:
    """Ignore signals in a child process: a terminal or a cluster sends them to the command as well."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def leave_if_stopped(error: Exception) -> None:
    """Raise `Stopped` where an error only follows from a signal that interrupted the work.

    Args:
        error: that a library raised.

    Raises:
        Stopped: it is not a failure.
    """
    if _State.received or is_interruption(error):
        raise Stopped from error


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.received is None:
        _State.received, _State.when = signal.Signals(number), time.monotonic()
        raise Stopped
    if _State.is_lost:
        _State.is_lost = False
        raise Stopped
    if time.monotonic() - _State.when > _SAME_EVENT:
        _end_at_once(signal.Signals(number))


def _mask(how: int) -> None:
    if _State.listener and STOPPING:
        signal.pthread_sigmask(how, STOPPING)


def _become_helper() -> None:
    """Let its parent end a forked process, such as a worker of a data loader."""
    if _State.listener:
        for number in _State.handled:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
        _mask(signal.SIG_UNBLOCK)
        _State.listener = 0


if hasattr(os, "register_at_fork"):  # the interpreter forgets what a process is sent while it is forked
    os.register_at_fork(
        before=lambda: _mask(signal.SIG_BLOCK),
        after_in_parent=lambda: _mask(signal.SIG_UNBLOCK),
        after_in_child=_become_helper,
    )


def _end_at_once(number: signal.Signals) -> NoReturn:
    for process in multiprocessing.active_children():
        process.kill()
    for clean_up in before_end_at_once:
        clean_up()
    with contextlib.suppress(OSError):
        os.write(2, b"Ended at once. What is finished stays; the same command goes on.\n")
    os._exit(128 + number)


def _report(number: signal.Signals, advice: str | Callable[[], str], reports: Callable[[], bool]) -> None:
    """Log once which signal has ended the command, and how to resume; errors of that must not keep it from ending."""
    if _State.is_reported or not reports():
        return
    _State.is_reported = True
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    try:
        text = advice if isinstance(advice, str) else advice()
    except (UserError, OSError) as error:
        text = explain(error)
    log.warning("Stopped by %s. %s", name, text)
