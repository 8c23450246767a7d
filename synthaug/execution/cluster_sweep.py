"""A sweep in a cluster: its runs are submitted, waited for, and their progress is shown."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from synthaug.config.command_line import resuming_command
from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution import frozen_runs
from synthaug.execution.clusters import Ray, Slurm
from synthaug.execution.frozen_runs import FrozenRun
from synthaug.execution.parallelism import Concurrency
from synthaug.execution.queued_run import QUEUED, RUNNING, Outcome
from synthaug.execution.session import Session
from synthaug.execution.sweep_time import Pace, makespan
from synthaug.progress_bar import BAR_FORMAT, LOG_SECONDS

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds between two polls


class Queue(Protocol):
    """The runs of a sweep in a cluster."""

    name: str

    def submit(self, runs: Sequence[Path]) -> str:
        """Submit runs; return a message on what was submitted."""

    def poll(self) -> tuple[dict[Path, str], list[tuple[Path, Outcome]]]:
        """Return the state of each unfinished run, and the outcomes of those that have ended since the last poll."""

    def leave(self) -> str:
        """Handle an interruption of the command; return a message on what happens to the runs."""

    def close(self) -> None:
        """Disconnect from the cluster."""


def connect(cluster: Slurm | Ray, study: Path, frozen: Mapping[Path, FrozenRun]) -> Queue:
    """Return the queue of a cluster.

    Args:
        cluster: what each run asks for.
        study: whose folder gets logs.
        frozen: the runs, by their folders.
    """
    if isinstance(cluster, Slurm):
        from synthaug.execution.slurm_queue import SlurmQueue

        return SlurmQueue(cluster, study, frozen)
    from synthaug.execution.ray_queue import RayQueue

    return RayQueue(cluster, study, frozen)


def run_in_cluster(
    session: Session,
    pending: Sequence[Job],
    cluster: Slurm | Ray,
    record_failure: Callable[[Job, Exception], None],
    handlers: Mapping[Path, list[logging.Handler]],
    meanwhile: Callable[[threading.Event], None] = lambda all_ended: None,
    work: str = "synthaug.execution.probe_runs:execute",
) -> None:
    """Carry out runs, or shards, in a cluster; a failure is recorded and does not stop the others.

    When a signal stops the command, the queue decides whether the runs continue.

    Args:
        session: of the command.
        pending: its runs that are not finished.
        cluster: what each of them asks for.
        record_failure: records that a run has failed.
        handlers: study → handlers of its log.
        meanwhile: called in a thread while the runs are in the cluster; the event is set when all have ended.
        work: of `frozen_runs.freeze`.
    """
    frozen = frozen_runs.freeze(session, work)
    waiting = {frozen_runs.task(job): job for job in pending}
    all_ended = threading.Event()
    queue: Queue | None = None
    display = _Display(list(session.jobs.values()), pending)
    try:
        queue = connect(cluster, pending[0].study, frozen)
        log.info("%s", queue.submit(list(waiting)))
        thread = threading.Thread(target=meanwhile, args=(all_ended,), daemon=True)
        thread.start()
        _wait(session, queue, waiting, display, record_failure, handlers)
        all_ended.set()
        thread.join()
    except KeyboardInterrupt:
        display.close()
        if queue is not None:
            log.warning("%s", queue.leave())
        raise
    finally:
        display.close()
        if queue is not None:
            queue.close()
    if session.failed:
        command = resuming_command(session.command, sys.argv[1:])
        log.warning("To continue what is not finished: %s", command)


def _wait(
    session: Session,
    queue: Queue,
    waiting: dict[Path, Job],
    display: "_Display",
    record_failure: Callable[[Job, Exception], None],
    handlers: Mapping[Path, list[logging.Handler]],
) -> None:
    warned: set[str] = set()
    while waiting:
        states, ended = queue.poll()
        for task, outcome in ended:
            job = waiting.pop(task)
            logging.root.handlers[:] = handlers[job.study]
            with display.above():
                _replay(outcome.records, warned)
                if outcome.failed:
                    session.failed.append(frozen_runs.label(job))
                if outcome.reason:
                    record_failure(job, UserError(outcome.reason))
            session.announced |= set(outcome.announced)
            display.end(outcome.failed)
        display.show(states, waiting)
        if waiting:
            time.sleep(_TICK)


def _replay(records: Sequence[Mapping[str, Any]], warned: set[str]) -> None:
    """Repeat the log records of a run, without warnings that earlier runs have logged."""
    for content in records:
        record = logging.makeLogRecord(dict(content))
        if record.levelno == logging.WARNING:
            if record.msg in warned:
                continue
            warned.add(record.msg)
        logging.getLogger(record.name).handle(record)


class _Display:
    """Progress line of a sweep: numbers of finished, running and queued runs, and the time left."""

    def __init__(self, jobs: Sequence[Job], pending: Sequence[Job]) -> None:
        self._jobs, self._total = jobs, len(jobs)
        self._ended, self._failed = len(jobs) - len(pending), 0
        self._logged = time.monotonic()
        self._most = 1
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=self._total,
            unit="",
            bar_format=BAR_FORMAT,
            dynamic_ncols=True,
            leave=False,
            disable=not self._terminal,
        )

    def end(self, failed: bool) -> None:
        """Count a run that has ended."""
        self._ended += 1
        self._failed += failed

    def show(self, states: Mapping[Path, str], waiting: Mapping[Path, Job]) -> None:
        """Update the line.

        Args:
            states: of the runs that have not ended.
            waiting: these runs.
        """
        finished = f"{self._ended - self._failed} of {self._total} runs"
        counts = [f"{list(states.values()).count(state)} {state}" for state in (RUNNING, QUEUED)]
        failed = [f"{self._failed} failed"] if self._failed else []
        self._most = max(self._most, list(states.values()).count(RUNNING))
        if self._terminal:
            self._bar.n = self._ended
            self._bar.set_description_str(finished, refresh=False)
            self._bar.unit = ", ".join([*counts, *failed, *self._left(waiting)])
            self._bar.refresh()
        elif time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            log.info("%s", "; ".join([finished, *counts, *failed, *self._left(waiting)]))

    def close(self) -> None:
        self._bar.close()

    @contextlib.contextmanager
    def above(self) -> Iterator[None]:
        """Print the output of the block above the line."""
        with tqdm.external_write_mode(file=sys.stderr) if self._terminal else contextlib.nullcontext():
            yield

    def _left(self, waiting: Mapping[Path, Job]) -> list[str]:
        from synthaug.analysis.text.format import duration

        pace = Pace(self._jobs)
        left = makespan([], [pace.estimate(job) for job in waiting.values()], Concurrency(self._most, self._most))
        return [] if left is None else [f"about {duration(left)} left"]
