"""Predictions of every run on the same test images; which runs have none, and why."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.runs import contents, layout
from synthaug.runs.contents import Predictions
from synthaug.runs.discovery import Run


@dataclass(frozen=True)
class RunPredictions:
    """A finished run's predictions, in the order of the group's test images."""

    run: Run
    result: Mapping[str, Any]
    predicted: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float64] | None = None  # probability of the predicted class; None where it was not read


Reference = tuple[str, Predictions]
ArmIdentity = tuple[str, float, float, str]  # name, real, synthetic, augmentation in which it differs
BASELINE = (1, 0, "")  # all but the name of the arm that the others are compared with


def load_predictions(
    runs: list[Run], confidence: bool = False
) -> tuple[dict[layout.RunKey, str], list[RunPredictions], Reference | None]:
    """Read the predictions of all runs that have the same test images.

    Args:
        runs: of one group.
        confidence: read the probabilities as well, which takes several times as long.

    Returns:
        The reason by run that cannot be compared, the predictions of the others in the order of the test images, and
        the digest and content of the test set that they share; None where no run has predictions.
    """
    reasons: dict[layout.RunKey, str] = {}
    loaded: list[tuple[Run, Mapping[str, Any], Predictions]] = []
    for run in runs:
        if run.result is None:
            continue
        if run.result.get("format") != layout.FORMAT:
            reasons[run.key] = f"result.json has format {run.result.get('format')}, this version reads {layout.FORMAT}"
            continue
        try:
            predictions = contents.read_predictions(run.folder, probabilities=confidence)
        except (OSError, ValueError, LookupError, csv.Error) as error:
            reasons[run.key] = f"predictions.csv cannot be read ({type(error).__name__}: {error})"
            continue
        if len(predictions.labels) == 0:
            reasons[run.key] = "predictions.csv holds no test image"
            continue
        loaded.append((run, run.result, predictions))
    if not loaded:
        return reasons, [], None
    reference = _reference(loaded)
    comparable = []
    for run, result, predictions in loaded:
        order = _order(result["data"]["test"], predictions, reference)
        if isinstance(order, str):
            reasons[run.key] = order
        else:
            predicted = predictions.predicted[order]
            sure = predictions.probabilities[order].max(axis=1) if confidence else None
            comparable.append(RunPredictions(run, result, predicted, predicted == reference[1].labels, sure))
    return reasons, comparable, reference


def _reference(loaded: Sequence[tuple[Run, Mapping[str, Any], Predictions]]) -> Reference:
    """Return the test set of the real arm; without one, that of most runs."""

    def identity(item: tuple[Run, Mapping[str, Any], Predictions]) -> tuple[str, tuple[str, ...]]:
        return item[1]["data"]["test"], tuple(item[2].classes)

    real = [item for item in loaded if is_baseline(item[0])]
    wanted = Counter(map(identity, real or loaded)).most_common(1)[0][0]
    chosen = next(item for item in (real or loaded) if identity(item) == wanted)
    return chosen[1]["data"]["test"], chosen[2]


def _order(digest: str, predictions: Predictions, reference: Reference) -> NDArray[np.int64] | str:
    """Rows of `predictions` in the order of the reference, or why the two cannot be paired."""
    expected = reference[1]
    if predictions.classes != expected.classes:
        return (
            f"other classes: {len(predictions.classes)} ({some(predictions.classes)}) "
            f"instead of {len(expected.classes)} ({some(expected.classes)})"
        )
    if digest != reference[0]:
        return f"other test set: digest {digest[:12]} instead of {reference[0][:12]}"
    if predictions.paths == expected.paths:
        rows = np.arange(len(expected.paths))
    else:
        # The same files may be reached by another way, e.g. from another working directory.
        number = {PurePath(path).parts[-2:]: row for row, path in enumerate(predictions.paths)}
        tails = [PurePath(path).parts[-2:] for path in expected.paths]
        if len(number) != len(predictions.paths) or set(number) != set(tails) or len(tails) != len(number):
            return "predictions.csv lists other test images, although the digest is the same"
        rows = np.array([number[tail] for tail in tails])
    if not np.array_equal(predictions.labels[rows], expected.labels):
        return "predictions.csv gives other labels to the same test images"
    return rows


def some(names: Sequence[str]) -> str:
    """Join the first three names of a list."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def is_baseline(run: Run) -> bool:
    """Whether the arm of a run could be the baseline: all real images, no synthetic one, the common augmentation."""
    return identity(run)[1:] == BASELINE


def baseline_of(arms: Iterable[ArmIdentity]) -> ArmIdentity | None:
    """Return the arm that the others are compared with: of several the one called "real", else the first."""
    candidates = [arm for arm in arms if arm[1:] == BASELINE]
    return next((arm for arm in candidates if arm[0] == "real"), candidates[0] if candidates else None)


def arm_augment(run: Run) -> str:
    """Format the augmentation in which an arm differs, "erasing 0.25, policy trivial"; empty where it does not."""
    return ", ".join(f"{name} {value}" for name, value in sorted((run.augment or {}).items()))


def identity(run: Run) -> ArmIdentity:
    """Return what the runs of one arm have in common."""
    return run.key.arm, run.real, run.synthetic, arm_augment(run)
