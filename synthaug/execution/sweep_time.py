"""How long the rest of a sweep takes, from what its finished runs took."""

import heapq
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

from synthaug.config.job import Job
from synthaug.execution.parallelism import ONE, Concurrency, Load
from synthaug.files import read_json
from synthaug.messages import plural
from synthaug.runs.layout import RESULT


class Pace:
    """What runs took, from which follows what others of the same dataset and network will take.

    Args:
        jobs: of the sweep, of which some may be finished.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._seconds: dict[str, dict[Path, tuple[float, float]]] = {}  # kind of run → folder → (work, seconds)
        for job in jobs:
            if (job.folder / RESULT).is_file():
                self.record(job, run_seconds(read_json(job.folder / RESULT)))

    def record(self, job: Job, seconds: float) -> None:
        """Note what a run has taken, or is expected to.

        Args:
            job: the run.
            seconds: of it.
        """
        self._seconds.setdefault(_kind(job), {})[job.folder] = (_work(job), seconds)

    def estimate(self, job: Job) -> float | None:
        """Return the mean of the runs with as many images, else that of all of them, scaled by the number of images."""
        work, measured = _work(job), self._seconds.get(_kind(job), {}).values()
        same = [seconds for run_work, seconds in measured if run_work == work]
        scaled = same or [seconds / run_work * work for run_work, seconds in measured]
        return mean(scaled) if scaled else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was noted."""
        return not self._seconds


def makespan(
    running: Iterable[float | None], waiting: Iterable[float | None], concurrency: Concurrency
) -> float | None:
    """Return the seconds until all runs are finished, each worker taking the next one; None where one is unknown.

    Args:
        running: seconds left of each run that works.
        waiting: seconds of each one that is still to begin, in their order.
        concurrency: how many work at a time; the last ones share what as many others had.
    """
    lengths = [list(running), list(waiting)]
    ends, later = ([seconds for seconds in part if seconds is not None] for part in lengths)
    if len(ends) + len(later) < sum(map(len, lengths)):
        return None
    ends += [0.0] * (concurrency.runs - len(ends))
    heapq.heapify(ends)
    for number, seconds in enumerate(later):
        begins = ends[0]
        if sum(end > begins for end in ends) + len(later) - number <= concurrency.last:
            left = [*(end - begins for end in ends), *later[number:]]
            return begins + max(max(left), sum(left) / concurrency.runs)
        heapq.heapreplace(ends, begins + seconds)
    return max(ends, default=0.0)


def expected_seconds(jobs: Iterable[Job], current: Job) -> tuple[float | None, float | None]:
    """Return what a run will take, and all those after it; None where no finished run tells.

    Args:
        jobs: of the sweep, in their order.
        current: one of them.
    """
    jobs = list(jobs)
    pace = Pace(job for job in jobs if job != current)
    pending = [job for job in jobs[jobs.index(current) :] if job == current or not (job.folder / RESULT).is_file()]
    expected, *later = [pace.estimate(job) for job in pending]
    return expected, makespan([], later, ONE) if later or not pace.is_empty else None


def extent(jobs: Iterable[Job], loads: Mapping[Path, Load], device: str = "", concurrency: Concurrency = ONE) -> str:
    """Say how many runs a sweep has, and what they will take of time and disk as far as that is known; "" if nothing.

    Args:
        jobs: of the sweep.
        loads: folder of a run → what it needs.
        device: what they will be computed on; "" where that is not known.
        concurrency: how many runs work at a time.
    """
    jobs = list(jobs)
    arms = len({(job.study, job.key.dataset, job.key.arm) for job in jobs})
    pending = [job for job in jobs if not (job.folder / RESULT).is_file()]
    if not pending:
        return ""
    text = f"{plural(len(jobs), 'run')} of {plural(arms, 'arm')}"
    if len(pending) < len(jobs):
        text += f", {len(jobs) - len(pending):,} finished"
    if concurrency.runs > 1:
        text += f", {concurrency.runs} at a time"
    pace = Pace(jobs)
    if (seconds := makespan([], map(pace.estimate, pending), concurrency)) is not None:
        from synthaug.analysis.text.format import duration  # scipy, which a finished sweep does without

        text += f"; about {duration(seconds)}"
    if device:
        text += f"; on {device}"
    if loads:
        size = sum(loads[job.folder].checkpoint for job in pending if job.folder in loads)
        text += f"; checkpoints of {size / 1e6:,.0f} MB"
    return text


def run_seconds(result: Mapping[str, Any]) -> float:
    """Return how long a finished run took: its last attempt, or all of its epochs where that is longer."""
    started, finished = (datetime.fromisoformat(result[name]) for name in ("started", "finished"))
    return max((finished - started).total_seconds(), float(result["training"]["seconds"]))


def _kind(job: Job) -> str:
    """Return what runs must share to take equally long for an image."""
    return repr((job.key.dataset, job.settings["model"]))


def _work(job: Job) -> float:
    """Return how often an image is trained on, as a multiple of the real training set."""
    trainer, mix = job.settings["trainer"], job.settings["mix"]
    per_epoch = mix["real"] + mix["synthetic"] if job.settings["budget"] == "epochs" else 1.0
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
    return float(steps) if steps is not None and steps > 0 else per_epoch * (epochs or 1)
