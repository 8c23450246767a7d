"""The process in a cluster that carries out one run of a sweep, and its outcome."""

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthaug import locks, progress_bar, signals
from synthaug.config.job import Job
from synthaug.environment import hidden
from synthaug.errors import UserError
from synthaug.execution import datasets, frozen_runs, preflight, runner
from synthaug.execution.frozen_runs import FrozenRun
from synthaug.execution.probe_rule import trains_head_alone
from synthaug.execution.session import Session
from synthaug.progress_bar import LOG_SECONDS, Step
from synthaug.runs import layout
from synthaug.terminal import tolerant_output

QUEUED, RUNNING = "queued", "running"  # states of runs that have not ended
_MOST = 0.8  # share of an attempt's time; the rest is the start, which the next one has as well
WARNINGS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))  # of time-outs


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run's process.

    Attributes:
        failed: whether the run is not finished.
        records: its log records, repeated by the command.
        announced: messages that are shown once per command.
        reason: why it was not started or how its process died; empty where the run has recorded its own failure.
    """

    failed: bool
    records: list[dict[str, Any]] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return asdict(self)


class StoppedError(Exception):
    """A signal has ended the run after its last whole epoch; it is neither finished nor failed.

    Args:
        number: of the signal.
        is_stuck: whether most of the time went into an epoch that was not finished, so that the next attempt, which
            begins it again, will come no further.
    """

    def __init__(self, number: signal.Signals, is_stuck: bool = False) -> None:
        super().__init__(number.name)
        self.number = number
        self.is_stuck = is_stuck


def bring_to_end(frozen: FrozenRun, log_file: Path | None = None) -> Outcome:
    """Carry out a queued run.

    Args:
        frozen: reference to it.
        log_file: gets its log; None: the output of this process is its log.

    Raises:
        StoppedError: a signal came first.
    """
    collector = _Collector()
    _log_to(collector, log_file)
    steps, advance = _StepLog(), None
    progress_bar.report_to(steps.note)
    with signals.listening():
        try:
            session, job = frozen_runs.thaw(frozen)
            advance = _Advance(job)
            with tolerant_output():
                _execute(frozen, session, job)
        except UserError as error:
            logging.getLogger(__name__).error("%s", error)
            return Outcome(failed=True, reason=str(error))
        except (KeyboardInterrupt, SystemExit) as error:
            is_stuck = advance is not None and steps.share_of_training > _MOST and not advance.is_there
            raise StoppedError(signals.received() or signal.SIGINT, is_stuck) from error
    return Outcome(bool(session.failed), collector.records, sorted(session.announced))


def _execute(frozen: FrozenRun, session: Session, job: Job) -> None:
    if job.settings["shard"] is not None:
        _require_same_dataset(frozen, session, job)
        session.execute(job)
        return
    with runner.recorded_failure(session, [job]):
        job.folder.mkdir(parents=True, exist_ok=True)
        # That of a job sent twice, or of the same job before it was queued again, which ends in its own time.
        with locks.exclusive(job.folder / ".lock", "trains this run"):
            pass
        if not preflight.is_complete(job):
            _require_same_dataset(frozen, session, job)
    if not session.failed:
        session.execute(job)


def _require_same_dataset(frozen: FrozenRun, session: Session, job: Job) -> None:
    datasets.read_real(session, job)
    frozen_runs.require_same_dataset(frozen, session, job)


def _log_to(collector: "_Collector", file: Path | None) -> None:
    output = logging.StreamHandler(sys.stdout) if file is None else logging.FileHandler(file, encoding="utf-8")
    output.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    logging.root.handlers[:] = [output, collector]
    logging.root.setLevel(logging.INFO)
    for name in ("hydra", "httpx", "httpx2", "matplotlib"):  # as in `conf/config.yaml`
        logging.getLogger(name).setLevel(logging.WARNING)


class _Collector(logging.Handler):
    """Collects log records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        names = ("name", "levelno", "levelname", "created", "file_only")
        values = {name: getattr(record, name) for name in names if hasattr(record, name)}
        self.records.append({**values, "msg": hidden(record.getMessage())})


class _Advance:
    """Whether a run has finished an epoch since this object was made, by its checkpoint.

    Args:
        job: the run.
    """

    def __init__(self, job: Job) -> None:
        # Classifiers of feedback have checkpoints of their own, heads on a frozen network need none.
        self._is_known = job.settings["feedback"] is None and not trains_head_alone(job.settings)
        self._file = job.folder / layout.LAST
        self._before = self._state()

    @property
    def is_there(self) -> bool:
        return not self._is_known or self._state() != self._before

    def _state(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


class _StepLog:
    """Prints the progress of the run into the log of its job, at intervals."""

    def __init__(self) -> None:
        self._last = self._began = time.monotonic()
        self._trains_since: float | None = None

    @property
    def share_of_training(self) -> float:
        """Return the share of the time so far in which the run has trained."""
        now = time.monotonic()
        return 0.0 if self._trains_since is None else (now - self._trains_since) / (now - self._began)

    def note(self, step: Step) -> None:
        if step.trains and self._trains_since is None:
            self._trains_since = time.monotonic()
        if time.monotonic() - self._last < LOG_SECONDS:
            return
        self._last = time.monotonic()
        left = "" if step.seconds_left is None else f", {step.seconds_left:.0f} s left"
        print(f"{step.text}: {step.done} of {step.total}{left}", flush=True)


def enter_folder(folder: str, variables: Mapping[str, str]) -> None:
    """Set the working directory and environment variables of the command in this process.

    Args:
        folder: that the command was typed in.
        variables: of its environment.
    """
    os.chdir(Path(folder))
    os.environ.update(variables)
