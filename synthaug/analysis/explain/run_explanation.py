"""From a run's numbers back to what they were counted from: predictions, learning curve, mix, files, provenance.

Every number of `result.json` that the files beside it give again is counted again; where the two differ, that is a
problem by name.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.explain.prediction_counts import PredictionCounts, count_predictions
from synthaug.analysis.training_images import TrainingImage, locator, training_images
from synthaug.data.samples import REAL, SYNTHETIC, Sample, Samples, digest
from synthaug.errors import UserError
from synthaug.files import write_rows
from synthaug.generation.manifest import ManifestRow
from synthaug.runs import contents, discovery, layout
from synthaug.runs.contents import UnreadableFileError
from synthaug.runs.discovery import Run
from synthaug.runs.epoch_choice import epoch_to_test

IMAGES_UNKNOWN = "training_images_unknown"  # a problem
_TOLERANCE = 1e-4  # result.json has single-precision metrics
_MANIFEST_COLUMNS = [
    field.name for field in fields(ManifestRow) if field.name not in ("class_name", "index", "rejected", "sha256")
]


@dataclass(frozen=True)
class Explanation:
    """A run with everything that its numbers come from.

    Attributes:
        run: a finished run.
        study: folder of its study.
        counts: None where the predictions cannot be read.
        history: learning curves, column name → one value per epoch; None where history.csv cannot be read.
        images: that it was trained on; None where their list cannot be read.
        problems: where the run's files contradict one another, or cannot be read.
    """

    run: Run
    study: Path
    counts: PredictionCounts | None
    history: Mapping[str, Sequence[float]] | None
    images: tuple[TrainingImage, ...] | None
    problems: tuple[Reason, ...]

    @property
    def result(self) -> Mapping[str, Any]:
        """The content of `result.json`."""
        assert self.run.result is not None, "only finished runs are explained"
        return self.run.result

    @property
    def synthetic(self) -> list[TrainingImage]:
        """The synthetic training images."""
        return [image for image in self.images or () if image.row.origin == SYNTHETIC]

    @property
    def pretrain_epochs(self) -> int:
        """Epochs on synthetic images alone, among which no checkpoint is chosen."""
        return pretrain_epochs(self.result)


def explain(folder: Path) -> Explanation:
    """Collect everything that a finished run's numbers come from.

    Raises:
        UserError: `folder` is not that of a finished run.
    """
    run = discovery.load_run(folder)
    study = discovery.study_of(folder)
    problems: list[Reason] = []
    counts = _counts(run, problems)
    history = _history(run, problems)
    images = _images(run, study, problems)
    return Explanation(run, study, counts, history, images, tuple(problems))


def write_images(explanation: Explanation, file: Path) -> None:
    """Write every training image as CSV: class, origin and hash, its state now, and its manifest row if there is one.

    Args:
        explanation: of the run.
        file: to be written.

    Raises:
        UserError: the list of the run's images cannot be read.
    """
    if explanation.images is None:
        errors = [problem.data["error"] for problem in explanation.problems if problem.code == IMAGES_UNKNOWN]
        raise UserError(f"{file} is not written: {layout.MIX} cannot be read ({'; '.join(errors)}).")
    header = ["path", "label", "origin", "sha256", "state", *_MANIFEST_COLUMNS]
    write_rows(file, header, map(_csv_row, explanation.images))


def _csv_row(image: TrainingImage) -> list[object]:
    manifest = [getattr(image.made, name, "") for name in _MANIFEST_COLUMNS]
    return [image.row.file, image.row.class_name, image.row.origin, image.row.sha256, image.state, *manifest]


def pretrain_epochs(result: Mapping[str, Any]) -> int:
    """Return the number of epochs on synthetic images alone, among which no checkpoint is chosen."""
    model = (result.get("settings") or {}).get("model") or {}
    return max(0, int(model.get("pretrain_epochs") or 0))


# --- its files against its result --------------------------------------------------------------------


def _counts(run: Run, problems: list[Reason]) -> PredictionCounts | None:
    try:
        counts = count_predictions(contents.read_predictions(run.folder, result=run.result))
    except (UnreadableFileError, ValueError) as error:
        problems.append(Reason("accuracy_not_counted", {"error": cause(error)}))
        return None
    recorded = (run.result or {}).get("test", {})
    n, n_counted = (run.result or {}).get("counts", {}).get("test"), len(counts.predictions)
    if n is not None and n != n_counted:
        problems.append(Reason("other_test_count", {"recorded": n, "counted": n_counted}))
    for key, value in (("accuracy", counts.accuracy.value), ("macro_f1", counts.macro_f1)):
        if key in recorded and abs(recorded[key] - value) > _TOLERANCE:
            problems.append(Reason("other_metric", {"metric": key, "recorded": recorded[key], "counted": value}))
    by_class = recorded.get("class_accuracy", {})
    for item in counts.classes:
        value = item.correct / item.n_test if item.n_test else 0.0
        if item.name in by_class and not abs(by_class[item.name] - value) <= _TOLERANCE:
            data = {"class": item.name, "recorded": by_class[item.name], "counted": value}
            problems.append(Reason("other_class_accuracy", data))
    return counts


def _history(run: Run, problems: list[Reason]) -> dict[str, list[float]] | None:
    """Learning curves; the epoch that was tested must be the first of the best among them, or the last."""
    try:
        history = contents.read_history(run.folder, run.result)
        accuracies = history["val/accuracy"]
        epochs = [int(epoch) for epoch in history["epoch"]]
    except (UnreadableFileError, KeyError) as error:
        problems.append(Reason("epoch_not_checked", {"error": cause(error)}))
        return None
    chosen = (run.result or {}).get("val", {})
    start = pretrain_epochs(run.result or {})
    is_last = chosen.get("n_selection") == 0
    index = epoch_to_test(accuracies, start, is_last)
    if index is None:
        return history
    tested, accuracy = epochs[index], accuracies[index]
    recorded = chosen.get("accuracy")
    is_other = math.isnan(accuracy) != (recorded is None) or abs(accuracy - (recorded or 0.0)) > _TOLERANCE
    if tested != chosen.get("epoch") or is_other:
        data = {
            "recorded": chosen.get("epoch", -1) + 1,
            "tested": tested + 1,
            "accuracy": None if math.isnan(accuracy) else accuracy,
            "is_last": is_last,
        }
        problems.append(Reason("other_epoch", data))
    return history


def _images(run: Run, study: Path, problems: list[Reason]) -> tuple[TrainingImage, ...] | None:
    try:
        rows = contents.read_mix(run.folder, run.result)
    except UnreadableFileError as error:
        problems.append(Reason(IMAGES_UNKNOWN, {"error": cause(error)}))
        return None
    problems += _mix_problems(rows, run.result or {})
    images, damaged = training_images(rows, locator(study))
    problems += [Reason("damaged_manifest", {"error": error}) for error in damaged]
    return tuple(images)


def _mix_problems(rows: Samples, result: Mapping[str, Any]) -> list[Reason]:
    """Where the list of images is not the one that `result.json` counted and hashed."""
    problems = []
    counts = counts_by_class(rows)
    for name, recorded in result.get("counts", {}).get("per_class", {}).items():
        for origin in (REAL, SYNTHETIC):
            count = counts.get(name, Counter())[origin]
            if count != recorded[origin]:
                data = {"class": name, "origin": origin, "recorded": recorded[origin], "counted": count}
                problems.append(Reason("other_image_count", data))
    lists = {"train": rows, "synthetic": rows.of_origin(SYNTHETIC)}
    for name, listed in lists.items():
        recorded = result.get("data", {}).get(name)
        if recorded and recorded != digest(listed):
            data = {"images": name, "recorded": recorded, "computed": digest(listed)}
            problems.append(Reason("other_images", data))
    return problems


def counts_by_class(rows: Sequence[Sample]) -> dict[str, Counter[str]]:
    """Return class name → number of images by origin."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.class_name, Counter())[row.origin] += 1
    return counts


def cause(error: Exception) -> str:
    """Return why a file cannot be read."""
    return error.reason if isinstance(error, UnreadableFileError) else f"{type(error).__name__}: {error}"
