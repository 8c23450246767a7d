"""Predictions of every run on the same test images; which runs have none, and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Reason
from synthaug.runs import contents, layout
from synthaug.runs.discovery import Run
from synthaug.runs.prediction_files import Predictions


@dataclass(frozen=True)
class RunPredictions:
    """A finished run's predictions, in the order of the group's test images.

    Attributes:
        run: whose they are.
        result: content of its `result.json`.
        predicted: class numbers, (images,).
        confidence: probability of the predicted class, (images,).
    """

    run: Run
    result: Mapping[str, Any]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True)
class _Loaded:
    """Predictions of a run as its file has them, without the probabilities of all classes."""

    run: Run
    result: Mapping[str, Any]
    predictions: Predictions

    @property
    def digest(self) -> str:
        return str(self.result["data"]["test"])

    @property
    def test_set(self) -> tuple[str, tuple[str, ...]]:
        return self.digest, tuple(self.predictions.classes)


Reference = tuple[str, Predictions]
BASELINE = (1, 0, "")  # real, synthetic and own augmentation of the arm that others are compared with


def load_predictions(
    runs: list[Run],
) -> tuple[dict[layout.RunKey, Reason], list[RunPredictions], Reference | None]:
    """Read the predictions of all runs that have the same test images.

    Args:
        runs: of one group.

    Returns:
        The reason by run that cannot be compared, the predictions of the others in the order of the test images, and
        the digest and content of the test set that they share; None where no run has predictions.
    """
    reasons: dict[layout.RunKey, Reason] = {}
    loaded: list[_Loaded] = []
    for run in runs:
        if run.result is None:
            continue
        item = _load(run, run.result)
        if isinstance(item, Reason):
            reasons[run.key] = item
        else:
            loaded.append(item)
    if not loaded:
        return reasons, [], None
    reference = _reference(loaded)
    comparable = []
    for item in loaded:
        order = _order(item.digest, item.predictions, reference)
        if isinstance(order, Reason):
            reasons[item.run.key] = order
        else:
            predictions = item.predictions
            assert predictions.confidence is not None
            comparable.append(
                RunPredictions(item.run, item.result, predictions.predicted[order], predictions.confidence[order])
            )
    return reasons, comparable, reference


def _load(run: Run, result: Mapping[str, Any]) -> _Loaded | Reason:
    """Return a run's predictions, or why there are none."""
    if result.get("format") != layout.FORMAT:
        return Reason("other_format", {"format": result.get("format"), "readable": layout.FORMAT})
    try:
        predictions = contents.read_predictions(run.folder, False, result)
    except contents.UnreadableFileError as error:
        return Reason("unreadable_predictions", {"error": error.reason})
    if len(predictions.labels) == 0:
        return Reason("no_test_images")
    return _Loaded(run, result, predictions)


def _reference(loaded: Sequence[_Loaded]) -> Reference:
    """Return the test set of the real arm; without one, that of most runs."""
    candidates = [item for item in loaded if is_baseline(item.run)] or loaded
    most_frequent = Counter(item.test_set for item in candidates).most_common(1)[0][0]
    chosen = next(item for item in candidates if item.test_set == most_frequent)
    return chosen.digest, chosen.predictions


def _order(digest: str, predictions: Predictions, reference: Reference) -> NDArray[np.int64] | Reason:
    """Rows of `predictions` in the order of the reference, or why the two cannot be paired."""
    expected = reference[1]
    if predictions.classes != expected.classes:
        return other_classes(predictions, expected)
    if digest != reference[0]:
        return Reason("other_test_set", {"digest": digest, "expected": reference[0]})
    if predictions.paths == expected.paths:
        rows = np.arange(len(expected.paths))
    else:
        # The same files may be reached by another way, e.g. from another working directory.
        matched = _match(predictions.paths, expected.paths, 2) or _match(predictions.paths, expected.paths, 3)
        if not matched:
            return Reason("other_test_images")
        rows = np.array(matched)
    if not np.array_equal(predictions.labels[rows], expected.labels):
        return Reason("other_labels")
    return rows


def _match(paths: Sequence[str], expected: Sequence[str], parts: int) -> list[int]:
    """Rows of the expected paths among others by their last parts; empty where these do not match one to one."""
    number = {PurePath(path).parts[-parts:]: row for row, path in enumerate(paths)}
    tails = [PurePath(path).parts[-parts:] for path in expected]
    if len(number) != len(paths) or set(number) != set(tails) or len(tails) != len(number):
        return []
    return [number[tail] for tail in tails]


def other_classes(predictions: Predictions, expected: Predictions) -> Reason:
    """Return in which classes predictions differ from those that they are compared with.

    Args:
        predictions: of a run.
        expected: with the classes of the comparison.
    """
    classes, wanted = set(predictions.classes), set(expected.classes)
    return Reason("other_classes", {"unexpected": sorted(classes - wanted), "missing": sorted(wanted - classes)})


def is_baseline(run: Run) -> bool:
    """Whether the arm of a run could be the baseline: all real images, no synthetic one, the common augmentation."""
    return not run.image_numbers and (run.real, run.synthetic, arm_augment(run)) == BASELINE


def arm_augment(run: Run) -> str:
    """Format the augmentation in which an arm differs, "erasing 0.25, policy trivial"; empty where it does not."""
    return ", ".join(f"{name} {value}" for name, value in sorted(run.augment.items()))


def by_arm(predictions: Iterable[RunPredictions]) -> dict[str, list[RunPredictions]]:
    """Return the predictions of the runs of each arm, by its name."""
    arms: dict[str, list[RunPredictions]] = {}
    for item in predictions:
        arms.setdefault(item.run.arm, []).append(item)
    return arms
