"""The runs of a study as found on disk."""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.messages import bullets
from synthaug.runs import contents
from synthaug.runs.contents import MixRow
from synthaug.runs.layout import CONFIG, FAILED, FORMAT, PLANNED, RESULT, SHIFTS, STUDY_DEPTH, RunKey
from synthaug.runs.planning import StudyPlan, read_plan

log = logging.getLogger(__name__)

# What every report reads of a `result.json`.
REQUIRED = (
    "counts.real", "counts.synthetic", "counts.val", "test.accuracy", "test.calibration_error", "val.epoch",
    "training.steps", "training.epochs", "training.batch_size", "training.seconds", "data.val", "data.test",
    "machine", "versions", "started", "finished",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run as it is on disk.

    Attributes:
        key: which run.
        folder: where it is.
        real: real images of its mix, a multiple of the real training set.
        synthetic: synthetic images of its mix, likewise.
        state: "finished", "failed", "unfinished" or "missing".
        result: content of `result.json` of a finished run.
        failure: content of `failed.json` of a failed one.
        augment: the arm's own augmentation; None for the dataset's.
    """

    key: RunKey
    folder: Path
    real: float
    synthetic: float
    state: str
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    augment: Mapping[str, Any] | None = None

    @functools.cached_property
    def mix(self) -> Sequence[MixRow]:
        """The training images that its `mix.csv` lists, read once."""
        return contents.read_mix(self.folder)

    @functools.cached_property
    def shift_sets(self) -> frozenset[str]:
        """Names of the shift sets that it was evaluated on."""
        return frozenset(path.parent.name for path in (self.folder / SHIFTS).glob(f"*/{RESULT}"))


def check_result(result: Mapping[str, Any], folder: Path) -> None:
    """Check that a result of this format has what reports read.

    Args:
        result: content of `result.json`.
        folder: of the run.

    Raises:
        UserError: it lacks some of that, and is as damaged as if it were no JSON.
    """
    missing = [name for name in REQUIRED if not _has(result, name)] if result.get("format") == FORMAT else []
    if missing:
        raise UserError(
            f"{folder / RESULT} is damaged (it lacks {', '.join(missing)}): move it away and run the same command "
            "again."
        )


def _has(content: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return False
        content = content[part]
    return True


def read_run(folder: Path, key: RunKey, real: float, synthetic: float, augment: Mapping[str, Any] | None = None) -> Run:
    """Read the state of one run.

    Args:
        folder: of the run.
        key: which run.
        real: real images of its mix, a multiple of the real training set.
        synthetic: synthetic images of its mix, likewise.
        augment: the arm's own augmentation.
    """
    state = "unfinished" if (folder / CONFIG).is_file() else "missing"
    run = Run(key, folder, real, synthetic, state, augment=augment)
    try:
        if (folder / RESULT).is_file():
            return dataclasses.replace(run, state="finished", result=read_json(folder / RESULT))
        if (folder / FAILED).is_file():
            return dataclasses.replace(run, state="failed", failure=read_json(folder / FAILED))
    except UserError as error:
        return dataclasses.replace(run, state="failed", failure={"error": str(error), "type": "damaged"})
    return run


def load_run(folder: Path) -> Run:
    """Load the finished run in a folder.

    Raises:
        UserError: there is none; what the folder is instead is named, with the runs in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is no folder"
        example = "outputs/default/digits/tiny_digits/resnet18/real/seed0"
        raise UserError(f"{folder} {what}. Give the folder of a run, e.g. {example}.")
    if not (folder / RESULT).is_file():
        raise _no_result(folder)
    result = read_json(folder / RESULT)
    check_result(result, folder)
    try:
        if result["format"] != FORMAT:
            raise UserError(
                f"{folder / RESULT} has format {result['format']}, this version reads {FORMAT}: use "
                f"the version of synthaug that wrote it ({result.get('versions', {}).get('synthaug', 'not recorded')})."
            )
        key = RunKey(**{field.name: result[field.name] for field in dataclasses.fields(RunKey)})
        mix = result["mix"]
        return Run(key, folder, mix["real"], mix["synthetic"], "finished", result, augment=mix.get("augment"))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / RESULT} is damaged ({error!r}): move {folder} away and run the same command again."
        ) from None


def _no_result(folder: Path) -> UserError:
    """Return what a folder without a result is, and the next step."""
    if (folder / FAILED).is_file():
        error = read_json(folder / FAILED).get("error", "")
        return UserError(
            f"The run {folder} failed, so it has no result: {error}\nRun the command that trained it again."
        )
    if (folder / CONFIG).is_file():
        return UserError(f"The run {folder} is not finished, so it has no result: run the same command again.")
    patterns = (f"{'*/' * depth}{RESULT}" for depth in range(1, STUDY_DEPTH + 2))
    inside = [str(path.parent) for pattern in patterns for path in sorted(folder.glob(pattern))]
    if not inside:
        return UserError(f"{folder} holds no run. Give the folder of a run: it has a {RESULT}.")
    what = "is a study" if (folder / PLANNED).is_file() else "is not a run itself"
    return UserError(f"{folder} {what}. Give one of its runs:\n{bullets(inside)}")


def find_runs(study: Path, plan: StudyPlan | None = None) -> list[Run]:
    """Return every run of a study, planned or on disk, by dataset, generator, model, synthetic share and seed.

    Args:
        study: its folder.
        plan: of the study; read by default.
    """
    runs = {
        run.key: read_run(study / run.key.folder, run.key, run.real, run.synthetic, run.augment)
        for run in (plan or read_plan(study)).runs
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
    distance = abs(1 - run.real)
    return (key.dataset, key.generator, key.model, fraction, distance, run.real, bool(run.augment), key.arm, key.seed)
