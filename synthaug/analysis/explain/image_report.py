"""What a study knows of one image: every run's prediction for a test image, or the provenance of a training image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from synthaug.analysis.explain.prediction_counts import Prediction, prediction
from synthaug.analysis.training_images import TrainingImage, locator, training_images
from synthaug.data.sample_list import Sample
from synthaug.errors import UserError
from synthaug.messages import bullets
from synthaug.runs import contents, discovery
from synthaug.runs.contents import UnreadableFileError
from synthaug.runs.discovery import Run
from synthaug.runs.layout import RunKey
from synthaug.runs.prediction_files import Predictions


@dataclass(frozen=True)
class ImageReport:
    """What a study knows of one image.

    Attributes:
        path: as the run wrote it.
        predictions: a run and its prediction, for each run that was tested on the image.
        training: provenance of a training image; None for a test image.
        users: the runs of the study that trained on it.
    """

    path: str
    predictions: tuple[tuple[Run, Prediction], ...] = ()
    training: TrainingImage | None = None
    users: tuple[Run, ...] = ()

    @property
    def correct(self) -> int:
        """Runs that predict it correctly."""
        return sum(item.correct for _, item in self.predictions)

    @property
    def seeds_by_arm(self) -> dict[str, list[int]]:
        """Arm → seeds of the runs that trained on it."""
        seeds: dict[str, set[int]] = {}
        for run in self.users:
            seeds.setdefault(run.arm, set()).add(run.key.seed)
        return {arm: sorted(values) for arm, values in seeds.items()}


def find_image(folder: Path, part: str) -> ImageReport:
    """Find what the study of a run knows of the image whose path holds `part`.

    Args:
        folder: of a finished run that was trained or tested on it.
        part: the path or a part of it; the end of a path goes before other parts.

    Raises:
        UserError: no image, or several; `folder` is not that of a finished run.
    """
    run = discovery.load_run(folder)
    study = discovery.study_of(folder)
    predictions = contents.read_predictions(folder, result=run.result)
    mix = contents.read_mix(folder, run.result)
    path = _single([*predictions.paths, *(row.file for row in mix)], part, folder)
    runs = [item for item in discovery.find_runs(study) if item.result is not None] or [run]
    if path in predictions.paths:
        alike = [item for item in runs if (item.folds, item.key.fold) == (run.folds, run.key.fold)]
        return ImageReport(path, predictions=tuple(_predictions_for(path, alike, {run.key: predictions})))
    row = next(row for row in mix if row.file == path)
    (image,), _ = training_images([row], locator(study))
    return ImageReport(path, training=image, users=tuple(_users(row, runs, {run.key: mix})))


def _single(paths: Sequence[str], part: str, folder: Path) -> str:
    matching = [path for path in paths if part in path]
    matching = [path for path in matching if path == part or path.endswith(f"/{part}")] or matching
    if not matching:
        raise UserError(
            f"No test or training image of {folder} has {part!r} in its path, as {paths[0]} has. For an image of "
            "another arm, give the folder of a run of that arm."
        )
    if len(matching) > 1:
        raise UserError(
            f"{len(matching):,} images of {folder} have {part!r} in their path: give more of it.\n{bullets(matching)}"
        )
    return matching[0]


def _predictions_for(
    path: str, runs: Sequence[Run], loaded: Mapping[RunKey, Predictions]
) -> Iterator[tuple[Run, Prediction]]:
    """Return the predictions of all runs for an image, by its path or, where the folder has moved, by its end."""
    for run in runs:
        try:
            predictions = loaded.get(run.key) or contents.read_predictions(run.folder, result=run.result)
        except UnreadableFileError:
            continue
        rows = [row for row, candidate in enumerate(predictions.paths) if candidate == path]
        if not rows:
            tail = PurePath(path).parts[-2:]
            rows = [row for row, candidate in enumerate(predictions.paths) if PurePath(candidate).parts[-2:] == tail]
        if len(rows) == 1:
            yield run, prediction(predictions, rows[0])


def _users(image: Sample, runs: Sequence[Run], loaded: Mapping[RunKey, Sequence[Sample]]) -> Iterator[Run]:
    """Return the runs that trained on the same bytes under the same label."""
    for run in runs:
        try:
            rows = loaded.get(run.key) or contents.read_mix(run.folder, run.result)
        except UnreadableFileError:
            continue
        if any((row.class_name, row.sha256) == (image.class_name, image.sha256) for row in rows):
            yield run
