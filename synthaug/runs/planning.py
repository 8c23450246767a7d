"""The plan of a study: every run that was requested."""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from synthaug.files import read_json, write_json
from synthaug.runs.layout import FORMAT, PLANNED, RunKey

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """A run that was asked for: the two numbers of its mix, and the augmentation that is its own, if it has one."""

    key: RunKey
    real: float
    synthetic: float
    augment: Mapping[str, Any] | None = None


def plan(study: Path, runs: Iterable[PlannedRun], margin: float | None = None) -> None:
    """Add `runs` to the study's plan, so that a report can name the ones that never finished.

    Args:
        study: its folder.
        runs: that were asked for.
        margin: the smallest difference that matters, in points; None leaves the one that the plan has.
    """
    study.mkdir(parents=True, exist_ok=True)
    with FileLock(study / ".planned.lock"):  # a cluster starts many commands at once
        known = {run.key: run for run in read_plan(study)}
        known.update({run.key: run for run in runs})
        points = 100 * read_margin(study) if margin is None else margin
        write_json(
            study / PLANNED,
            {"format": FORMAT, "margin": points, "runs": [dataclasses.asdict(known[key]) for key in sorted(known)]},
        )


def read_plan(study: Path) -> list[PlannedRun]:
    """The runs that were asked for, sorted; empty where nothing was planned."""
    path = study / PLANNED
    if not path.is_file():
        return []
    return [
        PlannedRun(RunKey(**entry["key"]), entry["real"], entry["synthetic"], entry.get("augment"))
        for entry in read_json(path)["runs"]
    ]


def read_margin(study: Path) -> float:
    """The smallest difference that matters to a study, a fraction; plans of earlier versions mean one point."""
    path = study / PLANNED
    return float(read_json(path).get("margin", 1.0)) / 100 if path.is_file() else 0.01
