"""What further test sets say of the arms of a group: every number of that part.

Plain input: runs as found on disk. An arm's answers to a further set lie in its runs' `shifts/<name>/`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.predictions import (
    ArmIdentity,
    RunPredictions,
    baseline_of,
    identity,
    load_predictions,
)
from synthaug.analysis.inference.confidence import Calibration, calibration
from synthaug.analysis.inference.contrasts import Values, adjusted, difference
from synthaug.analysis.inference.intervals import (
    Difference,
    Estimate,
    accuracy_over_seeds,
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


@dataclass(frozen=True)
class ArmOnSet:
    """One arm on one test set.

    Attributes:
        arm: its name.
        baseline: whether the others are compared with it.
        seeds: whose answers count.
        accuracy: with its interval over seeds and images.
        calibration: how sure the answers are; None for a mean over several sets.
        difference: from the baseline on this set, paired by image and seed; None for the baseline or without one.
        change: accuracy here minus that on the runs' own test set; None there.
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
class JudgedSet:
    """A test set and the arms that were judged on it, in the order of the runs.

    Attributes:
        name: "test" for the runs' own.
        origin: of its images, "real" or "synthetic".
        paired: whether image i is image i of the runs' own test set, changed.
        n: images.
        chance: share of the most frequent class, which always naming it would get right.
        digest: what two runs must share to be compared; "" for a mean over several sets.
        arms: those with at least one run.
    """

    name: str
    origin: str
    paired: bool
    n: int
    chance: float
    digest: str
    arms: tuple[ArmOnSet, ...]


@dataclass(frozen=True)
class Robustness:
    """The runs' own test set, the mean over all that are paired with it (None below two), each further set; notes."""

    test: JudgedSet
    pooled: JudgedSet | None
    sets: tuple[JudgedSet, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Answered:
    """All that was answered on one set: arm → seed → one value per image, in one order for all."""

    correct: dict[ArmIdentity, Values]
    confidence: dict[ArmIdentity, Values]
    paths: list[str]
    labels: NDArray[np.int64]
    facts: Mapping[str, Any]


def robustness(runs: Sequence[Run]) -> Robustness | None:
    """Judge the arms of one group on all further test sets that were asked for; None where there is none.

    Args:
        runs: of one dataset, generator and model; those that are not finished are left out.
    """
    finished = [run for run in runs if run.result is not None]
    names = sorted({name for run in finished for name in _judged(run)})
    if not names:
        return None
    notes: list[str] = []
    test = _read(TEST, {run.key: (run, {}) for run in finished}, notes)
    if test is None:
        return None
    answered = {name: found for name in names if (found := _read(name, _results(finished, name, notes), notes))}
    notes += _not_judged(finished, answered)
    baseline = baseline_of(map(identity, finished))
    sets = [_set(name, found, test, baseline) for name, found in answered.items()]
    notes += _at_chance(sets)
    paired = [found for found in answered.values() if found.facts["paired_with"] == TEST]
    mean = _mean_of(paired, test)
    pooled = _set(POOLED, mean, test, baseline) if mean else None
    return Robustness(_set(TEST, test, test, baseline), pooled, tuple(_corrected(sets)), tuple(notes))


# --- reading -----------------------------------------------------------------------------------------


def _judged(run: Run) -> list[str]:
    return [path.parent.name for path in (run.folder / layout.SHIFTS).glob(f"*/{layout.RESULT}")]


def _results(runs: Sequence[Run], name: str, notes: list[str]) -> dict[layout.RunKey, tuple[Run, Mapping[str, Any]]]:
    """Of the runs that were judged on a set: a run as if the set were its test, and what its `result.json` says."""
    found: dict[layout.RunKey, tuple[Run, Mapping[str, Any]]] = {}
    for run in runs:
        folder = layout.shift_folder(run.folder, name)
        if not (folder / layout.RESULT).is_file():
            continue
        try:
            facts = read_json(folder / layout.RESULT)
            stand_in = {"format": facts["format"], "data": {"test": facts["digest"]}}
        except (UserError, KeyError) as error:
            notes.append(f"{name}: {run.key.label} is left out: {folder / layout.RESULT} cannot be read ({error}).")
            continue
        found[run.key] = (dataclasses.replace(run, folder=folder, result=stand_in), facts)
    return found


def _read(
    name: str, found: Mapping[layout.RunKey, tuple[Run, Mapping[str, Any]]], notes: list[str]
) -> _Answered | None:
    """The answers that can be compared; a run with another test set under the same name is named and left out."""
    reasons, answers, reference = load_predictions([run for run, _ in found.values()], confidence=True)
    notes += [f"{name}: {key.label} is left out: {reason}." for key, reason in reasons.items()]
    if not answers or reference is None:
        return None
    facts = {"origin": "real", "paired_with": None, "digest": reference[0], **found[answers[0].run.key][1]}
    correct: dict[ArmIdentity, dict[int, NDArray[np.float64]]] = {}
    confidence: dict[ArmIdentity, dict[int, NDArray[np.float64]]] = {}
    for item in answers:
        arm, seed = identity(item.run), item.run.key.seed
        correct.setdefault(arm, {})[seed] = item.correct.astype(np.float64)
        confidence.setdefault(arm, {})[seed] = _sure(item)
    return _Answered(dict(correct), dict(confidence), reference[1].paths, reference[1].labels, facts)


def _sure(item: RunPredictions) -> NDArray[np.float64]:
    assert item.confidence is not None, "they were asked for"
    return item.confidence


def _not_judged(runs: Sequence[Run], answered: Mapping[str, _Answered]) -> list[str]:
    """Which finished runs lack which sets; runs that lack the same ones in one sentence."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        judged = set(_judged(run))
        names = tuple(name for name in answered if name not in judged)
        if names:
            lacking.setdefault(names, []).append(run.key.label)
    return [
        f"Not judged on {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: "
        f"{', '.join(labels)}."
        for names, labels in lacking.items()
    ]


def _at_chance(sets: Iterable[JudgedSet]) -> Iterator[str]:
    """Where nothing is left to lose, an arm that has lost all looks as good as one that has not."""
    alike = dict[tuple[float, tuple[str, ...]], list[str]]()
    for one in sets:
        # Over the images alone: few seeds that differ make an interval that reaches down to anything.
        lows = {arm.arm: wilson(arm.accuracy.value * one.n, one.n).low for arm in one.arms}
        if names := tuple(name for name, low in lows.items() if low <= one.chance):
            alike.setdefault((one.chance, names), []).append(one.name)
    for (chance, names), where in alike.items():
        yield (
            f"{', '.join(where)}: not shown to be better than always naming the most frequent class ({chance:.1%}) "
            f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}, so that differences there mean little."
        )


# --- numbers -----------------------------------------------------------------------------------------


def _set(name: str, found: _Answered, test: _Answered, baseline: ArmIdentity | None) -> JudgedSet:
    rows = None if name == TEST else _rows(found, test)
    arms = []
    for arm in [key for key in test.correct if key in found.correct]:
        own, clean = found.correct[arm], test.correct[arm]
        base = None if arm == baseline or baseline is None else found.correct.get(baseline)
        clean_base = test.correct.get(baseline) if base is not None and baseline is not None else None
        sure = found.confidence.get(arm)
        arms.append(
            ArmOnSet(
                arm[0],
                arm == baseline,
                tuple(sorted(own)),
                accuracy_over_seeds(_stacked(own)),
                calibration(_stacked(sure), _stacked(own)) if sure else None,
                difference(own, base) if base else None,
                None if name == TEST else _change(own, clean, rows),
                None if name == TEST or not base or not clean_base else _extra(own, clean, base, clean_base, rows),
            )
        )
    facts = found.facts
    chance = float(np.bincount(found.labels).max()) / len(found.labels)
    return JudgedSet(name, facts["origin"], rows is not None, len(found.paths), chance, facts["digest"], tuple(arms))


def _stacked(values: Values) -> NDArray[np.float64]:
    """(seeds, images), in the order of the seeds."""
    return np.stack([values[seed] for seed in sorted(values)])


def _rows(found: _Answered, test: _Answered) -> NDArray[np.int64] | None:
    """Which image of the test set each image of a set is; None where they are not the same images."""
    if found.facts["paired_with"] != TEST:
        return None
    place = {PurePath(path).parts[-2:]: row for row, path in enumerate(test.paths)}
    own = [place.get(PurePath(path).parts[-2:]) for path in found.paths]
    return None if None in own or len(own) != len(place) else np.array(own, dtype=np.int64)


def _change(own: Values, clean: Values, rows: NDArray[np.int64] | None) -> Difference | None:
    """Accuracy on a set minus that on the runs' own test, over the seeds with answers to both."""
    seeds = sorted(set(own) & set(clean))
    if not seeds:
        return None
    if rows is None:
        on_set, on_test = (_mean({s: side[s] for s in seeds}) for side in (own, clean))
        return difference_of_differences(on_set, on_test, reach=1.0)
    return paired_difference(np.stack([own[seed] - clean[seed][rows] for seed in seeds]))


def _mean(correct: Values) -> Difference:
    """An accuracy in the form that `difference_of_differences` takes."""
    found = paired_difference(_stacked(correct) - 0.5, reach=0.5)
    return dataclasses.replace(found, value=found.value + 0.5, centre=found.centre + 0.5)


def _extra(
    own: Values, clean: Values, base: Values, clean_base: Values, rows: NDArray[np.int64] | None
) -> Difference | None:
    """How much more (below 0) or less an arm loses than the baseline, over the seeds with all four answers."""
    seeds = sorted(set(own) & set(clean) & set(base) & set(clean_base))
    if not seeds:
        return None
    if rows is None:
        here = paired_difference(np.stack([own[seed] - base[seed] for seed in seeds]))
        on_test = paired_difference(np.stack([clean[seed] - clean_base[seed] for seed in seeds]))
        return difference_of_differences(here, on_test)
    values = [own[seed] - base[seed] - (clean[seed] - clean_base[seed])[rows] for seed in seeds]
    return paired_difference(np.stack(values), reach=2.0)


def _mean_of(sets: Sequence[_Answered], test: _Answered) -> _Answered | None:
    """The mean over several sets of the same images: an image counts by the share of sets in which it is right.

    Only runs that answered all of them count; None below two sets, or where no run answered all.
    """
    orders = [rows for one in sets if (rows := _rows(one, test)) is not None]
    if len(orders) != len(sets) or len(sets) < 2:
        return None
    correct: dict[ArmIdentity, Values] = {}
    for arm in test.correct:
        answered = [one.correct.get(arm, {}) for one in sets]
        seeds = set.intersection(*(set(values) for values in answered))
        if seeds:
            correct[arm] = {
                seed: np.mean(
                    [values[seed][np.argsort(rows)] for values, rows in zip(answered, orders, strict=True)], axis=0
                )
                for seed in sorted(seeds)
            }
    facts = {"origin": "real", "paired_with": TEST, "digest": "", "sets": len(sets)}
    return _Answered(correct, {}, test.paths, test.labels, facts) if correct else None


def _corrected(sets: Sequence[JudgedSet]) -> list[JudgedSet]:
    """The sets with Holm's correction over all extra losses, and over all differences, of all of them."""
    arms = [arm for one in sets for arm in one.arms]
    pairs = zip(adjusted(arm.difference for arm in arms), adjusted(arm.extra for arm in arms), strict=True)
    done = iter(
        dataclasses.replace(arm, difference=there, extra=more) for arm, (there, more) in zip(arms, pairs, strict=True)
    )
    return [dataclasses.replace(one, arms=tuple(next(done) for _ in one.arms)) for one in sets]
