"""Runs of a study -> one comparison. Every number in table, CSV, JSON and page comes from here."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.fold_predictions import load_group
from synthaug.analysis.comparison.model import (
    ESTABLISHED,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    REJECTED,
    Arm,
    ClassResult,
    ComparedRun,
    Comparison,
    Group,
    NonInferiority,
    PairComparison,
    Reason,
    ShareTrend,
    arms_of_one_question,
    controls_of,
)
from synthaug.analysis.comparison.predictions import RunPredictions, arm_augment, by_arm, is_baseline
from synthaug.analysis.inference import power_analysis
from synthaug.analysis.inference.contrasts import (
    Values,
    adjusted,
    borrowed_differences,
    class_differences,
    difference,
    macro_f1_parts,
    right,
    slope,
)
from synthaug.analysis.inference.folds import cluster_folds, fold_accuracy
from synthaug.analysis.inference.hypothesis_tests import holm
from synthaug.analysis.inference.intervals import (
    ALPHA,
    Difference,
    Estimate,
    accuracy_over_seeds,
    cluster_means,
    sample_deviation,
)
from synthaug.analysis.inference.power_analysis import ArmPower
from synthaug.analysis.inference.shared_seeds import SharedSeedVariance
from synthaug.errors import UserError
from synthaug.runs import discovery, layout, planning
from synthaug.runs.discovery import Run
from synthaug.runs.planning import PlannedComparison

MAX_CONFUSION_CLASSES = 50


def compare(study: Path, margin: float | None = None) -> Comparison:
    """Read every run of a study and compare those that can be compared.

    Args:
        study: its folder.
        margin: the smallest difference that matters, in percentage points; the one of the study's plan by default.
    """
    if not study.is_dir():
        raise UserError(f"{study} is not a folder. Give the folder of a study, e.g. outputs/default.")
    plan = planning.read_plan(study)
    runs = [_whole(run) for run in discovery.find_runs(study, plan)]
    if not runs:
        inside = sorted(path.parent for path in study.glob(f"*/{layout.PLANNED}"))
        hint = (
            f"Did you mean {' or '.join(map(str, inside[:5]))}?"
            if inside
            else "Train some first: python -m synthaug.train -m mix=real,55,64,73,82"
        )
        raise UserError(f"{study} holds no runs. {hint}")
    groups = groupby(runs, key=lambda run: run.key.dataset)
    name = study.resolve().name
    margin = plan.margin if margin is None else margin
    compared = tuple(
        _compare_group(
            list(members), margin, plan.looks, [item for item in plan.comparisons if item.dataset == dataset]
        )
        for dataset, members in groups
    )
    return Comparison(name, study, compared)


def _whole(run: Run) -> Run:
    """Return the run; as a failed one where its result lacks what every report reads."""
    if run.result is None:
        return run
    try:
        discovery.check_result(run.result, run.folder)
    except UserError as error:
        return dataclasses.replace(run, state="failed", result=None, failure={"error": str(error), "type": "damaged"})
    return run


def _compare_group(
    runs: list[Run], margin: float, looks: Sequence[int], comparisons: Sequence[PlannedComparison]
) -> Group:
    shifted = any(run.shift_sets for run in runs if run.result is not None)
    loaded = load_group(runs)
    predictions, reference = list(loaded.predictions), loaded.reference
    states = tuple(_state(run, loaded.reasons.get(run.key), loaded.accuracy.get(run.key)) for run in runs)
    names = tuple(reference[1].classes) if reference else ()
    nothing = np.zeros(0, dtype=np.int64)
    labels = reference[1].labels if reference else nothing
    test = _TestSet(labels, reference[1].clusters if reference else nothing, names, loaded.folds)
    arms, values = _arms(runs, predictions, test)
    predicted: dict[str, dict[int, NDArray[np.int64]]] = {}
    confidence: dict[str, dict[int, NDArray[np.float64]]] = {}
    for item in predictions:
        predicted.setdefault(item.run.arm, {})[item.run.key.seed] = item.predicted
        if shifted:
            confidence.setdefault(item.run.arm, {})[item.run.key.seed] = item.confidence
    correct = {arm.name: of_arm.correct for arm, of_arm in zip(arms, values, strict=True) if of_arm}
    looks = _looks_with(looks, arms)
    n_looks = max(len(looks), 1)
    tested, seed_variance = _with_borrowed(_adjusted(arms, margin / 100, n_looks), correct, test)
    return Group(
        dataset=runs[0].key.dataset,
        test_digest=str(reference[0]) if reference else None,
        n_test=len(labels),
        class_names=names,
        arms=_with_power(tested, correct, margin / 100, n_looks, test),
        runs=states,
        margin=margin,
        looks=looks,
        trend=_trend(arms, correct, test),
        seed_variance=seed_variance,
        pairs=_pairs(comparisons, runs, correct, test, n_looks),
        labels=labels,
        clusters=test.clusters,
        folds=test.folds,
        paths=tuple(reference[1].paths) if reference else (),
        predicted=predicted,
        confidence=confidence,
    )


def _state(run: Run, problem: Reason | None, accuracy: float | None) -> ComparedRun:
    if accuracy is not None:
        return ComparedRun(run, "finished", accuracy=accuracy)
    if run.state == "finished":
        return ComparedRun(run, NOT_COMPARABLE, problem)
    failure = run.failure or {}
    data = {name: failure.get(name, "") for name in ("type", "error", "when")} if run.state == "failed" else {}
    return ComparedRun(run, run.state, Reason(run.state, data))


@dataclass(frozen=True)
class _TestSet:
    """Class number, cluster of near duplicates and fold of each test image, and the names of the classes."""

    labels: NDArray[np.int64]
    clusters: NDArray[np.int64]
    names: tuple[str, ...]
    folds: NDArray[np.int64] | None = None

    def difference(self, first: Values, second: Values) -> Difference:
        """Estimate first minus second."""
        return difference(first, second, clusters=self.clusters, folds=self.folds)

    def accuracy(self, correct: NDArray[np.float64], rows: NDArray[np.int64]) -> Estimate | None:
        """Estimate the accuracy on some of the images, from (seeds, images); None where there are none."""
        if not len(rows):
            return None
        correct, clusters = correct[:, rows], self.clusters[rows]
        if self.folds is not None:
            folds = cluster_folds(self.folds[rows], clusters)
            return fold_accuracy(cluster_means(correct, clusters), folds) if len(np.unique(folds)) > 1 else None
        return accuracy_over_seeds(correct, clusters=clusters)


@dataclass(frozen=True)
class _ArmValues:
    """Per seed and test image of an arm: whether the prediction is right, and the image's part in the macro F1."""

    correct: Values
    macro_f1: Values


def _arms(
    runs: list[Run], predictions: list[RunPredictions], test: _TestSet
) -> tuple[list[Arm], list[_ArmValues | None]]:
    """Return the arms of a group and, for each, its values; None for an arm without a comparable run."""
    of_arms = by_arm(predictions)
    arms: list[Arm] = []
    values: list[_ArmValues | None] = []
    for arm in _planned_arms(runs):
        of_arm = None
        if arm.name in of_arms:
            predicted = {item.run.key.seed: item.predicted for item in of_arms[arm.name]}
            of_arm = _ArmValues(right(predicted, test.labels), macro_f1_parts(predicted, test.labels, len(test.names)))
            arm = _with_accuracy(arm, of_arms[arm.name], of_arm, test)
        arms.append(arm)
        values.append(of_arm)
    measured = [(arm, of_arm) for arm, of_arm in zip(arms, values, strict=True) if of_arm]
    return [
        _with_differences(arm, of_arm, measured, test) if of_arm else arm
        for arm, of_arm in zip(arms, values, strict=True)
    ], values


def _planned_arms(runs: Sequence[Run]) -> list[Arm]:
    """Return the arms of a group in the order of its runs, each with its reference."""
    counts = Counter(run.arm for run in runs)
    first = {run.arm: run for run in reversed(runs)}
    arms = [
        Arm(run.arm, run.real, run.synthetic, False, counts[run.arm], run.settings, augment=arm_augment(run))
        for run in (first[name] for name in counts)
    ]
    candidates = [arm for arm in arms if is_baseline(first[arm.name])]
    baseline = max(candidates, key=lambda arm: (_alike(arm, arms), arm.name == "real"), default=None)
    return [
        dataclasses.replace(arm, baseline=arm is baseline, reference=_reference(arm, candidates, baseline))
        for arm in arms
    ]


def _alike(arm: Arm, arms: Iterable[Arm]) -> int:
    """Return how many arms are trained as this one is."""
    return sum(candidate.training == arm.training for candidate in arms)


def _reference(arm: Arm, candidates: Sequence[Arm], baseline: Arm | None) -> str | None:
    """Return what an arm is compared with: the real arm that is trained alike, else the baseline."""
    if arm is baseline or baseline is None:
        return None
    if arm in candidates:  # what is trained as the baseline is it, with other things redrawn by its seeds
        return None if arm.training == baseline.training else baseline.name
    alike = [candidate for candidate in candidates if candidate.training == arm.training]
    return min(alike, key=lambda candidate: candidate.redrawn != arm.redrawn, default=baseline).name


def _with_accuracy(arm: Arm, predictions: list[RunPredictions], values: _ArmValues, test: _TestSet) -> Arm:
    """Return `arm` with everything that its runs say without those of another arm."""
    first = predictions[0].result
    correct = np.stack([values.correct[seed] for seed in sorted(values.correct)])
    return dataclasses.replace(
        arm,
        seeds=tuple(sorted(values.correct)),
        n_real=first["counts"]["real"],
        n_synthetic=first["counts"]["synthetic"],
        n_selection=first["val"]["n_selection"],
        accuracy=test.accuracy(correct, np.arange(len(test.labels))),
        seed_deviation=sample_deviation([float(row.mean()) for row in correct]),
        macro_f1=float(np.mean([of_seed.mean() for of_seed in values.macro_f1.values()])),
        calibration_error=float(np.mean([item.result["test"]["calibration_error"] for item in predictions])),
        steps=first["training"]["steps"],
        epochs=first["training"]["epochs"],
        passes=first["training"].get("passes"),
        same_synthetic_images=len({item.result["data"].get("synthetic") for item in predictions}) == 1,
        classes=tuple(
            ClassResult(name, len(rows), test.accuracy(correct, rows))
            for label, name in enumerate(test.names)
            for rows in [np.flatnonzero(test.labels == label)]
        ),
        confusion=_confusion(predictions, test.labels, len(test.names)),
    )


def _with_differences(arm: Arm, values: _ArmValues, measured: Sequence[tuple[Arm, _ArmValues]], test: _TestSet) -> Arm:
    """Return `arm` with its differences from its reference and from its control, both among the measured arms."""
    correct = values.correct
    none: tuple[None, None] = (None, None)
    base_arm, base = next((pair for pair in measured if pair[0].name == arm.reference), none)
    controls = (pair for pair in measured if _is_control(pair[0], arm))
    control_arm, control = min(controls, key=lambda pair: pair[0].redrawn != arm.redrawn, default=none)
    gain = test.difference(correct, control.correct) if control else None
    gains = _of_classes(correct, control, test)
    loss = test.difference(control.correct, base.correct) if control and base and control is not base else None
    if gain and control_arm and not _trained_alike(control_arm, arm):  # longer training is a rival
        gain, gains = gain.untested(), [item and item.untested() for item in gains]
    if loss and control_arm and base_arm and not _trained_alike(control_arm, base_arm):
        loss = loss.untested()
    return dataclasses.replace(
        arm,
        difference=test.difference(correct, base.correct) if base else None,
        difference_seeds=tuple(sorted(set(correct) & set(base.correct))) if base else (),
        macro_f1_difference=test.difference(values.macro_f1, base.macro_f1) if base else None,
        control=control_arm.name if control_arm else None,
        loss=loss,
        gain=gain,
        classes=tuple(
            dataclasses.replace(item, difference=of_class, gain=gain)
            for item, of_class, gain in zip(arm.classes, _of_classes(correct, base, test), gains, strict=True)
        ),
    )


def _of_classes(correct: Values, reference: _ArmValues | None, test: _TestSet) -> list[Difference | None]:
    """Return the differences from another arm by class; None for each without one."""
    n_classes = len(test.names)
    if reference is None:
        return [None] * n_classes
    return class_differences(correct, reference.correct, test.labels, n_classes, test.clusters, test.folds)


def _is_control(candidate: Arm, arm: Arm) -> bool:
    """Whether `candidate` has the real images of `arm` and no synthetic one."""
    real_images = (candidate.real, candidate.shots) == (arm.real, arm.shots)
    alike = (candidate.augment, candidate.training) == (arm.augment, arm.training)
    return real_images and alike and arm.has_synthetic and not candidate.has_synthetic


def _trained_alike(first: Arm, second: Arm) -> bool:
    """Whether two arms took as many optimizer steps, or had the same bill for training and generation."""
    return first.steps == second.steps or {first.settings.get("budget"), second.settings.get("budget")} == {"cost"}


def _looks_with(recorded: Sequence[int], arms: Sequence[Arm]) -> tuple[int, ...]:
    """Return the numbers of seeds at which conclusions were drawn: the recorded ones and the present one."""
    seeds = max((arm.difference.seeds for arm in arms if arm.difference), default=0)
    return tuple(sorted({*recorded, seeds} if seeds > 1 else set(recorded)))


def _adjusted(arms: Sequence[Arm], margin_fraction: float, looks: int) -> tuple[Arm, ...]:
    """Return the arms with p values after correction: one family for each planned question.

    Arms against the baseline (accuracy, macro F1, non-inferiority), each without the controls; controls against the
    baseline, and with them further amounts of real images alone; arms against their controls.
    """
    controls = controls_of(arms)
    differences, f1_differences = (
        adjusted((None if arm.name in controls else getattr(arm, name) for arm in arms), looks)
        for name in ("difference", "macro_f1_difference")
    )
    gains = adjusted((arm.gain for arm in arms), looks)
    named = {arm.name: arm for arm in arms}
    of_controls = {
        arm.name: arm.difference and (arm.difference if trained_alike else arm.difference.untested())
        for arm in arms
        if arm.name in controls
        for trained_alike in [arm.reference is not None and _trained_alike(arm, named[arm.reference])]
    }
    losses = dict(zip(of_controls, adjusted(of_controls.values(), looks), strict=True))
    non_inferiority = _non_inferiority(differences, margin_fraction, looks)
    return tuple(
        dataclasses.replace(
            arm,
            difference=losses[arm.name] if arm.name in controls else differences[row],
            macro_f1_difference=f1_differences[row],
            loss=arm.loss and losses[arm.control or ""],
            gain=gains[row],
            non_inferiority=non_inferiority[row],
        )
        for row, arm in enumerate(arms)
    )


def _with_borrowed(
    arms: Sequence[Arm], correct: Mapping[str, Values], test: _TestSet
) -> tuple[tuple[Arm, ...], SharedSeedVariance | None]:
    """Return the arms with the second interval of their difference, and the seeds' variance that it rests on.

    Not in folds, which tell by themselves how much runs differ.
    """
    if test.folds is not None:
        return tuple(arms), None
    compared = [arm for arm in arms if arm.difference and arm.reference and len(arm.difference_seeds) > 1]
    pairs = [(correct[arm.name], correct[arm.reference]) for arm in compared if arm.reference]
    shared, differences = borrowed_differences(pairs, list(correct.values()), test.clusters)
    borrowed = dict(zip((arm.name for arm in compared), differences, strict=True))
    return tuple(dataclasses.replace(arm, borrowed=borrowed.get(arm.name)) for arm in arms), shared


def _with_power(
    arms: Sequence[Arm],
    correct: Mapping[str, Values],
    margin_fraction: float,
    looks: int,
    test: _TestSet,
) -> tuple[Arm, ...]:
    """Return the arms with their power, at the level that the correction leaves the first of its family.

    Without one in folds: the power of their interval is not worked out.
    """
    if test.folds is not None:
        return tuple(arms)
    controls = controls_of(arms)
    families = Counter(arm.name in controls for arm in arms if arm.difference)
    power: dict[str, ArmPower] = {}
    for is_control, reference in {(arm.name in controls, arm.reference) for arm in arms if arm.difference}:
        members = [arm.name for arm in arms if (arm.name in controls, arm.reference) == (is_control, reference)]
        power |= power_analysis.arm_powers(
            {name: correct[name] for name in members if name in correct},
            correct[reference] if reference else {},
            margin_fraction,
            ALPHA / (families[is_control] * looks),
            len(np.unique(test.clusters)),
        )
    return tuple(dataclasses.replace(arm, power=power.get(arm.name)) for arm in arms)


def _non_inferiority(
    differences: Sequence[Difference | None], margin_fraction: float, looks: int
) -> list[NonInferiority | None]:
    p_values = {
        row: item.non_inferiority_p(margin_fraction)
        for row, item in enumerate(differences)
        if item and item.p_value is not None
    }
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [
        _non_inferiority_of(item, p_values[row], min(1.0, looks * corrected[row]), margin_fraction)
        if item and row in p_values
        else None
        for row, item in enumerate(differences)
    ]


def _non_inferiority_of(
    difference: Difference, p_value: float, adjusted_p: float, margin_fraction: float
) -> NonInferiority:
    if adjusted_p <= ALPHA / 2:
        return NonInferiority(ESTABLISHED, p_value, adjusted_p)
    return NonInferiority(REJECTED if difference.high < -margin_fraction else INCONCLUSIVE, p_value, adjusted_p)


def _pairs(
    comparisons: Sequence[PlannedComparison],
    runs: Sequence[Run],
    correct: Mapping[str, Values],
    test: _TestSet,
    looks: int,
) -> tuple[PairComparison, ...]:
    """Compare the pairs of arms that the study names; p values of the planned ones are corrected together."""
    names = {run.key.arm: run.arm for run in runs}
    pairs = [_pair(names[item.first], names[item.second], item.exploratory, correct, test) for item in comparisons]
    place = {run.arm: number for number, run in enumerate(runs)}
    pairs.sort(key=lambda pair: (place[pair.first], place[pair.second]))
    planned = iter(adjusted([pair.difference for pair in pairs if not pair.exploratory], looks))
    return tuple(pair if pair.exploratory else dataclasses.replace(pair, difference=next(planned)) for pair in pairs)


def compare_arms(group: Group, first: str, second: str) -> PairComparison:
    """Compare two arms of a group after the results, first minus second.

    Args:
        group: of the study.
        first: name of an arm.
        second: name of another.
    """
    test = _TestSet(group.labels, group.clusters, group.class_names, group.folds)
    return _pair(first, second, True, group.correct, test)


def _pair(first: str, second: str, exploratory: bool, correct: Mapping[str, Values], test: _TestSet) -> PairComparison:
    both = first in correct and second in correct
    result = test.difference(correct[first], correct[second]) if both else None
    return PairComparison(first, second, exploratory, result)


def _trend(arms: Sequence[Arm], correct: Mapping[str, Values], test: _TestSet) -> ShareTrend | None:
    """Fit a line over the arms that are as large as the baseline and differ from it in the share alone.

    Without the baseline, which lies far from the other shares and would decide the slope by itself; not with one seed.
    """
    used = [
        arm
        for arm in arms_of_one_question(arms)
        if arm.name in correct and (len(arm.seeds) > 1 or test.folds is not None)
        if arm.differs_in_share_alone and not arm.baseline
    ]
    values = [correct[arm.name] for arm in used]
    line = slope([arm.synthetic_fraction for arm in used], values, 0.1, test.clusters, test.folds)
    return ShareTrend(line, tuple(arm.name for arm in used)) if line and line.seeds > 1 else None


def _confusion(
    predictions: list[RunPredictions], labels: NDArray[np.int64], classes: int
) -> NDArray[np.float64] | None:
    if classes > MAX_CONFUSION_CLASSES:
        return None
    counts = np.zeros((classes, classes))
    for item in predictions:
        np.add.at(counts, (labels, item.predicted), 1)
    return counts / len(predictions)
