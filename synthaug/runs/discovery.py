"""The runs of a study as found on disk."""

import dataclasses
import functools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from synthaug.data.sample_list import Samples
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.messages import bullets
from synthaug.runs import contents
from synthaug.runs.factors import run_label
from synthaug.runs.identity import FOLDS, SHOTS, arm_settings, has_synthetic, image_numbers
from synthaug.runs.layout import (
    CONFIG,
    FAILED,
    FORMAT,
    MIX,
    PLANNED,
    RESULT,
    SHIFTS,
    STUDY_DEPTH,
    RunKey,
    mix_file,
    require_number,
)
from synthaug.runs.planning import ArmKey, PlannedRun, StudyPlan, names_of_arms, read_plan, require_fold

log = logging.getLogger(__name__)

# What every report reads of a `result.json`, and of what type it is; "*" stands for any name.
REQUIRED: Mapping[str, type] = {
    **dict.fromkeys(("counts.real", "counts.synthetic", "counts.val", "val.epoch", "val.n_selection"), int),
    **dict.fromkeys(("training.steps", "training.epochs", "training.batch_size"), int),
    **dict.fromkeys(("test.accuracy", "test.calibration_error", "training.seconds"), float),
    **dict.fromkeys(("data.val", "data.test"), str),
    **dict.fromkeys(("started", "finished"), datetime),
    **dict.fromkeys(("machine", "versions", "settings"), Mapping),
}
# What some of them have besides.
OPTIONAL: Mapping[str, type] = {
    **dict.fromkeys(("counts.test", "counts.left_out", "counts.per_class.*.real", "counts.per_class.*.synthetic"), int),
    "val.images": int,
    **dict.fromkeys(("test.macro_f1", "test.class_accuracy.*", "val.accuracy", "training.passes"), float),
    **dict.fromkeys(("counts.per_class", "counts.per_class.*", "test.class_accuracy", "data.scanned"), Mapping),
    **dict.fromkeys(("settings.model", "settings.generator"), Mapping),
    **dict.fromkeys(("data.train", "data.synthetic"), str),
}


@dataclass(frozen=True)
class Run:
    """One run as it is on disk.

    Attributes:
        key: which run.
        folder: where it is.
        settings: of its arm, from `identity.arm_settings`.
        arm: name of the arm, unique among those of its study and dataset.
        state: "finished", "failed", "unfinished" or "missing".
        result: content of `result.json` of a finished run.
        failure: content of `failed.json` of a failed one.
    """

    key: RunKey
    folder: Path
    settings: Mapping[str, Any]
    arm: str
    state: str
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """Name of the run."""
        return run_label(self.arm, self.key)

    @property
    def folds(self) -> int | None:
        """Number of folds of its arm; None where all of its runs have the same test images."""
        return self.settings.get(FOLDS)

    @property
    def real(self) -> float:
        """Real images of its mix, a multiple of the real training set."""
        return float(self.settings["mix.real"])

    @property
    def synthetic(self) -> float:
        """Synthetic images of its mix, likewise."""
        return float(self.settings["mix.synthetic"])

    @property
    def has_synthetic(self) -> bool:
        """Whether its mix has synthetic images, as a multiple or in numbers."""
        return has_synthetic(self.settings)

    @functools.cached_property
    def image_numbers(self) -> Mapping[str, Any]:
        """What its mix says in numbers of images instead of multiples, see `identity.image_numbers`."""
        return image_numbers(self.settings)

    @functools.cached_property
    def augment(self) -> Mapping[str, Any]:
        """The arm's own augmentation; empty for the dataset's."""
        start = "mix.augment."
        return {key.removeprefix(start): value for key, value in self.settings.items() if key.startswith(start)}

    @property
    def mix(self) -> Samples:
        """The training images that it listed; a table is read once, the rows of shared lists are not kept."""
        is_table = mix_file(self.folder).name == MIX
        return self._listed if is_table else contents.read_mix(self.folder, self.result)

    @functools.cached_property
    def _listed(self) -> Samples:
        return contents.read_mix(self.folder, self.result)

    @functools.cached_property
    def history(self) -> Mapping[str, Sequence[float]]:
        """The learning curves of its `history.csv`, read once."""
        return contents.read_history(self.folder, self.result)

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
        UserError: it lacks some of that, and is as damaged as if it were not JSON.
    """
    if "format" not in result:
        raise _damaged(folder, "it lacks format")
    if result["format"] != FORMAT:
        return
    missing = [name for name in REQUIRED if not any(True for _ in _values(result, name))]
    problems = [f"it lacks {', '.join(missing)}"] if missing else []
    problems += [
        f"{name} is {value!r:.60}"
        for types, is_required in ((REQUIRED, True), (OPTIONAL, False))
        for name, kind in types.items()
        for value in _values(result, name)
        if not _is(value, kind) and (is_required or value is not None)
    ]
    if problems:
        raise _damaged(folder, "; ".join(problems))


def _values(content: Any, name: str) -> Iterator[Any]:
    """Yield what stands under a dotted name."""
    first, _, rest = name.partition(".")
    if isinstance(content, Mapping):
        for key in content if first == "*" else (first,):
            if key in content:
                yield from _values(content[key], rest) if rest else (content[key],)


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is not datetime:
        return type(value) is kind or (kind is Mapping and isinstance(value, Mapping))
    try:
        return bool(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def _damaged(folder: Path, problem: str) -> UserError:
    return UserError(f"{folder / RESULT} is damaged ({problem}): move {folder} away and run the same command again.")


def _identified(result: Mapping[str, Any], folder: Path) -> tuple[RunKey, Mapping[str, Any]]:
    """Return which run a result is of, and the settings of its arm.

    Raises:
        UserError: it says nothing of the kind, or is in the folder of another run.
    """
    try:
        key, settings = RunKey.of(result), arm_settings(result["settings"])
        for name in ("mix.real", "mix.synthetic"):
            require_number(settings[name], name)
        require_fold(key, settings)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from None
    name = folder.resolve().name
    if name.startswith("seed") and name != key.folder.name:
        raise _damaged(folder, f"it is of {key.folder.name}")
    return key, settings


def read_run(folder: Path, run: PlannedRun, arm: str) -> Run:
    """Read the state of one run.

    Args:
        folder: of the run.
        run: which run.
        arm: name of its arm.
    """
    state = "unfinished" if (folder / CONFIG).is_file() else "missing"
    current = Run(run.key, folder, run.settings, arm, state)
    try:
        if (folder / RESULT).is_file():
            result = read_json(folder / RESULT)
            if "format" not in result:
                raise _damaged(folder, "it lacks format")
            if result["format"] == FORMAT:
                key, settings = _identified(result, folder)
                differing = sorted(
                    name for name in {*settings, *run.settings} if settings.get(name) != run.settings.get(name)
                )
                if key != run.key or differing:
                    what = f"with other {', '.join(differing[:5])}" if differing else f"the run {key.folder}"
                    raise _damaged(folder, f"it is of a run {what}, by {PLANNED}")
            return dataclasses.replace(current, state="finished", result=result)
        if (folder / FAILED).is_file():
            return dataclasses.replace(current, state="failed", failure=read_json(folder / FAILED))
    except UserError as error:
        return dataclasses.replace(current, state="failed", failure={"error": str(error), "type": "damaged"})
    return current


def load_run(folder: Path) -> Run:
    """Load the finished run in a folder.

    Raises:
        UserError: there is none; what the folder is instead is named, with the runs in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is not a folder"
        example = "outputs/default/digits/real-*/seed0"
        raise UserError(f"{folder} {what}. Give the folder of a run, e.g. {example}.")
    if not (folder / RESULT).is_file():
        raise _no_result(folder)
    result = read_json(folder / RESULT)
    if "format" in result and result["format"] != FORMAT:
        raise UserError(
            f"{folder / RESULT} has format {result.get('format')}, this version reads {FORMAT}: use "
            f"the version of synthaug that wrote it ({next(_values(result, 'versions.synthaug'), 'not recorded')})."
        )
    key, settings = _identified(result, folder)
    check_result(result, folder)
    study = study_of(folder)
    names = names_of_arms({(key.dataset, key.arm): settings, **_planned_arms(study)})
    return Run(key, folder, settings, names[key.dataset, key.arm], "finished", result)


def study_of(folder: Path) -> Path:
    """Return the folder of the study that a run's folder lies in."""
    return folder.resolve().parents[STUDY_DEPTH - 1]


def _planned_arms(study: Path) -> dict[ArmKey, Mapping[str, Any]]:
    """Return the settings of the arms that a study plans; of none where the plan cannot be read."""
    try:
        return {run.arm: run.settings for run in read_plan(study).runs}
    except UserError:  # a run is explained all the same
        return {}


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


def existing_runs(study: Path) -> list[Run]:
    """Return the runs of a study as `find_runs` does.

    Raises:
        UserError: the folder is missing, or is not a study.
    """
    runs = find_runs(study) if study.is_dir() else []
    if not runs:
        raise UserError(f"{study} is not a study: give the folder of one, e.g. outputs/default.")
    return runs


def find_runs(study: Path, plan: StudyPlan | None = None) -> list[Run]:
    """Return every run of a study, planned or on disk, by dataset, synthetic share, arm and seed.

    Args:
        study: its folder.
        plan: of the study; read by default.
    """
    planned = {run.key: run for run in (plan or read_plan(study)).runs}
    folders = {study / key.folder for key in planned}
    results = {}
    for path in sorted(study.glob(f"*/*/seed*/{RESULT}")):
        if path.parent in folders:
            continue
        try:
            result = read_json(path)
            key, settings = _identified(result, path.parent)
            if study / key.folder != path.parent:
                raise _damaged(path.parent, f"it is of the run {key.folder}")
        except UserError as error:
            log.warning("%s belongs to no planned run and cannot be read, so it is left out: %s", path, error)
            continue
        planned[key], results[key] = PlannedRun(key, settings), result
    names = names_of_arms({run.arm: run.settings for run in planned.values()})
    runs = [
        Run(key, study / key.folder, run.settings, names[run.arm], "finished", results[key])
        if key in results
        else read_run(study / key.folder, run, names[run.arm])
        for key, run in planned.items()
    ]
    return sorted(runs, key=_order)


def _order(run: Run) -> tuple[object, ...]:
    total = run.real + run.synthetic
    fraction = run.synthetic / total if total else 0.0
    # The baseline before all that have no synthetic image either, whether they have fewer real ones or more.
    distance = abs(1 - run.real)
    multiples = (run.has_synthetic, fraction, distance, run.real)
    numbers = (bool(run.image_numbers), run.image_numbers.get(SHOTS, 0))  # after the arms of multiples; shots ascend
    key = run.key
    return (key.dataset, *multiples, *numbers, bool(run.augment), run.arm, key.arm, key.seed, key.fold or 0)
