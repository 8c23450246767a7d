"""Runs of a study -> one comparison. Every number in table, CSV, JSON and page comes from here."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    ShareTrend,
)
from synthaug.analysis.comparison.predictions import ArmIdentity, RunPredictions, baseline_of, identity, read_answers
from synthaug.analysis.inference import power_analysis
from synthaug.analysis.inference.contrasts import Values, adjusted, difference, macro_f1_parts, right, slope
from synthaug.analysis.inference.hypothesis_tests import holm
from synthaug.analysis.inference.intervals import ALPHA, Difference, accuracy_over_seeds, sample_deviation
from synthaug.errors import UserError
from synthaug.runs import discovery, layout, planning
from synthaug.runs.discovery import Run

MAX_CONFUSION_CLASSES = 50


def compare(study: Path, margin: float | None = None) -> Comparison:
    """Read every run of a study and compare those that can be compared.

    Args:
        study: its folder.
        margin: the smallest difference that matters, a fraction; by default the one that the study was planned with.
    """
    if not study.is_dir():
        raise UserError(f"{study} is no folder. Give the folder of a study, e.g. outputs/default.")
    runs = [_whole(run) for run in discovery.find_runs(study)]
    if not runs:
        inside = sorted(path.parent for path in study.glob(f"*/{layout.PLANNED}"))
        hint = (
            f"Did you mean {' or '.join(map(str, inside[:5]))}?"
            if inside
            else "Train some first: python -m synthaug.train -m mix=real,55,64,73,82"
        )
        raise UserError(f"{study} holds no runs. {hint}")
    groups = groupby(runs, key=lambda run: (run.key.dataset, run.key.generator, run.key.model))
    name = study.resolve().name
    margin = planning.read_margin(study) / 100 if margin is None else margin
    return Comparison(name, study, tuple(_compare_group(list(members), margin) for _, members in groups))


def _whole(run: Run) -> Run:
    """The run; a failed one where its result lacks what every report reads."""
    try:
        discovery.check_result(run.result or {}, run.folder)
    except UserError as error:
        return dataclasses.replace(run, state="failed", result=None, failure={"error": str(error), "type": "damaged"})
    return run


def _compare_group(runs: list[Run], margin: float) -> Group:
    reasons, answers, reference = read_answers(runs)
    compared = {item.run.key: item for item in answers}
    states = tuple(_state(run, reasons.get(run.key, ""), compared.get(run.key)) for run in runs)
    labels = reference[1].labels if reference else np.zeros(0, dtype=np.int64)
    names = tuple(reference[1].classes) if reference else ()
    found, measured = _arms(runs, answers, labels, names)
    arms = _with_power(_corrected(found, margin), measured, margin)
    predicted: dict[str, dict[int, NDArray[np.int64]]] = {}
    for item in answers:
        predicted.setdefault(item.run.key.arm, {})[item.run.key.seed] = item.predicted
    key = runs[0].key
    return Group(
        dataset=key.dataset,
        generator=key.generator,
        model=key.model,
        test_digest=str(reference[0]) if reference else None,
        n_test=len(labels),
        class_names=names,
        arms=arms,
        runs=states,
        margin=margin,
        trend=_trend(arms, measured),
        labels=labels,
        paths=tuple(reference[1].paths) if reference else (),
        predicted=predicted,
    )


def _state(run: Run, problem: str, answers: RunPredictions | None) -> ComparedRun:
    if answers is not None:
        return ComparedRun(run, "finished", accuracy=float(answers.correct.mean()))
    if run.state == "finished":
        return ComparedRun(run, NOT_COMPARABLE, problem)
    if run.state == "failed":
        failure = run.failure or {}
        when = f" ({failure['when']})" if failure.get("when") else ""
        return ComparedRun(run, "failed", f"{failure.get('type', 'error')}: {failure.get('error', '')}{when}")
    if run.state == "unfinished":
        return ComparedRun(run, "unfinished", "started, but no result yet; run the same command again to resume")
    return ComparedRun(run, "missing", "planned, but never started; run the same command again")


@dataclass(frozen=True)
class _Measured:
    """What an arm's runs answered, as numbers that can be compared: right or wrong, and parts of the macro F1."""

    right: Values
    macro_f1: Values


def _arms(
    runs: list[Run], answers: list[RunPredictions], labels: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[list[Arm], list[_Measured | None]]:
    """The arms of a group, and beside each what its runs answered."""
    by_arm: dict[ArmIdentity, list[RunPredictions]] = {}
    planned = Counter(identity(run) for run in runs)
    for item in answers:
        by_arm.setdefault(identity(item.run), []).append(item)
    baseline = baseline_of(planned)
    arms: list[Arm] = []
    measured: list[_Measured | None] = []
    for key, count in planned.items():
        arm, found = Arm(*key[:3], key == baseline, count, augment=key[3]), None
        if key in by_arm:
            predicted = {item.run.key.seed: item.predicted for item in by_arm[key]}
            found = _Measured(right(predicted, labels), macro_f1_parts(predicted, labels, len(names)))
            arm = _alone(arm, by_arm[key], found, labels, names)
        arms.append(arm)
        measured.append(found)
    beside = [
        _beside(arm, found, arms, measured, labels) if found else arm for arm, found in zip(arms, measured, strict=True)
    ]
    return beside, measured


def _alone(
    arm: Arm, answers: list[RunPredictions], measured: _Measured, labels: NDArray[np.int64], names: tuple[str, ...]
) -> Arm:
    """`arm` with everything that its own runs say."""
    first = answers[0].result
    correct = np.stack([measured.right[seed] for seed in sorted(measured.right)])
    return dataclasses.replace(
        arm,
        seeds=tuple(sorted(measured.right)),
        n_real=first["counts"]["real"],
        n_synthetic=first["counts"]["synthetic"],
        accuracy=accuracy_over_seeds(correct),
        seed_deviation=sample_deviation([float(row.mean()) for row in correct]),
        macro_f1=float(np.mean([values.mean() for values in measured.macro_f1.values()])),
        calibration_error=float(np.mean([item.result["test"]["calibration_error"] for item in answers])),
        steps=first["training"]["steps"],
        epochs=first["training"]["epochs"],
        passes=first["training"].get("passes"),
        same_synthetic_images=len({item.result["data"].get("synthetic") for item in answers}) == 1,
        classes=tuple(_class_alone(name, correct[:, labels == label]) for label, name in enumerate(names)),
        confusion=_confusion(answers, labels, len(names)),
    )


def _class_alone(name: str, correct: NDArray[np.float64]) -> ClassResult:
    n = correct.shape[1]
    return ClassResult(name, n, accuracy_over_seeds(correct) if n else None)


def _beside(
    arm: Arm, own: _Measured, arms: Sequence[Arm], measured: Sequence[_Measured | None], labels: NDArray[np.int64]
) -> Arm:
    """`arm` with everything that it says beside the baseline and beside its control."""
    pairs = list(zip(arms, measured, strict=True))
    base = None if arm.baseline else next((found for other, found in pairs if other.baseline), None)
    control, alone = next(((other, found) for other, found in pairs if found and _is_control(other, arm)), (None, None))
    classes = tuple(
        dataclasses.replace(
            item,
            difference=difference(own.right, base.right, rows) if base and item.n_test else None,
            gain=difference(own.right, alone.right, rows) if alone and item.n_test else None,
        )
        for label, item in enumerate(arm.classes)
        for rows in [np.flatnonzero(labels == label)]
    )
    return dataclasses.replace(
        arm,
        difference=difference(own.right, base.right) if base else None,
        difference_seeds=tuple(sorted(set(own.right) & set(base.right))) if base else (),
        macro_f1_difference=difference(own.macro_f1, base.macro_f1) if base else None,
        control=control.name if control else None,
        loss=difference(alone.right, base.right) if alone and base and alone is not base else None,
        gain=difference(own.right, alone.right) if alone else None,
        classes=classes,
    )


def _is_control(other: Arm, arm: Arm) -> bool:
    """Whether `other` has the real images of `arm` and no synthetic one."""
    wanted = (arm.real, 0, arm.augment)
    return arm.synthetic > 0 and (other.real, other.synthetic, other.augment) == wanted


def _corrected(arms: Sequence[Arm], margin: float) -> tuple[Arm, ...]:
    """The arms with p values that allow for how many questions of a kind were asked."""
    arms_difference = adjusted(arm.difference for arm in arms)
    macro_f1_difference = adjusted(arm.macro_f1_difference for arm in arms)
    loss, gain = adjusted(arm.loss for arm in arms), adjusted(arm.gain for arm in arms)
    non_inferiority = iter(_non_inferiority([arm.difference for arm in arms if arm.difference], margin))
    return tuple(
        dataclasses.replace(
            arm,
            difference=arms_difference[place],
            macro_f1_difference=macro_f1_difference[place],
            loss=loss[place],
            gain=gain[place],
            non_inferiority=next(non_inferiority) if arm.difference else None,
            classes=_classes_corrected(arm.classes),
        )
        for place, arm in enumerate(arms)
    )


def _classes_corrected(classes: Sequence[ClassResult]) -> tuple[ClassResult, ...]:
    """Over the classes of one arm, each arm being a question of its own."""
    differences, gains = (adjusted(getattr(item, name) for item in classes) for name in ("difference", "gain"))
    return tuple(
        dataclasses.replace(item, difference=difference, gain=gain)
        for item, difference, gain in zip(classes, differences, gains, strict=True)
    )


def _with_power(arms: Sequence[Arm], measured: Sequence[_Measured | None], margin: float) -> tuple[Arm, ...]:
    right_of = {place: found.right for place, found in enumerate(measured) if found}
    base = next((right_of.pop(place) for place, arm in enumerate(arms) if arm.baseline and place in right_of), {})
    found = power_analysis.arm_powers({str(place): values for place, values in right_of.items()}, base, margin)
    return tuple(dataclasses.replace(arm, power=found.get(str(place))) for place, arm in enumerate(arms))


def _non_inferiority(found: Sequence[Difference], margin: float) -> list[NonInferiority]:
    p_values = [item.non_inferiority_p(margin) for item in found]
    return [
        NonInferiority(_non_inferiority_verdict(item, adjusted_p, margin), p, adjusted_p)
        for item, p, adjusted_p in zip(found, p_values, holm(p_values), strict=True)
    ]


def _non_inferiority_verdict(difference: Difference, adjusted_p: float, margin: float) -> str:
    if adjusted_p <= ALPHA / 2:
        return ESTABLISHED
    return REJECTED if difference.high < -margin else INCONCLUSIVE


def _trend(arms: Sequence[Arm], measured: Sequence[_Measured | None]) -> ShareTrend | None:
    """Over the arms that are as large as the baseline and differ from it in the share alone."""
    of_size = [(arm, found) for arm, found in zip(arms, measured, strict=True) if found and arm.differs_in_share_alone]
    found = slope([arm.synthetic_fraction for arm, _ in of_size], [values.right for _, values in of_size], per=0.1)
    return ShareTrend(found, tuple(arm.name for arm, _ in of_size)) if found else None


def _confusion(answers: list[RunPredictions], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    if classes > MAX_CONFUSION_CLASSES:
        return None
    counts = np.zeros((classes, classes))
    for item in answers:
        np.add.at(counts, (labels, item.predicted), 1)
    return counts / len(answers)
