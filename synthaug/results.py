"""The run folder and the study folder: where they are, what they hold, how they are written and found.

    <output_dir>/<experiment>/                                        the study
        planned.json                                                  every run that was ever asked for
        <dataset>/<generator>/<model>/<arm>/seed<k>/                  one run
            config.yaml  mix.csv  history.csv  predictions.csv  best.ckpt
            result.json                                               written last: the run is finished
            failed.json                                               the last attempt failed, and why
            shifts/<name>/predictions.csv  result.json                answers to a further test set

Everything here is plain text that outlives this program; nothing here imports torch.
"""

import csv
import dataclasses
import itertools
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from synthaug.errors import UserError
from synthaug.files import remove_unfinished, whole_file, write_text

log = logging.getLogger(__name__)

FORMAT = 1
RESULT, FAILED, CONFIG, MIX = "result.json", "failed.json", "config.yaml", "mix.csv"
PREDICTIONS, HISTORY, CHECKPOINT, LAST = "predictions.csv", "history.csv", "best.ckpt", "last.ckpt"
PLANNED = "planned.json"
SHIFTS = "shifts"
# What every report reads of a `result.json`; all versions have written it.
NEEDED = (
    "counts.real", "counts.synthetic", "counts.val", "test.accuracy", "test.calibration_error", "val.epoch",
    "training.steps", "training.epochs", "training.batch_size", "training.seconds", "data.val", "data.test",
    "machine", "versions", "started", "finished",
)  # fmt: skip
PROBABILITY = "p:"  # prefix of the probability columns: a class may be called "path"


@dataclass(frozen=True, order=True)
class RunKey:
    """What tells one run of a study from another; the folder below the study is made of it."""

    dataset: str
    generator: str
    model: str
    arm: str
    seed: int

    @property
    def folder(self) -> Path:
        """Path of the run below its study's folder."""
        return Path(self.dataset, self.generator, self.model, self.arm, f"seed{self.seed}")

    @property
    def label(self) -> str:
        """How the run is called in logs and in W&B."""
        return f"{self.arm}-seed{self.seed}"


@dataclass(frozen=True)
class PlannedRun:
    """A run that was asked for: the two numbers of its mix, and the augmentation that is its own, if it has one."""

    key: RunKey
    real: float
    synthetic: float
    augment: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Predictions:
    """Per-image answers on the test set, in the order of `paths`."""

    paths: list[str]
    labels: NDArray[np.int64]  # (N,)
    predicted: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float64]  # (N, classes)
    classes: list[str]


@dataclass(frozen=True)
class MixRow:
    """One image that was trained on. `origin` is "real" or "synthetic"."""

    path: str
    label: str
    origin: str
    sha256: str


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


def shift_folder(run: Path, name: str) -> Path:
    """Where a run keeps its answers to a further test set."""
    return run / SHIFTS / name


# --- writing ---------------------------------------------------------------------------------------


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically; a NaN is a mistake and raises ValueError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically, UTF-8, one header line."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_mix(folder: Path, rows: Iterable[MixRow]) -> None:
    """Write `mix.csv`: every image trained on."""
    names = [field.name for field in dataclasses.fields(MixRow)]
    write_rows(folder / MIX, names, (dataclasses.astuple(row) for row in rows))


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write `predictions.csv`: path, label, predicted and one probability per class, per test image."""
    names = predictions.classes
    write_rows(
        folder / PREDICTIONS,
        ["path", "label", "predicted", *(PROBABILITY + name for name in names)],
        (
            [path, names[label], names[guess], *(f"{p:.6g}" for p in probabilities)]
            for path, label, guess, probabilities in zip(
                predictions.paths,
                predictions.labels,
                predictions.predicted,
                predictions.probabilities,
                strict=True,
            )
        ),
    )


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


def finish(folder: Path, result: Mapping[str, Any]) -> None:
    """Mark a run as finished: `result.json` comes last; what only served a resume or told of a failure goes."""
    write_json(folder / RESULT, result)
    remove_unfinished(folder)
    (folder / FAILED).unlink(missing_ok=True)
    (folder / LAST).unlink(missing_ok=True)


def set_aside(folder: Path) -> Path:
    """Empty a run's folder by moving its files into `earlier<n>` below it; nothing is deleted."""
    number = next(n for n in itertools.count(1) if not (folder / f"earlier{n}").exists())
    aside = folder / f"earlier{number}"
    aside.mkdir()
    for path in list(folder.iterdir()):
        if not path.name.startswith(("earlier", ".")):
            path.rename(aside / path.name)
    return aside


# --- reading ---------------------------------------------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a damaged file is named."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}): move it away and run the same command again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold a JSON object: move it away and run the same command again.")
    return content


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


def read_predictions(folder: Path, probabilities: bool = True) -> Predictions:
    """Read what `write_predictions` wrote; without `probabilities`, which are most of it, (N, 0) stands for them."""
    stop = None if probabilities else 3
    with (folder / PREDICTIONS).open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        rows = [row[:stop] for row in reader]
    classes = [name.removeprefix(PROBABILITY) for name in header[3:]]
    number = {name: index for index, name in enumerate(classes)}
    return Predictions(
        paths=[row[0] for row in rows],
        labels=np.array([number[row[1]] for row in rows], dtype=np.int64),
        predicted=np.array([number[row[2]] for row in rows], dtype=np.int64),
        probabilities=np.array([[float(p) for p in row[3:]] for row in rows], dtype=np.float64),
        classes=classes,
    )


def read_mix(folder: Path) -> list[MixRow]:
    """Read what `write_mix` wrote."""
    with (folder / MIX).open(newline="", encoding="utf-8") as stream:
        return [MixRow(**row) for row in csv.DictReader(stream)]


def read_history(folder: Path) -> dict[str, list[float]]:
    """Learning curves: column name → one value per epoch (NaN where a cell is empty)."""
    with (folder / HISTORY).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name] or math.nan) for row in rows] for name in (rows[0] if rows else {})}


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


# --- what counts as the same run ------------------------------------------------------------------

_ABSENT = "absent"
# Where and how fast a run is computed, and who is told, does not change what it is.
_INCIDENTAL = {
    "experiment", "num_workers", "per_class", "output_dir", "overwrite", "logger", "shift", "prompts.name",
    "controls", "margin",
    "dataset.root", "dataset.on_bad_image", "dataset.prepare._target_",
    "generator.device", "generator.batch_size", "generator.classes",
    "generator.offload", "generator.slicing", "generator.tiling", "generator.compile", "generator.allow_pickle",
    "trainer.accelerator", "trainer.strategy", "trainer.log_every_n_steps",
}  # fmt: skip
# What a run from before such a key was thought of has, where that is not off.
_ALWAYS_WAS = {"budget": "epochs"}
# Nodes whose keys are arguments of what they name: one that is absent has the default of its target.
_ARGUMENTS = ("generator.", "model.", "trainer.")


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The keys in which two runs' settings differ, as "key: value there, value here"."""
    differing = differences(there, here).items()
    return [f"{key}: {old} there, {new} now" for key, (old, new) in differing]


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key → (value there, value here), where two runs' settings are not the same run's."""
    old, new = _flat(there), _flat(here)
    pairs = {key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in sorted({*old, *new})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not _is_new_and_off(key, pair)}


def _is_new_and_off(key: str, pair: tuple[Any, Any]) -> bool:
    """Whether a key is one that only a later version has, and changes nothing as it is."""
    value = next((value for value in pair if value != _ABSENT), None)
    return _ABSENT in pair and not key.startswith(_ARGUMENTS) and (not value or value == _ALWAYS_WAS.get(key))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in _INCIDENTAL:
            continue
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{key}.")
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat
