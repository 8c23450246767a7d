"""From a run's numbers back to what they were counted from: answers, learning curve, mix, files, how they were made.

Nothing is taken on trust: every number that `result.json` gives and the files beside it can give again is counted
again, and where the two differ that is a problem by name.
"""

import csv
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate, wilson
from synthaug.analysis.training_images import TrainingImage, locator, training_images
from synthaug.data.samples import REAL, SYNTHETIC, Sample, digest
from synthaug.errors import UserError
from synthaug.files import read_json, write_rows
from synthaug.generation.synthetic_set import ManifestRow
from synthaug.messages import bullets
from synthaug.runs import contents, discovery, layout
from synthaug.runs.contents import MixRow, Predictions
from synthaug.runs.discovery import Run
from synthaug.runs.epoch_choice import first_best_epoch
from synthaug.runs.layout import RunKey

_TOLERANCE = 1e-4  # result.json has single-precision metrics
_DEPTH = 5  # folders from a study to a run
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, csv.Error)


@dataclass(frozen=True)
class Answer:
    """What a run said of one test image; the probabilities are those of its answer and of the true class."""

    path: str
    label: str
    predicted: str
    probability: float
    of_label: float

    @property
    def right(self) -> bool:
        """Whether the answer is the image's class."""
        return self.label == self.predicted


@dataclass(frozen=True)
class ClassCount:
    """One class among the answers: test images, how many of them are right, how many images were named so."""

    name: str
    n_test: int
    right: int
    named: int

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where the class is neither tested nor named."""
        total = self.n_test + self.named
        return 2 * self.right / total if total else None


@dataclass(frozen=True)
class Counted:
    """What `predictions.csv` says."""

    answers: tuple[Answer, ...]
    classes: tuple[ClassCount, ...]
    accuracy: Estimate

    @property
    def right(self) -> int:
        """Test images that were recognised."""
        return sum(answer.right for answer in self.answers)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are tested or named."""
        return float(np.mean([item.f1 for item in self.classes if item.f1 is not None]))

    @property
    def confusions(self) -> list[tuple[str, str, int]]:
        """(true class, named as, images) of the wrong answers, the most frequent first."""
        pairs = Counter((answer.label, answer.predicted) for answer in self.answers if not answer.right)
        return [(*pair, count) for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]


@dataclass(frozen=True)
class Explanation:
    """A run with everything that its numbers come from.

    Attributes:
        run: a finished one.
        study: folder of its study.
        counted: None where predictions.csv cannot be read.
        history: learning curves, column name → one value per epoch; None where history.csv cannot be read.
        images: that it was trained on; None where mix.csv cannot be read.
        problems: where the run's files contradict one another, or cannot be read.
    """

    run: Run
    study: Path
    counted: Counted | None
    history: Mapping[str, Sequence[float]] | None
    images: tuple[TrainingImage, ...] | None
    problems: tuple[str, ...]

    @property
    def result(self) -> Mapping[str, Any]:
        """The content of `result.json`."""
        assert self.run.result is not None, "only finished runs are explained"
        return self.run.result

    @property
    def synthetic(self) -> list[TrainingImage]:
        """The synthetic training images."""
        return [image for image in self.images or () if image.row.origin == SYNTHETIC]


@dataclass(frozen=True)
class Story:
    """What a study knows of one image.

    Attributes:
        path: as the run wrote it.
        said: a run and its answer, for each run that was tested on the image.
        training: how it was trained on; None for a test image.
        users: the runs of the study that trained on it.
    """

    path: str
    said: tuple[tuple[RunKey, Answer], ...] = ()
    training: TrainingImage | None = None
    users: tuple[RunKey, ...] = ()


# --- a run -------------------------------------------------------------------------------------------


def explain(folder: Path) -> Explanation:
    """Everything that a finished run's numbers come from.

    Raises:
        UserError: `folder` is not that of a finished run.
    """
    run = read(folder)
    study = folder.resolve().parents[_DEPTH - 1]
    problems: list[str] = []
    counted = _counted(run, problems)
    history = _history(run, problems)
    images = _images(run, study, problems)
    return Explanation(run, study, counted, history, images, tuple(problems))


def read(folder: Path) -> Run:
    """The finished run in a folder.

    Raises:
        UserError: there is none; what is there instead is named, with its runs.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is no folder"
        example = "outputs/default/digits/tiny_digits/resnet18/real/seed0"
        raise UserError(f"{folder} {what}. Give the folder of a run, e.g. {example}.")
    if not (folder / layout.RESULT).is_file():
        raise _no_result(folder)
    result = read_json(folder / layout.RESULT)
    discovery.check_result(result, folder)
    try:
        if result["format"] != layout.FORMAT:
            raise UserError(
                f"{folder / layout.RESULT} has format {result['format']}, this version reads {layout.FORMAT}: use "
                f"the version of synthaug that wrote it ({result.get('versions', {}).get('synthaug', 'not said')})."
            )
        key = RunKey(**{field.name: result[field.name] for field in fields(RunKey)})
        mix = result["mix"]
        return Run(key, folder, mix["real"], mix["synthetic"], "finished", result, augment=mix.get("augment"))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / layout.RESULT} is damaged ({error!r}): move {folder} away and run the same command again."
        ) from None


def _no_result(folder: Path) -> UserError:
    """What a folder without a result is, and where to go from there."""
    if (folder / layout.FAILED).is_file():
        error = read_json(folder / layout.FAILED).get("error", "")
        return UserError(
            f"The run {folder} failed, so it has no numbers: {error}\nRun the command that trained it again."
        )
    if (folder / layout.CONFIG).is_file():
        return UserError(f"The run {folder} is not finished, so it has no numbers: run the same command again.")
    patterns = (f"{'*/' * depth}{layout.RESULT}" for depth in range(1, _DEPTH + 2))
    inside = [str(path.parent) for pattern in patterns for path in sorted(folder.glob(pattern))]
    if not inside:
        return UserError(f"{folder} holds no run. Give the folder of a run: it has a {layout.RESULT}.")
    what = "is a study" if (folder / layout.PLANNED).is_file() else "is not a run itself"
    return UserError(f"{folder} {what}. Give one of its runs:\n{bullets(inside)}")


def _counted(run: Run, problems: list[str]) -> Counted | None:
    try:
        counted = count(contents.read_predictions(run.folder))
    except _UNREADABLE as error:
        problems.append(
            f"{layout.PREDICTIONS} cannot be read ({_said(error)}), so the accuracy cannot be counted again."
        )
        return None
    recorded = (run.result or {}).get("test", {})
    n = (run.result or {}).get("counts", {}).get("test")
    if n is not None and n != len(counted.answers):
        problems.append(f"{layout.RESULT} counts {n:,} test images, {layout.PREDICTIONS} {len(counted.answers):,}.")
    for key, value in (("accuracy", counted.accuracy.value), ("macro_f1", counted.macro_f1)):
        if key in recorded and abs(recorded[key] - value) > _TOLERANCE:
            problems.append(
                f"{layout.RESULT} says {key} {recorded[key]:.4f}, {layout.PREDICTIONS} gives {value:.4f}: one of "
                "them was changed after the run."
            )
    return counted


def count(predictions: Predictions) -> Counted:
    """Count a run's answers.

    Raises:
        ValueError: there are none.
    """
    if len(predictions.labels) == 0:
        raise ValueError("it holds no test image")
    names = predictions.classes
    classes = len(names)
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (predictions.labels, predictions.predicted), 1)
    each = zip(names, matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0), strict=True)
    return Counted(
        tuple(_answer(predictions, row) for row in range(len(predictions.paths))),
        tuple(ClassCount(name, int(n), int(right), int(named)) for name, n, right, named in each),
        wilson(int(np.trace(matrix)), len(predictions.labels)),
    )


def _answer(predictions: Predictions, row: int) -> Answer:
    label, predicted = predictions.labels[row], predictions.predicted[row]
    probabilities: NDArray[np.float64] = predictions.probabilities[row]
    names = predictions.classes
    return Answer(
        predictions.paths[row],
        names[label],
        names[predicted],
        float(probabilities[predicted]),
        float(probabilities[label]),
    )


def _history(run: Run, problems: list[str]) -> dict[str, list[float]] | None:
    """Learning curves; the epoch that was tested must be the first of the best among them."""
    try:
        history = contents.read_history(run.folder)
        accuracies = history["val/accuracy"]
        epochs = [int(epoch) for epoch in history["epoch"]]
    except _UNREADABLE as error:
        problems.append(f"{layout.HISTORY} cannot be read ({_said(error)}), so the chosen epoch is not checked.")
        return None
    chosen = (run.result or {}).get("val", {})
    first = pretrain_epochs(run.result or {})
    index = first_best_epoch(accuracies, first)
    if index is None:
        return history
    best, accuracy = epochs[index], accuracies[index]
    if best != chosen.get("epoch") or abs(accuracy - chosen["accuracy"]) > _TOLERANCE:
        problems.append(
            f"{layout.RESULT} says that epoch {chosen.get('epoch', -1) + 1} was tested, the best in {layout.HISTORY} "
            f"is epoch {best + 1} ({accuracy:.4f} of the validation images)."
        )
    return history


def pretrain_epochs(result: Mapping[str, Any]) -> int:
    """Epochs on synthetic images alone, among which no checkpoint is chosen."""
    model = (result.get("settings") or {}).get("model") or {}
    return max(0, int(model.get("pretrain_epochs") or 0))


def _images(run: Run, study: Path, problems: list[str]) -> tuple[TrainingImage, ...] | None:
    try:
        rows = contents.read_mix(run.folder)
    except _UNREADABLE as error:
        problems.append(f"{layout.MIX} cannot be read ({_said(error)}), so what was trained on is not known.")
        return None
    problems += _mix_problems(rows, run.result or {})
    images, damaged = training_images(rows, locator(study))
    problems += damaged
    return tuple(images)


def _mix_problems(rows: Sequence[MixRow], result: Mapping[str, Any]) -> list[str]:
    """Where `mix.csv` is not the list that `result.json` counted and hashed."""
    problems = []
    counts = counts_by_class(rows)
    for name, recorded in result.get("counts", {}).get("per_class", {}).items():
        for origin in (REAL, SYNTHETIC):
            here, there = counts.get(name, Counter())[origin], recorded[origin]
            if here != there:
                problems.append(f"{layout.MIX} has {here:,} {origin} images of {name}, {layout.RESULT} {there:,}.")
    samples = [Sample(Path(row.path), 0, row.label, row.origin, row.sha256) for row in rows]
    lists = {"train": samples, "synthetic": [sample for sample in samples if sample.origin == SYNTHETIC]}
    for name, listed in lists.items():
        recorded = result.get("data", {}).get(name)
        if recorded and recorded != digest(listed):
            what = "training images" if name == "train" else "synthetic images"
            problems.append(
                f"The {what} in {layout.MIX} have the digest {digest(listed)[:12]}, {layout.RESULT} says "
                f"{recorded[:12]}: one of them was changed after the run."
            )
    return problems


def counts_by_class(rows: Sequence[MixRow]) -> dict[str, Counter[str]]:
    """Class name → images by origin."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.label, Counter())[row.origin] += 1
    return counts


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# --- its training images as rows ---------------------------------------------------------------------

_MADE = [field.name for field in fields(ManifestRow) if field.name not in ("class_name", "index", "rejected", "sha256")]
HEADER = ["path", "label", "origin", "sha256", "state", *_MADE]


def write_images(explanation: Explanation, file: Path) -> None:
    """Write every training image as CSV: as in `mix.csv`, its state now, and how it was made where that is known.

    Raises:
        UserError: it is not known what the run was trained on.
    """
    if explanation.images is None:
        raise UserError(f"{file} is not written: {'; '.join(explanation.problems)}")
    write_rows(file, HEADER, map(_row, explanation.images))


def _row(image: TrainingImage) -> list[object]:
    made = [getattr(image.made, name) for name in _MADE] if image.made else [""] * len(_MADE)
    return [*dataclasses.astuple(image.row), image.state, *made]


# --- one image ---------------------------------------------------------------------------------------


def find_image(folder: Path, part: str) -> Story:
    """What the study of a run knows of the image whose path holds `part`.

    Args:
        folder: of a finished run that was trained or tested on it.
        part: the path or a part of it; the end of a path goes before other parts.

    Raises:
        UserError: no image, or several; `folder` is not that of a finished run.
    """
    run = read(folder)
    study = folder.resolve().parents[_DEPTH - 1]
    try:
        tested = contents.read_predictions(folder).paths
        mix = contents.read_mix(folder)
    except _UNREADABLE as error:
        raise UserError(f"{folder}: {layout.PREDICTIONS} or {layout.MIX} cannot be read ({_said(error)}).") from None
    path = _only([*tested, *(row.path for row in mix)], part, folder)
    others = [item for item in discovery.find_runs(study) if item.result is not None] or [run]
    if path in tested:
        return Story(path, said=tuple(_answers_to(path, others)))
    row = next(row for row in mix if row.path == path)
    (image,), _ = training_images([row], locator(study))
    return Story(path, training=image, users=tuple(_users(row, others)))


def _only(paths: Sequence[str], part: str, folder: Path) -> str:
    found = [path for path in paths if part in path]
    ending = [path for path in found if path == part or path.endswith(f"/{part}")]
    found = ending or found
    if not found:
        raise UserError(
            f"No test or training image of {folder} has {part!r} in its path; they are called like {paths[0]}. "
            "An image of another arm is found by the folder of a run that has it."
        )
    if len(found) > 1:
        raise UserError(
            f"{len(found):,} images of {folder} have {part!r} in their path: give more of it.\n{bullets(found)}"
        )
    return found[0]


def _answers_to(path: str, runs: Sequence[Run]) -> list[tuple[RunKey, Answer]]:
    """The answers of all runs that were tested on the image, by its path or where the folder has moved by its end."""
    found = []
    for run in runs:
        try:
            predictions = contents.read_predictions(run.folder)
        except _UNREADABLE:
            continue
        rows = [row for row, other in enumerate(predictions.paths) if other == path]
        if not rows:
            tail = PurePath(path).parts[-2:]
            rows = [row for row, other in enumerate(predictions.paths) if PurePath(other).parts[-2:] == tail]
        if len(rows) == 1:
            found.append((run.key, _answer(predictions, rows[0])))
    return found


def _users(wanted: MixRow, runs: Sequence[Run]) -> list[RunKey]:
    """The runs that trained on the same bytes under the same label."""
    found = []
    for run in runs:
        try:
            rows = contents.read_mix(run.folder)
        except _UNREADABLE:
            continue
        if any((row.label, row.sha256) == (wanted.label, wanted.sha256) for row in rows):
            found.append(run.key)
    return found
