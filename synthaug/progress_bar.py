"""Bars of long work in a terminal; a process that works for another one tells that one instead."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

LOG_SECONDS = 60.0  # between two lines in a log file
BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {unit}"  # of runs; tqdm would put a comma before its postfix
_LONGEST = 20  # letters of a run's name before its bar; the line of the finished run has all of them
_PAUSE = 0.2  # seconds between two reports


@dataclass(frozen=True)
class Step:
    """How far some work has come.

    Attributes:
        text: what is shown of it: "decoding", or the accuracy so far.
        done: of `total`.
        total: how much there is to do.
        seconds_left: until all is done; None where nothing is known of that.
        trains: whether a run has begun to train.
        ready: folders of the runs of a sweep whose images are complete.
    """

    text: str
    done: int
    total: int
    seconds_left: float | None = None
    trains: bool = False
    ready: frozenset[Path] = frozenset()


class Bar(Protocol):
    """What work does with its bar."""

    def update(self, n: int = 1) -> object: ...


# Else tqdm makes a lock between processes, of which Python warns on the terminal where one of them is killed.
tqdm.set_lock(threading.RLock())

_listeners: list[Callable[[Step], None]] = []


def report_to(listener: Callable[[Step], None]) -> None:
    """Tell a listener, from here on, in the place of bars; this process has no terminal of its own."""
    _listeners[:] = [listener]


def has_listener() -> bool:
    """Return whether steps are reported, and no bar is drawn."""
    return bool(_listeners)


def report(step: Step) -> None:
    """Tell the listener how far the work has come."""
    for listener in _listeners:
        listener(step)


@contextlib.contextmanager
def bar(task: str, total: int, unit: str = "image", delay: float = 0) -> Iterator[Bar]:
    """Yield the bar of some work: in a terminal, or in the reports.

    Args:
        task: shown before it: "decoding".
        total: how much there is to do.
        unit: of that.
        delay: seconds before it is drawn, for work that mostly takes less.
    """
    if has_listener():
        yield _Reported(task, total)
        return
    with tqdm(total=total, desc=task, unit=unit, disable=None, leave=False, delay=delay) as drawn:
        yield drawn


def short_label(label: str) -> str:
    """Return the label of a run as it stands before its bar."""
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST // 2 - 1]}…{label[-_LONGEST // 2 :]}"


class Pacer:
    """Lets a few moments through: what changes thousands of times a second need not be told each time."""

    def __init__(self) -> None:
        self._last = -_PAUSE

    def is_due(self) -> bool:
        """Return whether it is time again."""
        now = time.monotonic()
        if now - self._last < _PAUSE:
            return False
        self._last = now
        return True


class _Reported:
    def __init__(self, task: str, total: int) -> None:
        self.task = task
        self.total = total
        self.done = 0
        self._pacer = Pacer()
        report(Step(task, 0, total))

    def update(self, n: int = 1) -> None:
        self.done += n
        if self._pacer.is_due():
            report(Step(self.task, self.done, self.total))
