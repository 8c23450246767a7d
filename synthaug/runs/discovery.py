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

from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.messages import bullets
from synthaug.runs import contents
from synthaug.runs.contents import MixRow
from synthaug.runs.layout import (
    CONFIG,
    FAILED,
    FORMAT,
    PLANNED,
    RESULT,
    SHIFTS,
    STUDY_DEPTH,
    RunKey,
    require_number,
)
from synthaug.runs.planning import StudyPlan, read_plan

log = logging.getLogger(__name__)

# What every report reads of a `result.json`, and of what type it is; "*" stands for any name.
REQUIRED: Mapping[str, type] = {
    **dict.fromkeys(("counts.real", "counts.synthetic", "counts.val", "val.epoch", "training.steps"), int),
    **dict.fromkeys(("training.epochs", "training.batch_size"), int),
    **dict.fromkeys(("test.accuracy", "test.calibration_error", "training.seconds"), float),
    **dict.fromkeys(("data.val", "data.test"), str),
    **dict.fromkeys(("started", "finished"), datetime),
    **dict.fromkeys(("machine", "versions"), Mapping),
}
# What some of them have besides.
OPTIONAL: Mapping[str, type] = {
    **dict.fromkeys(("counts.test", "counts.left_out", "counts.per_class.*.real", "counts.per_class.*.synthetic"), int),
    **dict.fromkeys(("test.macro_f1", "test.class_accuracy.*", "val.accuracy", "training.passes"), float),
    **dict.fromkeys(("counts.per_class", "counts.per_class.*", "test.class_accuracy", "data.scanned"), Mapping),
    **dict.fromkeys(("settings", "settings.model", "settings.generator", "mix.augment"), Mapping),
    **dict.fromkeys(("data.train", "data.synthetic"), str),
}


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
        UserError: it lacks some of that, and is as damaged as if it were no JSON.
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


def _identified(result: Mapping[str, Any], folder: Path) -> tuple[RunKey, float, float, Mapping[str, Any] | None]:
    """Return which run a result is of: its names, and the numbers and the augmentation of its mix.

    Raises:
        UserError: it says nothing of the kind, or is in the folder of another seed.
    """
    try:
        key, mix = RunKey.of(result), result["mix"]
        for name in ("real", "synthetic"):
            require_number(mix[name], f"mix.{name}")
    except (LookupError, TypeError, ValueError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from None
    name = folder.resolve().name
    if name.startswith("seed") and name != key.folder.name:
        raise _damaged(folder, f"it is of {key.folder.name}")
    return key, mix["real"], mix["synthetic"], mix.get("augment")


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
            result = read_json(folder / RESULT)
            if "format" not in result:
                raise _damaged(folder, "it lacks format")
            if result["format"] == FORMAT and (recorded := _identified(result, folder)[:3]) != (
                key,
                real,
                synthetic,
            ):
                what = f"the run {recorded[0].folder} with real={recorded[1]:g} synthetic={recorded[2]:g}"
                raise _damaged(folder, f"it is of {what}; {PLANNED} has real={real:g} synthetic={synthetic:g}")
            return dataclasses.replace(run, state="finished", result=result)
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
    if "format" in result and result["format"] != FORMAT:
        raise UserError(
            f"{folder / RESULT} has format {result.get('format')}, this version reads {FORMAT}: use "
            f"the version of synthaug that wrote it ({next(_values(result, 'versions.synthaug'), 'not recorded')})."
        )
    key, real, synthetic, augment = _identified(result, folder)
    check_result(result, folder)
    return Run(key, folder, real, synthetic, "finished", result, augment=augment)


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
            key, real, synthetic, augment = _identified(result, path.parent)
            if study / key.folder != path.parent:
                raise _damaged(path.parent, f"it is of the run {key.folder}")
        except UserError as error:
            log.warning("%s belongs to no planned run and cannot be read, so it is left out: %s", path, error)
            continue
        runs[key] = Run(key, path.parent, real, synthetic, "finished", result=result, augment=augment)
    return sorted(runs.values(), key=_order)


def _order(run: Run) -> tuple[object, ...]:
    total = run.real + run.synthetic
    fraction = run.synthetic / total if total else 0.0
    key = run.key
    # The baseline before all that have no synthetic image either, whether they have fewer real ones or more.
    distance = abs(1 - run.real)
    return (key.dataset, key.generator, key.model, fraction, distance, run.real, bool(run.augment), key.arm, key.seed)
