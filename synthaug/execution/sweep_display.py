"""What a sweep shows of runs that work beside each other: bars in a terminal, a line now and then in a log file."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from synthaug.config.job import Job
from synthaug.execution.parallelism import Concurrency
from synthaug.execution.sweep_time import Pace, makespan
from synthaug.progress_bar import BAR_FORMAT, LOG_SECONDS, Step, short_label

log = logging.getLogger(__name__)


class SweepDisplay:
    """One line for the sweep and one for each run that works; finished runs are told of above them.

    Args:
        jobs: all runs of the sweep.
        waiting: those that are not finished; the command takes runs out of it as they begin.
        concurrency: how many work at a time.
    """

    def __init__(self, jobs: Sequence[Job], waiting: Sequence[Job], concurrency: Concurrency) -> None:
        self.total = len(jobs)
        self.finished = len(jobs) - len(waiting)
        self.failed = 0
        self.concurrency = concurrency
        self._waiting = waiting
        self._pace = Pace(jobs)
        self._running: dict[str, _Running] = {}
        self._terminal = sys.stderr.isatty()
        self._logged = time.monotonic()
        self._bar = self._draw(self.total, self.finished) if self._terminal else None
        self.refresh()

    def begin(self, job: Job) -> None:
        """Show a run that begins."""
        self._running[job.label] = _Running(job, self._draw(1) if self._terminal else None)

    def advance(self, job: Job, step: Step) -> None:
        """Show how far a run has come.

        Args:
            job: the run.
            step: of it.
        """
        self._running[job.label].show(step)

    def end(self, job: Job, failed: bool) -> None:
        """Take away the line of a run at its end.

        Args:
            job: the run.
            failed: whether it has failed.
        """
        running = self._running.pop(job.label)
        running.close()
        if not failed and running.has_trained:
            self._pace.record(job, time.monotonic() - running.began)
        self.finished += not failed
        self.failed += failed
        self.refresh()

    def withdraw(self, job: Job) -> None:
        """Take away the line of a run that is neither finished nor failed."""
        self._running.pop(job.label).close()

    def refresh(self) -> None:
        """Bring the line of the sweep up to date; call it every second or so."""
        if self._bar is not None:
            self._bar.n = self.finished + self.failed
            self._bar.set_description_str(f"{self.finished} of {self.total} runs", refresh=False)
            self._bar.unit = self._left()
            self._bar.refresh()
        elif time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            states = [f"{running.job.label} {running.state()}" for running in self._running.values()]
            parts = [f"{self.finished} of {self.total} runs", *states, self._left()]
            log.info("%s", "; ".join(filter(None, parts)))

    def close(self) -> None:
        """Take all lines away."""
        for running in self._running.values():
            running.close()
        if self._bar is not None:
            self._bar.close()

    @contextlib.contextmanager
    def above(self) -> Iterator[None]:
        """Let what is printed in the block stay above the lines."""
        with tqdm.external_write_mode(file=sys.stderr) if self._terminal else contextlib.nullcontext():
            yield

    def _left(self) -> str:
        from synthaug.analysis.text.format import duration

        for running in self._running.values():
            if (expected := running.expected_seconds()) is not None:
                self._pace.record(running.job, expected)
        left = makespan(
            [self._seconds_left(running) for running in self._running.values()],
            [self._pace.estimate(job) for job in self._waiting],
            self.concurrency,
        )
        parts = [] if left is None else [f"{duration(left)} left"]
        return ", ".join(parts + ([f"{self.failed} failed"] if self.failed else []))

    def _seconds_left(self, running: "_Running") -> float | None:
        if running.seconds_left is not None:
            return running.seconds_left
        estimate = self._pace.estimate(running.job)
        return None if estimate is None else max(0.0, estimate - (time.monotonic() - running.began))

    @staticmethod
    def _draw(total: int, done: int = 0) -> Any:
        return tqdm(
            total=total, initial=done, unit="", bar_format=BAR_FORMAT, dynamic_ncols=True, leave=False, file=sys.stderr
        )


class _Running:
    """A run that works, and its line."""

    def __init__(self, job: Job, bar: Any) -> None:
        self.job = job
        self.began = time.monotonic()
        self._bar = bar
        self._step: Step | None = None
        self._shown = self.began
        self.has_trained = False
        self.show(Step("begins", 0, 1))

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its training ends, counted on since it was last told of; None before it trains."""
        if self._step is None or not self._step.trains or self._step.seconds_left is None:
            return None
        return max(0.0, self._step.seconds_left - (time.monotonic() - self._shown))

    def expected_seconds(self) -> float | None:
        """Return what the whole run will have taken; None before it trains."""
        return None if self.seconds_left is None else time.monotonic() - self.began + self.seconds_left

    def state(self) -> str:
        """Return how far it has come, as text."""
        from synthaug.analysis.text.format import duration

        step = self._step
        if step is None:
            return ""
        if not step.trains:
            return f"{step.text} {step.done:,} of {step.total:,}" if step.total > 1 else step.text
        share = f"{100 * step.done / max(1, step.total):.0f} %"
        left = "" if step.seconds_left is None else f"{duration(step.seconds_left)} left"
        return ", ".join(filter(None, [share if self._bar is None else "", step.text, left]))

    def show(self, step: Step) -> None:
        self._step, self._shown = step, time.monotonic()
        self.has_trained |= step.trains
        if self._bar is not None:
            self._bar.total, self._bar.n = max(1, step.total), step.done
            self._bar.set_description_str(short_label(self.job.label), refresh=False)
            self._bar.unit = self.state()
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
