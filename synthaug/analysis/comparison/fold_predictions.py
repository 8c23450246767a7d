"""Predictions of the runs of a group, those of all folds of an arm and seed put together."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.comparison.predictions import (
    Reference,
    RunPredictions,
    is_baseline,
    load_predictions,
    other_classes,
)
from synthaug.runs.discovery import Run
from synthaug.runs.layout import RunKey
from synthaug.runs.prediction_files import Predictions


@dataclass(frozen=True)
class GroupPredictions:
    """Predictions of a group's runs on the same test images.

    Attributes:
        reasons: why runs cannot be compared.
        accuracy: of each other run, on its test images.
        predictions: of each arm and seed; with folds, of those of which every fold is finished, in the name of the
            first.
        reference: digest and content of the test set; None where nothing can be compared.
        folds: in which each test image is tested; None where all runs have the same test images.
    """

    reasons: Mapping[RunKey, Reason]
    accuracy: Mapping[RunKey, float] = field(default_factory=dict)
    predictions: Sequence[RunPredictions] = ()
    reference: Reference | None = None
    folds: NDArray[np.int64] | None = None


def load_group(runs: Sequence[Run]) -> GroupPredictions:
    """Read the predictions of a group's runs that can be compared: with one number of folds, on the same images."""
    count = _number_of_folds(runs)
    reasons = {
        run.key: Reason("other_folds", {"folds": run.folds, "expected": count})
        for run in runs
        if run.result is not None and run.folds != count
    }
    members = [run for run in runs if run.folds == count]
    if count is not None:
        return _load_folds(members, count, reasons)
    of_runs, predictions, reference = load_predictions(members)
    accuracy = _accuracies(predictions, reference)
    return GroupPredictions(reasons | of_runs, accuracy, predictions, reference)


def _number_of_folds(runs: Sequence[Run]) -> int | None:
    """Return the number of folds of the real arm's finished runs; without one, that of most runs."""
    finished = [run for run in runs if run.result is not None]
    candidates = [run for run in finished if is_baseline(run)] or finished or runs
    return Counter(run.folds for run in candidates).most_common(1)[0][0]


def _accuracies(predictions: Iterable[RunPredictions], reference: Reference | None) -> dict[RunKey, float]:
    if reference is None:
        return {}
    return {item.run.key: float((item.predicted == reference[1].labels).mean()) for item in predictions}


def _load_folds(runs: Sequence[Run], count: int, reasons: Mapping[RunKey, Reason]) -> GroupPredictions:
    """Read the runs of each fold, and put together those of the arms and seeds that have every fold."""
    reasons, accuracy = dict(reasons), dict[RunKey, float]()
    references: list[Reference] = []
    by_seed: dict[tuple[str, int], dict[int, RunPredictions]] = {}
    for fold in range(count):
        of_runs, predictions, reference = load_predictions([run for run in runs if run.key.fold == fold])
        reasons |= of_runs
        if reference is None:
            continue
        references.append(reference)
        if reference[1].classes != references[0][1].classes:
            reasons |= {item.run.key: other_classes(reference[1], references[0][1]) for item in predictions}
            continue
        accuracy |= _accuracies(predictions, reference)
        for item in predictions:
            by_seed.setdefault((item.run.key.arm, item.run.key.seed), {})[fold] = item
    joined = []
    for of_folds in by_seed.values():
        if missing := [fold for fold in range(count) if fold not in of_folds]:
            reason = Reason("incomplete_folds", {"missing": missing})
            reasons |= {item.run.key: reason for item in of_folds.values()}
        else:
            joined.append(_joined([of_folds[fold] for fold in range(count)]))
    accuracy = {key: value for key, value in accuracy.items() if key not in reasons}
    if not joined:
        return GroupPredictions(reasons, accuracy, folds=np.zeros(0, dtype=np.int64))
    sizes = [len(reference[1].labels) for reference in references]
    folds = np.repeat(np.arange(count), sizes)
    return GroupPredictions(reasons, accuracy, joined, _joined_reference(references), folds)


def _joined(items: Sequence[RunPredictions]) -> RunPredictions:
    """Return the predictions of all folds as those of one run."""
    return RunPredictions(
        items[0].run,
        _joined_result([item.result for item in items], [len(item.predicted) for item in items]),
        np.concatenate([item.predicted for item in items]),
        np.concatenate([item.confidence for item in items]),
    )


def _joined_result(results: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """Return what a comparison reads of a result, over all folds: means of numbers that differ between them."""
    first = results[0]
    counts = {name: _mean([result["counts"][name] for result in results]) for name in ("real", "synthetic")}
    calibration = float(np.average([result["test"]["calibration_error"] for result in results], weights=sizes))
    synthetic = [result["data"].get("synthetic") for result in results]
    return {
        **first,
        "counts": {**first["counts"], **counts},
        "test": {**first["test"], "calibration_error": calibration},
        "val": {**first["val"], "n_selection": _mean([result["val"]["n_selection"] for result in results])},
        "data": {**first["data"], "synthetic": str(synthetic)},
    }


def _mean(numbers: Sequence[int]) -> int:
    return round(float(np.mean(numbers)))


def _joined_reference(references: Sequence[Reference]) -> Reference:
    digest = hashlib.sha256("\n".join(digest for digest, _ in references).encode()).hexdigest()
    parts = [predictions for _, predictions in references]
    clusters, largest = list[NDArray[np.int64]](), 0
    for part in parts:  # numbered within each fold
        clusters.append(part.clusters + largest)
        largest += int(part.clusters.max()) + 1
    together = Predictions(
        paths=[path for part in parts for path in part.paths],
        labels=np.concatenate([part.labels for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        probabilities=np.zeros((sum(len(part.labels) for part in parts), 0)),
        classes=parts[0].classes,
        clusters=np.concatenate(clusters),
    )
    return digest, together
