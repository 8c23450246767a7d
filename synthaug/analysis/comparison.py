"""Runs of a study -> one comparison. Every number in table, CSV, JSON and page comes from here."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug import results
from synthaug.analysis.answers import BASELINE, Answers, identity, read_answers
from synthaug.analysis.notes import notes
from synthaug.analysis.statistics import Estimate, paired_difference, sample_deviation, wilson
from synthaug.analysis.study import NOT_COMPARABLE, Arm, ClassResult, ComparedRun, Comparison, Group
from synthaug.errors import UserError
from synthaug.results import Run

MAX_CONFUSION_CLASSES = 50


def compare(study: Path) -> Comparison:
    """Read every run of a study and compare those that can be compared."""
    if not study.is_dir():
        raise UserError(f"{study} is no folder. Give the folder of a study, e.g. outputs/default.")
    runs = results.find_runs(study)
    if not runs:
        inside = sorted(path.parent for path in study.glob(f"*/{results.PLANNED}"))
        hint = (
            f"Did you mean {' or '.join(map(str, inside[:5]))}?"
            if inside
            else "Train some first: python -m synthaug.train -m mix=real,55,64,73,82"
        )
        raise UserError(f"{study} holds no runs. {hint}")
    groups = groupby(runs, key=lambda run: (run.key.dataset, run.key.generator, run.key.model))
    name = study.resolve().name
    return Comparison(name, study, tuple(_compare_group(list(members)) for _, members in groups))


def _compare_group(runs: list[Run]) -> Group:
    reasons, answers, reference = read_answers(runs)
    compared = {item.run.key: item for item in answers}
    states = tuple(_state(run, reasons.get(run.key, ""), compared.get(run.key)) for run in runs)
    labels = reference[1].labels if reference else np.zeros(0, dtype=np.int64)
    names = tuple(reference[1].classes) if reference else ()
    arms = _arms(runs, answers, labels, names)
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
        notes=notes(arms, answers, labels),
    )


def _state(run: Run, problem: str, answers: Answers | None) -> ComparedRun:
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


_Correct = Mapping[int, NDArray[np.bool_]]  # seed -> per test image


def _arms(
    runs: list[Run], answers: list[Answers], labels: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[Arm, ...]:
    by_arm: dict[tuple[str, float, float, str], list[Answers]] = {}
    planned = Counter(identity(run) for run in runs)
    for item in answers:
        by_arm.setdefault(identity(item.run), []).append(item)
    baselines = [key for key in planned if key[1:] == BASELINE]
    baseline = next((key for key in baselines if key[0] == "real"), baselines[0] if baselines else None)
    base = {item.run.key.seed: item.correct for item in by_arm.get(baseline, [])} if baseline else {}
    arms = []
    for key, count in planned.items():
        arm = Arm(*key[:3], key == baseline, count, augment=key[3])
        if key in by_arm:
            arm = _measured(arm, by_arm[key], labels, names, {} if arm.baseline else base)
        arms.append(arm)
    return tuple(arms)


def _measured(
    arm: Arm, answers: list[Answers], labels: NDArray[np.int64], names: tuple[str, ...], base: _Correct
) -> Arm:
    """`arm` with everything that its runs say."""
    correct = {item.run.key.seed: item.correct for item in answers}
    share = np.mean(list(correct.values()), axis=0)
    shared = tuple(sorted(set(correct) & set(base)))
    differences = _differences(correct, base, shared) if base else None
    first = answers[0].result
    return dataclasses.replace(
        arm,
        seeds=tuple(sorted(correct)),
        n_real=first["counts"]["real"],
        n_synthetic=first["counts"]["synthetic"],
        accuracy=_proportion(share),
        seed_deviation=sample_deviation([float(values.mean()) for values in correct.values()]),
        macro_f1=_mean(item.result["test"]["macro_f1"] for item in answers),
        calibration_error=_mean(item.result["test"]["calibration_error"] for item in answers),
        difference=None if differences is None else paired_difference(differences),
        difference_seeds=shared,
        steps=first["training"]["steps"],
        epochs=first["training"]["epochs"],
        one_draw=len({item.result["data"].get("synthetic") for item in answers}) == 1,
        classes=_class_results(names, labels, share, differences),
        confusion=_confusion(answers, labels, len(names)),
    )


def _differences(correct: _Correct, base: _Correct, shared: tuple[int, ...]) -> NDArray[np.float64]:
    """Per test image: share of seeds that are right, arm minus baseline, over the seeds that both have."""
    left = [correct[seed] for seed in shared] or list(correct.values())
    right = [base[seed] for seed in shared] or list(base.values())
    return np.asarray(np.mean(left, axis=0) - np.mean(right, axis=0), dtype=np.float64)


def _class_results(
    names: tuple[str, ...],
    labels: NDArray[np.int64],
    share: NDArray[np.float64],
    differences: NDArray[np.float64] | None,
) -> tuple[ClassResult, ...]:
    found = []
    for label, name in enumerate(names):
        rows = np.flatnonzero(labels == label)
        if len(rows) == 0:
            found.append(ClassResult(name, 0, None, None))
            continue
        difference = None if differences is None else paired_difference(differences[rows])
        found.append(ClassResult(name, len(rows), _proportion(share[rows]), difference))
    return tuple(found)


def _proportion(share: NDArray[np.float64]) -> Estimate:
    # The sum of means of booleans may pass the number of images by rounding.
    return wilson(min(float(share.sum()), len(share)), len(share))


def _confusion(answers: list[Answers], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    if classes > MAX_CONFUSION_CLASSES:
        return None
    counts = np.zeros((classes, classes))
    for item in answers:
        np.add.at(counts, (labels, item.predicted), 1)
    return counts / len(answers)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
