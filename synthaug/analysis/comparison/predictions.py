"""The answers of every run to the same test images; which runs have no such answers, and why."""

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
    """A finished run's answers, in the order of the group's test images."""

    run: Run
    result: Mapping[str, Any]
    predicted: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float64] | None = None  # probability of the answer given; None where it was not read


Reference = tuple[str, Predictions]
ArmIdentity = tuple[str, float, float, str]  # name, real, synthetic, augmentation of its own
BASELINE = (1, 0, "")  # all but the name of the arm that the others are compared with


def read_answers(
    runs: list[Run], confidence: bool = False
) -> tuple[dict[layout.RunKey, str], list[RunPredictions], Reference | None]:
    """Problems by run, the answers of all comparable runs, and the test set that they share.

    With `confidence`, how sure the answers are is read as well, which takes several times as long.
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
    answers = []
    for run, result, predictions in loaded:
        order = _order(result["data"]["test"], predictions, reference)
        if isinstance(order, str):
            reasons[run.key] = order
        else:
            predicted = predictions.predicted[order]
            sure = predictions.probabilities[order].max(axis=1) if confidence else None
            answers.append(RunPredictions(run, result, predicted, predicted == reference[1].labels, sure))
    return reasons, answers, reference


def _reference(loaded: Sequence[tuple[Run, Mapping[str, Any], Predictions]]) -> Reference:
    """The test set of the real arm; without one, that of most runs."""

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
    """The first three names of a list."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def is_baseline(run: Run) -> bool:
    """Whether a run is one of an arm that the others could be compared with."""
    return identity(run)[1:] == BASELINE


def baseline_of(arms: Iterable[ArmIdentity]) -> ArmIdentity | None:
    """The arm that the others are compared with: of several the one called "real", else the first; None for none."""
    found = [arm for arm in arms if arm[1:] == BASELINE]
    return next((arm for arm in found if arm[0] == "real"), found[0] if found else None)


def own_augment(run: Run) -> str:
    """The augmentation that an arm has of its own, "policy trivial, erasing 0.25"; empty where it has none."""
    return ", ".join(f"{name} {value}" for name, value in sorted((run.augment or {}).items()))


def identity(run: Run) -> ArmIdentity:
    """What the runs of one arm have in common."""
    return run.key.arm, run.real, run.synthetic, own_augment(run)
