"""The plan of a study: every run that was requested."""

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug import locks
from synthaug.errors import UserError
from synthaug.files import read_json, remove_unfinished, write_json
from synthaug.runs.layout import FORMAT, LOOKS, PLANNED, RunKey, require_number

DEFAULT_MARGIN = 1.0  # percentage points


@dataclass(frozen=True)
class PlannedRun:
    """A run that was requested.

    Attributes:
        key: which run.
        real: real images of its mix, a multiple of the real training set.
        synthetic: synthetic images of its mix, likewise.
        augment: the arm's own augmentation; None for the dataset's.
    """

    key: RunKey
    real: float
    synthetic: float
    augment: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StudyPlan:
    """What was requested of a study.

    Attributes:
        runs: sorted; none where nothing was planned.
        margin: smallest difference in accuracy that matters, in percentage points.
        looks: numbers of seeds, two or more, at which the study was reported.
    """

    runs: tuple[PlannedRun, ...]
    margin: float
    looks: tuple[int, ...] = ()


def plan(study: Path, runs: Iterable[PlannedRun], margin_points: float | None = None) -> None:
    """Add `runs` to the study's plan, so that a report can name the ones that never finished.

    Args:
        study: its folder.
        runs: that were requested.
        margin_points: smallest difference in accuracy that matters, in percentage points; None keeps the plan's.
    """
    study.mkdir(parents=True, exist_ok=True)
    with _locked(study):  # a cluster starts many commands at once
        remove_unfinished(study)
        recorded = _read(study)
        planned = {run.key: run for run in (*_runs(recorded), *runs)}
        margin = recorded["margin"] if margin_points is None else margin_points
        runs_by_key = [dataclasses.asdict(planned[key]) for key in sorted(planned)]
        updated = {"format": FORMAT, "margin": margin, "runs": runs_by_key}
        if updated != recorded:  # its time of change tells whether a report is up to date
            write_json(study / PLANNED, updated, editable=True)  # who deletes an entry drops a run


def record_looks(study: Path, looks: Iterable[int]) -> None:
    """Add to the looks at a study: whoever reports after each further seed tests more often.

    They have a file of their own, as the plan's time of change tells whether a report is up to date.

    Args:
        study: its folder.
        looks: numbers of seeds at which conclusions were drawn.
    """
    with _locked(study):
        recorded = _looks(study)
        together = sorted({*recorded, *looks})
        if together != recorded:
            write_json(study / LOOKS, {"format": FORMAT, "seeds": together})


def _locked(study: Path) -> AbstractContextManager[None]:
    return locks.exclusive(study / ".planned.lock", f"writes the plan of {study}")


def read_plan(study: Path) -> StudyPlan:
    """Return what was requested of a study.

    Raises:
        UserError: its plan is damaged.
    """
    content = _read(study)
    return StudyPlan(tuple(_runs(content)), float(content["margin"]), tuple(_looks(study)))


def _read(study: Path) -> dict[str, Any]:
    """Return the content of the plan, whose runs and margin can be used."""
    path = study / PLANNED
    if not path.is_file():
        return {"margin": DEFAULT_MARGIN, "runs": []}
    content = read_json(path)
    try:
        _runs(content)
        require_number(content["margin"], "margin")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from None
    return content


def _looks(study: Path) -> list[int]:
    path = study / LOOKS
    if not path.is_file():
        return []
    try:
        return [int(seeds) for seeds in read_json(path)["seeds"]]
    except (LookupError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def _runs(content: Mapping[str, Any]) -> list[PlannedRun]:
    runs = [PlannedRun(**{**entry, "key": RunKey.of(entry["key"])}) for entry in content["runs"]]
    for run in runs:
        require_number(run.real, "real")
        require_number(run.synthetic, "synthetic")
        if not isinstance(run.augment, Mapping | None):
            raise TypeError(f"augment is {run.augment!r}")
    return runs


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is damaged ({type(error).__name__}: {error}): bring it back from a copy, or move it away and run the "
        "same commands again."
    )
