"""How long the rest of a sweep takes, from what its finished runs took."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

from synthaug.config.job import Job
from synthaug.files import read_json
from synthaug.messages import plural
from synthaug.runs.layout import RESULT


def expected_seconds(jobs: Iterable[Job], current: Job) -> tuple[float | None, float | None]:
    """Return what a run will take, and all those after it; None where no finished run tells.

    Args:
        jobs: of the sweep, in their order.
        current: one of them.
    """
    jobs = list(jobs)
    finished = [job for job in jobs if job != current and (job.folder / RESULT).is_file()]
    measured = [(job, run_seconds(read_json(job.folder / RESULT))) for job in finished]
    expected, *later = (
        _estimate(job, [pair for pair in measured if _is_comparable(pair[0], job)])
        for job in jobs[jobs.index(current) :]
        if job not in finished
    )
    estimates = [seconds for seconds in later if seconds is not None]
    return expected, sum(estimates) if len(estimates) == len(later) and (estimates or finished) else None


def extent(jobs: Iterable[Job], weights: Mapping[Path, int], device: str = "") -> str:
    """Say how many runs a sweep has, and what they will take of time and disk as far as that is known; "" if nothing.

    Args:
        jobs: of the sweep.
        weights: folder of a run → bytes of its network's weights.
        device: what they will be computed on; "" where that is not known.
    """
    jobs = list(jobs)
    arms = len({(job.study, job.key.dataset, job.key.arm) for job in jobs})
    pending = [job for job in jobs if not (job.folder / RESULT).is_file()]
    if not pending:
        return ""
    text = f"{plural(len(jobs), 'run')} of {plural(arms, 'arm')}"
    if len(pending) < len(jobs):
        text += f", {len(jobs) - len(pending):,} finished"
    first, later = expected_seconds(jobs, pending[0])
    if first is not None and later is not None:
        from synthaug.analysis.text.format import duration  # scipy, which a finished sweep does without

        text += f"; about {duration(first + later)}"
    if device:
        text += f"; on {device}"
    if weights:
        text += f"; checkpoints of {sum(weights.get(job.folder, 0) for job in pending) / 1e6:,.0f} MB"
    return text


def run_seconds(result: Mapping[str, Any]) -> float:
    """Return how long a finished run took: its last attempt, or all of its epochs where that is longer."""
    started, finished = (datetime.fromisoformat(result[name]) for name in ("started", "finished"))
    return max((finished - started).total_seconds(), float(result["training"]["seconds"]))


def _is_comparable(measured: Job, job: Job) -> bool:
    return (measured.key.dataset, measured.settings["model"]) == (job.key.dataset, job.settings["model"])


def _estimate(job: Job, measured: Collection[tuple[Job, float]]) -> float | None:
    """Return the mean of the runs with as many images, else that of all of them, scaled by the number of images."""
    work = _work(job)
    same = [seconds for run, seconds in measured if _work(run) == work]
    scaled = same or [seconds / _work(run) * work for run, seconds in measured]
    return mean(scaled) if scaled else None


def _work(job: Job) -> float:
    """Return how often an image is trained on, as a multiple of the real training set."""
    trainer, mix = job.settings["trainer"], job.settings["mix"]
    per_epoch = mix["real"] + mix["synthetic"] if job.settings["budget"] == "epochs" else 1.0
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
    return float(steps) if steps is not None and steps > 0 else per_epoch * (epochs or 1)
