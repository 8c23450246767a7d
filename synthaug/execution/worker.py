"""A process that brings runs of a sweep to their end, one after the other, and tells the command how they go.

It has no terminal: what it logs goes to the command as records, what libraries print as text. Signals are for the
command alone, which then asks its workers to stop.
"""

import logging
import math
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from logging.handlers import QueueHandler
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from typing import Any

from synthaug import environment, progress_bar, signals
from synthaug.config.sweep import Combination
from synthaug.errors import UserError
from synthaug.execution.session import Session
from synthaug.progress_bar import Step
from synthaug.terminal import tolerant_output

STOP = signal.SIGUSR2  # asks a worker to leave its run as Ctrl-C would
PRELOADED = ("synthaug.execution.runner", "synthaug.training.fit", "synthaug.training.evaluation")
# What its runs import of W&B: many classes that look up their source among all modules, so before the others.
PRELOADED_FOR_WANDB = "wandb.apis.public"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_GRACE = 30.0  # seconds in which a run can be left once the command is gone


@dataclass(frozen=True)
class ProcessContext:
    """What a worker shares with the process of the command.

    Attributes:
        variables: of the environment.
        hidden: texts that reach no file → the variables that hold them.
        levels: name of a logger → its level.
    """

    variables: Mapping[str, str]
    hidden: Mapping[str, str]
    levels: Mapping[str, int]

    @classmethod
    def current(cls) -> "ProcessContext":
        """Return those of this process."""
        loggers = {name: logging.getLogger(name) for name in ("", *logging.root.manager.loggerDict)}
        levels = {name: logger.level for name, logger in loggers.items() if logger.level or not name}
        return cls(dict(os.environ), environment.remembered(), levels)

    def on_device(self, number: int, devices: int) -> "ProcessContext":
        """Return context in which one of several GPUs is visible.

        Args:
            number: of the worker; more workers than GPUs share them.
            devices: how many GPUs there are; with one or none, nothing changes.
        """
        if devices <= 1:
            return self
        visible = self.variables.get(_VISIBLE, "").split(",")
        names = visible if len(visible) >= devices else [str(device) for device in range(devices)]
        return replace(self, variables={**self.variables, _VISIBLE: names[number % devices]})

    def enter(self) -> None:
        """Make them those of this process."""
        os.environ.clear()
        os.environ.update(self.variables)
        for text, variable in self.hidden.items():
            environment.remember(variable, text)
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)


@dataclass(frozen=True)
class Assignment:
    """A run to be brought to its end.

    Attributes:
        combination: its overrides.
        announced: what the command has told until now.
    """

    combination: Combination
    announced: frozenset[str]


@dataclass(frozen=True)
class Ended:
    """A run is at its end.

    Attributes:
        failed: label of the run, where it failed.
        announced: what was told on the way.
        unwritable: datasets that could not be written → why.
    """

    failed: list[str] = field(default_factory=list)
    announced: frozenset[str] = frozenset()
    unwritable: Mapping[str, UserError] = field(default_factory=dict)


Message = logging.LogRecord | Step | Ended


def work(channel: Connection, output: Connection, session: Session, context: ProcessContext) -> None:
    """Bring runs to their end until there are no more assignments.

    Args:
        channel: assignments come in, and messages go out.
        output: gets the text that libraries print.
        session: of the command, as it was before the first run.
        context: of the process of the command.
    """
    try:
        signals.listen_to_command(STOP)
        _work(channel, output, session, context)
    except KeyboardInterrupt:
        sys.exit(128 + STOP)


def _work(channel: Connection, output: Connection, session: Session, context: ProcessContext) -> None:
    # That of the system, as where runs follow one another: this process's own would import torch in each data loader.
    multiprocessing.set_start_method(None, force=True)
    threading.Thread(target=_stop_without_parent, daemon=True).start()
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output.fileno(), number)
        stream = os.fdopen(number, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
        setattr(sys, name, stream)
    context.enter()
    if session.devices and session.concurrency:
        from synthaug.data import device_pixels

        device_pixels.share_device(math.ceil(session.concurrency.runs / session.devices))
    outgoing = _Outgoing(channel)
    logging.root.handlers[:] = [QueueHandler(outgoing.messages)]
    progress_bar.report_to(outgoing.messages.put)
    try:
        with tolerant_output():
            _run_assignments(channel, outgoing, session)
    finally:
        outgoing.close()


def send_result(channel: Connection, function: Callable[[Any], Any], argument: Any) -> None:
    """Send what a function returns or raises; signals are for the command, which kills this process.

    Args:
        channel: to the command.
        function: of a module.
        argument: of it.
    """
    signals.leave_to_command()
    signal.signal(STOP, signal.SIG_DFL)
    threading.Thread(target=_stop_without_parent, daemon=True).start()
    try:
        result = function(argument)
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        result = error
    channel.send(result)


def _run_assignments(channel: Connection, outgoing: "_Outgoing", session: Session) -> None:
    while True:
        try:
            assignment: Assignment = channel.recv()
        except EOFError:
            return
        session.announced |= assignment.announced
        session.failed.clear()
        session.execute(session.jobs[assignment.combination])
        outgoing.messages.put(Ended(list(session.failed), frozenset(session.announced), dict(session.unwritable)))


class _Outgoing:
    """Sends messages from a thread of its own: a signal in the midst of one would leave half of it in the channel."""

    def __init__(self, channel: Connection) -> None:
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._channel = channel
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is left."""
        self.messages.put(None)
        self._thread.join(timeout=_GRACE)

    def _send(self) -> None:
        try:
            while (message := self.messages.get()) is not None:
                self._channel.send(message)
        except OSError:  # the command is gone
            pass


def _stop_without_parent() -> None:
    """Leave the run where the process of the command has been killed."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), STOP)
    threading.Event().wait(_GRACE)
    os._exit(1)
