"""The arms of a group on its shift sets: accuracies, differences, and how much a shift costs each arm.

The comparison has the predictions for the runs' own test set; those for a shift set lie in `shifts/<name>/` of a run.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import NOT_COMPARABLE, Group, Reason
from synthaug.analysis.comparison.predictions import by_arm, load_predictions
from synthaug.analysis.inference.confidence import Calibration, calibration
from synthaug.analysis.inference.contrasts import Values, adjusted, difference, right
from synthaug.analysis.inference.intervals import (
    Difference,
    Estimate,
    accuracy_over_seeds,
    cluster_means,
    difference_of_differences,
    paired_difference,
    wilson,
)
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.runs import layout
from synthaug.runs.discovery import Run

TEST = "test"  # the runs' own test set
POOLED = "corruptions, mean"
EXCLUDED, NOT_EVALUATED, AT_CHANCE = "excluded", "not_evaluated", "at_chance"


@dataclass(frozen=True)
class ArmShiftResult:
    """One arm on one test set.

    Attributes:
        arm: its name.
        baseline: whether the others are compared with it.
        seeds: whose predictions count.
        accuracy: with its interval over seeds and images.
        calibration: how confident the predictions are; None for a mean over several sets.
        difference: from the baseline on this set, paired by image and seed; None for the baseline or without one.
        change: accuracy on this set minus that on the runs' own test set; None for the latter.
        extra: the arm's change minus the baseline's, so that below 0 it loses more than the baseline does; None where
            there is no change to compare, or no seed that both arms have.
    """

    arm: str
    baseline: bool
    seeds: tuple[int, ...]
    accuracy: Estimate
    calibration: Calibration | None = None
    difference: Difference | None = None
    change: Difference | None = None
    extra: Difference | None = None


@dataclass(frozen=True)
class ShiftSetResult:
    """A test set and the arms that were evaluated on it, in the order of the runs.

    Attributes:
        name: "test" for the runs' own.
        origin: of its images, "real" or "synthetic".
        paired: whether image i is image i of the runs' own test set, changed.
        n: images.
        chance: share of the most frequent class, which always predicting it would get right.
        digest: what two runs must share to be compared; "" for a mean over several sets.
        arms: those with at least one run.
    """

    name: str
    origin: str
    paired: bool
    n: int
    chance: float
    digest: str
    arms: tuple[ArmShiftResult, ...]


@dataclass(frozen=True)
class ShiftNote:
    """What limits the results.

    Attributes:
        kind: EXCLUDED, a run whose predictions cannot be compared; NOT_EVALUATED, runs without predictions;
            AT_CHANCE, arms that are not better than always predicting the most frequent class.
        sets: names of the shift sets.
        names: of the runs or arms.
        reason: why a run is excluded.
        chance: share of the most frequent class, where arms are at chance.
    """

    kind: str
    sets: tuple[str, ...]
    names: tuple[str, ...]
    reason: Reason | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Robustness:
    """Results on the shift sets.

    Attributes:
        test: on the runs' own test set.
        pooled: mean over all sets that are paired with it; None below two.
        sets: each shift set.
        notes: what limits them.
    """

    test: ShiftSetResult
    pooled: ShiftSetResult | None
    sets: tuple[ShiftSetResult, ...]
    notes: tuple[ShiftNote, ...]


@dataclass(frozen=True)
class _Evaluated:
    """All predictions for one set: arm → seed → one value per image, in one order for all."""

    correct: Mapping[str, Values]
    confidence: Mapping[str, Values]
    paths: Sequence[str]
    labels: NDArray[np.int64]
    clusters: NDArray[np.int64]
    facts: Mapping[str, Any]

    @property
    def paired(self) -> bool:
        return bool(self.facts["paired_with"] == TEST)


def robustness(group: Group) -> Robustness | None:
    """Compute the results of a group on all shift sets that were requested; None where there are none, or folds."""
    finished = [item.run for item in group.runs if item.run.result is not None]
    names = sorted({name for run in finished for name in run.shift_sets})
    if not names or not group.predicted or group.folds is not None:
        return None
    test = _test(group)
    notes = [
        ShiftNote(EXCLUDED, (TEST,), (item.run.label,), item.reason)
        for item in group.runs
        if item.state == NOT_COMPARABLE
    ]
    evaluated = {name: item for name in names if (item := _read(name, _results(finished, name, notes), notes))}
    notes += _not_evaluated(finished, evaluated)
    baseline = next((arm.name for arm in group.arms if arm.baseline), None)
    sets = [_set_result(name, item, test, baseline) for name, item in evaluated.items()]
    notes += _at_chance(sets)
    mean = _mean_of([item for item in evaluated.values() if item.paired], test)
    pooled = _set_result(POOLED, mean, test, baseline) if mean else None
    return Robustness(_set_result(TEST, test, test, baseline), pooled, tuple(_corrected(sets)), tuple(notes))


# --- reading -----------------------------------------------------------------------------------------


def _test(group: Group) -> _Evaluated:
    """Return the predictions for the runs' own test set."""
    arms = [arm for arm in group.arms if arm.seeds]
    correct, confidence = (
        {arm.name: {seed: values[arm.name][seed] for seed in arm.seeds} for arm in arms}
        for values in (group.correct, group.confidence)
    )
    facts = {"origin": "real", "paired_with": None, "digest": group.test_digest}
    return _Evaluated(correct, confidence, group.paths, group.labels, group.clusters, facts)


def _results(
    runs: Sequence[Run], name: str, notes: list[ShiftNote]
) -> dict[layout.RunKey, tuple[Run, Mapping[str, Any]]]:
    """Of runs evaluated on a set: the run as if the set were its test, and what its `result.json` says."""
    results: dict[layout.RunKey, tuple[Run, Mapping[str, Any]]] = {}
    for run in runs:
        if name not in run.shift_sets:
            continue
        folder = layout.shift_folder(run.folder, name)
        try:
            facts = read_json(folder / layout.RESULT)
            stand_in = {**facts, "data": {"test": facts["digest"]}}
        except (UserError, KeyError) as error:
            reason = Reason("unreadable_result", {"path": str(folder / layout.RESULT), "error": str(error)})
            notes.append(ShiftNote(EXCLUDED, (name,), (run.label,), reason))
            continue
        results[run.key] = (dataclasses.replace(run, folder=folder, result=stand_in), facts)
    return results


def _read(
    name: str, results: Mapping[layout.RunKey, tuple[Run, Mapping[str, Any]]], notes: list[ShiftNote]
) -> _Evaluated | None:
    """Return the predictions that can be compared; a run with another test set under the same name is excluded."""
    reasons, answers, reference = load_predictions([run for run, _ in results.values()])
    notes += [ShiftNote(EXCLUDED, (name,), (results[key][0].label,), reason) for key, reason in reasons.items()]
    if not answers or reference is None:
        return None
    facts = {"origin": "real", "paired_with": None, **results[answers[0].run.key][1]}
    paths, labels = reference[1].paths, reference[1].labels
    arms = by_arm(answers)
    correct = {arm: right({item.run.key.seed: item.predicted for item in runs}, labels) for arm, runs in arms.items()}
    confidence = {arm: {item.run.key.seed: item.confidence for item in runs} for arm, runs in arms.items()}
    return _Evaluated(correct, confidence, paths, labels, reference[1].clusters, facts)


def _not_evaluated(runs: Sequence[Run], names: Iterable[str]) -> list[ShiftNote]:
    """Which finished runs lack which sets; runs that lack the same ones in one note."""
    not_evaluated: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        if missing := tuple(name for name in names if name not in run.shift_sets):
            not_evaluated.setdefault(missing, []).append(run.label)
    return [ShiftNote(NOT_EVALUATED, missing, tuple(labels)) for missing, labels in not_evaluated.items()]


def _at_chance(sets: Iterable[ShiftSetResult]) -> list[ShiftNote]:
    """Where nothing is left to lose, an arm that has lost all looks as good as one that has not."""
    alike = dict[tuple[float, tuple[str, ...]], list[str]]()
    for result in sets:
        # Over the images alone: few seeds that differ make an interval that reaches down to anything.
        lows = {arm.arm: wilson(arm.accuracy.value * result.n, result.n).low for arm in result.arms}
        if names := tuple(name for name, low in lows.items() if low <= result.chance):
            alike.setdefault((result.chance, names), []).append(result.name)
    return [ShiftNote(AT_CHANCE, tuple(names), arms, chance=chance) for (chance, arms), names in alike.items()]


# --- numbers -----------------------------------------------------------------------------------------


def _set_result(name: str, item: _Evaluated, test: _Evaluated, baseline: str | None) -> ShiftSetResult:
    rows = None if name == TEST else _rows(item, test)
    arms = tuple(
        _arm_result(arm, item, test, baseline, None if name == TEST else (rows,))
        for arm in test.correct
        if arm in item.correct
    )
    facts = item.facts
    chance = float(np.bincount(item.labels).max()) / len(item.labels)
    return ShiftSetResult(name, facts["origin"], rows is not None, len(item.paths), chance, facts["digest"], arms)


def _arm_result(
    arm: str,
    item: _Evaluated,
    test: _Evaluated,
    baseline: str | None,
    shift: tuple[NDArray[np.int64] | None] | None,
) -> ArmShiftResult:
    """One arm; `shift` holds the rows of a shift set in the test set, and is None for the test set itself."""
    correct, clean = item.correct[arm], test.correct[arm]
    base = item.correct.get(baseline) if baseline is not None and arm != baseline else None
    clean_base = test.correct.get(baseline) if baseline is not None and base is not None else None
    confidence = item.confidence.get(arm)
    return ArmShiftResult(
        arm,
        arm == baseline,
        tuple(sorted(correct)),
        accuracy_over_seeds(_stacked(correct), clusters=item.clusters),
        calibration(_stacked(confidence), _stacked(correct)) if confidence else None,
        difference(correct, base, clusters=item.clusters) if base else None,
        _change(correct, clean, shift[0], item, test) if shift else None,
        _extra((correct, base), (clean, clean_base), shift[0], item, test) if shift and base and clean_base else None,
    )


def _stacked(values: Values) -> NDArray[np.float64]:
    """(seeds, images), in the order of the seeds."""
    return np.stack([values[seed] for seed in sorted(values)])


def _rows(item: _Evaluated, test: _Evaluated) -> NDArray[np.int64] | None:
    """Which image of the test set each image of a set is; None where they are not the same images."""
    if not item.paired:
        return None
    place = {PurePath(path).parts[-2:]: row for row, path in enumerate(test.paths)}
    rows = [place.get(PurePath(path).parts[-2:]) for path in item.paths]
    return None if None in rows or len(rows) != len(place) else np.array(rows, dtype=np.int64)


def _change(
    correct: Values, clean: Values, rows: NDArray[np.int64] | None, item: _Evaluated, test: _Evaluated
) -> Difference | None:
    """Accuracy on a set minus that on the runs' own test, over the seeds with predictions for both."""
    seeds = sorted(set(correct) & set(clean))
    if not seeds:
        return None
    if rows is None:
        on_set = _mean({seed: correct[seed] for seed in seeds}, item.clusters)
        on_test = _mean({seed: clean[seed] for seed in seeds}, test.clusters)
        return difference_of_differences(on_set, on_test, reach=1.0)
    values = np.stack([correct[seed] - clean[seed][rows] for seed in seeds])
    return paired_difference(cluster_means(values, item.clusters))


def _mean(correct: Values, clusters: NDArray[np.int64]) -> Difference:
    """Return an accuracy in the form that `difference_of_differences` takes."""
    centred = paired_difference(cluster_means(_stacked(correct) - 0.5, clusters), reach=0.5)
    return dataclasses.replace(centred, value=centred.value + 0.5, centre=centred.centre + 0.5)


def _extra(
    on_set: tuple[Values, Values],
    on_test: tuple[Values, Values],
    rows: NDArray[np.int64] | None,
    item: _Evaluated,
    test: _Evaluated,
) -> Difference | None:
    """How much more (below 0) or less an arm loses than the baseline, over the seeds with all four predictions."""
    (correct, base), (clean, clean_base) = on_set, on_test
    seeds = sorted(set(correct) & set(clean) & set(base) & set(clean_base))
    if not seeds:
        return None
    if rows is None:
        changed = np.stack([correct[seed] - base[seed] for seed in seeds])
        unchanged = np.stack([clean[seed] - clean_base[seed] for seed in seeds])
        return difference_of_differences(
            paired_difference(cluster_means(changed, item.clusters)),
            paired_difference(cluster_means(unchanged, test.clusters)),
        )
    values = [correct[seed] - base[seed] - (clean[seed] - clean_base[seed])[rows] for seed in seeds]
    return paired_difference(cluster_means(np.stack(values), item.clusters), reach=2.0)


def _mean_of(sets: Sequence[_Evaluated], test: _Evaluated) -> _Evaluated | None:
    """Return the mean over several sets of the same images: an image counts by the share of sets in which it is right.

    Only runs with predictions for all of them count; None below two sets, or where no run has all.
    """
    orders = [rows for item in sets if (rows := _rows(item, test)) is not None]
    if len(orders) != len(sets) or len(sets) < 2:
        return None
    correct: dict[str, Values] = {}
    for arm in test.correct:
        by_set = [item.correct.get(arm, {}) for item in sets]
        seeds = set.intersection(*(set(values) for values in by_set))
        if seeds:
            correct[arm] = {
                seed: np.mean(
                    [values[seed][np.argsort(rows)] for values, rows in zip(by_set, orders, strict=True)], axis=0
                )
                for seed in sorted(seeds)
            }
    facts = {"origin": "real", "paired_with": TEST, "digest": "", "sets": len(sets)}
    return _Evaluated(correct, {}, test.paths, test.labels, test.clusters, facts) if correct else None


def _corrected(sets: Sequence[ShiftSetResult]) -> Iterator[ShiftSetResult]:
    """Return the sets with Holm's correction over all extra losses, and over all differences, of all of them."""
    arms = [arm for result in sets for arm in result.arms]
    pairs = zip(adjusted(arm.difference for arm in arms), adjusted(arm.extra for arm in arms), strict=True)
    corrected = iter(
        dataclasses.replace(arm, difference=from_baseline, extra=extra)
        for arm, (from_baseline, extra) in zip(arms, pairs, strict=True)
    )
    for result in sets:
        yield dataclasses.replace(result, arms=tuple(next(corrected) for _ in result.arms))
