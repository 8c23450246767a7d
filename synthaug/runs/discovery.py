"""The runs of a study as found on disk."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.runs.layout import CONFIG, FAILED, FORMAT, RESULT, RunKey
from synthaug.runs.planning import read_plan

log = logging.getLogger(__name__)

# What every report reads of a `result.json`; all versions have written it.
NEEDED = (
    "counts.real", "counts.synthetic", "counts.val", "test.accuracy", "test.calibration_error", "val.epoch",
    "training.steps", "training.epochs", "training.batch_size", "training.seconds", "data.val", "data.test",
    "machine", "versions", "started", "finished",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run as found on disk. `state` is "finished", "failed", "unfinished" or "missing"."""

    key: RunKey
    folder: Path
    real: float
    synthetic: float
    state: str
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    augment: Mapping[str, Any] | None = None  # what the arm has in place of the dataset's augmentation


def check_result(result: Mapping[str, Any], folder: Path) -> None:
    """Raise UserError where a result of this format lacks what reports read: that is as damaged as no JSON at all."""
    lacking = [name for name in NEEDED if not _has(result, name)] if result.get("format") == FORMAT else []
    if lacking:
        raise UserError(
            f"{folder / RESULT} is damaged (it lacks {', '.join(lacking)}): move it away and run the same command "
            "again."
        )


def _has(content: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return False
        content = content[part]
    return True


def read_run(folder: Path, key: RunKey, real: float, synthetic: float, augment: Mapping[str, Any] | None = None) -> Run:
    """The state of one run's folder."""
    begun = "unfinished" if (folder / CONFIG).is_file() else "missing"
    found = Run(key, folder, real, synthetic, begun, augment=augment)
    try:
        if (folder / RESULT).is_file():
            return dataclasses.replace(found, state="finished", result=read_json(folder / RESULT))
        if (folder / FAILED).is_file():
            return dataclasses.replace(found, state="failed", failure=read_json(folder / FAILED))
    except UserError as error:
        return dataclasses.replace(found, state="failed", failure={"error": str(error), "type": "damaged"})
    return found


def find_runs(study: Path) -> list[Run]:
    """Every run of a study, planned or found, sorted by dataset, generator, model, synthetic share and seed."""
    runs = {
        run.key: read_run(study / run.key.folder, run.key, run.real, run.synthetic, run.augment)
        for run in read_plan(study)
    }
    planned = {run.folder for run in runs.values()}
    for path in sorted(study.glob(f"*/*/*/*/seed*/{RESULT}")):
        if path.parent in planned:
            continue
        try:
            result = read_json(path)
            key = RunKey(result["dataset"], result["generator"], result["model"], result["arm"], result["seed"])
            mix = result["mix"]
        except (UserError, KeyError) as error:
            log.warning("%s belongs to no planned run and cannot be read, so it is left out: %s", path, error)
            continue
        runs[key] = Run(
            key, path.parent, mix["real"], mix["synthetic"], "finished", result=result, augment=mix.get("augment")
        )
    return sorted(runs.values(), key=_order)


def _order(run: Run) -> tuple[object, ...]:
    total = run.real + run.synthetic
    fraction = run.synthetic / total if total else 0.0
    key = run.key
    # The baseline before all that have no synthetic image either, whether they have fewer real ones or more.
    away = abs(1 - run.real)
    return (key.dataset, key.generator, key.model, fraction, away, run.real, bool(run.augment), key.arm, key.seed)
