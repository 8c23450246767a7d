"""Runs of a study -> one comparison. Every number in table, CSV, JSON and page comes from here."""

import csv
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug import results
from synthaug.analysis.statistics import CONFIDENCE, Estimate, paired_difference, sample_deviation, wilson
from synthaug.errors import UserError
from synthaug.results import Predictions, Run

MAX_CONFUSION_CLASSES = 50
MAX_SETTINGS_NOTES = 6
MAX_VALUES = 4  # of one setting, in one note
MAX_VALUE_TEXT = 60  # letters of one value
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class ClassResult:
    """One class of one arm. `accuracy` is the share of this class's test images that are recognised."""

    name: str
    n_test: int
    accuracy: Estimate | None  # None: no test image of this class
    difference: Estimate | None  # None: no baseline, or the baseline itself


@dataclass(frozen=True)
class Arm:
    """One training set and what its finished, comparable runs give; None where there is no such run."""

    name: str
    real: float
    synthetic: float
    baseline: bool
    runs_planned: int
    seeds: tuple[int, ...] = ()
    n_real: int | None = None
    n_synthetic: int | None = None
    accuracy: Estimate | None = None
    seed_deviation: float | None = None
    macro_f1: float | None = None
    calibration_error: float | None = None
    difference: Estimate | None = None
    difference_seeds: tuple[int, ...] = ()
    steps: int | None = None
    epochs: int | None = None
    one_draw: bool = True  # whether all seeds have the same synthetic images
    classes: tuple[ClassResult, ...] = ()
    augment: str = ""  # what the arm varies in otherwise than the others, in words
    confusion: NDArray[np.float64] | None = None  # (true, predicted) counts, mean over seeds

    @property
    def synthetic_fraction(self) -> float:
        """Share of the training images that is synthetic."""
        total = self.real + self.synthetic
        return self.synthetic / total if total else 0.0


@dataclass(frozen=True)
class ComparedRun:
    """A run, its state (those of `Run`, or "not comparable") and, unless it is in the table, why not."""

    run: Run
    state: str
    reason: str = ""
    accuracy: float | None = None

    @property
    def compared(self) -> bool:
        """Whether the run counts in the table."""
        return self.state == "finished"


@dataclass(frozen=True)
class Group:
    """What may be compared: one dataset, generator and model, one test set, one list of classes."""

    dataset: str
    generator: str
    model: str
    test_digest: str | None
    n_test: int
    class_names: tuple[str, ...]
    arms: tuple[Arm, ...]
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> Arm | None:
        """The arm that the others are compared with."""
        return next((arm for arm in self.arms if arm.baseline and arm.accuracy), None)

    @property
    def left_out(self) -> list[ComparedRun]:
        """Runs that are not in the table."""
        return [run for run in self.runs if not run.compared]


@dataclass(frozen=True)
class Comparison:
    """A study: its groups, each a table of its own."""

    study: str
    folder: Path
    groups: tuple[Group, ...]

    @property
    def complete(self) -> bool:
        """Whether every planned run is finished and in a table."""
        return not any(group.left_out for group in self.groups)


@dataclass(frozen=True)
class _Answers:
    """A finished run's answers, in the order of the group's test images."""

    run: Run
    result: Mapping[str, Any]
    predicted: NDArray[np.int64]
    correct: NDArray[np.bool_]


# --- from a folder ---------------------------------------------------------------------------------


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
    reasons, answers, reference = _read_answers(runs)
    compared = {item.run.key: item for item in answers}
    states = tuple(_state(run, reasons.get(run.key, ""), compared.get(run.key)) for run in runs)
    labels = reference[1].labels if reference else np.zeros(0, dtype=np.int64)
    names = tuple(reference[1].classes) if reference else ()
    arms, notes = _arms(runs, answers, labels, names)
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
        notes=(
            *_baseline_notes(arms),
            *_augment_notes(arms),
            *notes,
            *_run_notes(answers),
            *_settings_notes(answers),
            *_pool_notes(answers),
            *_chance_notes(arms, labels),
        ),
    )


def _state(run: Run, problem: str, answers: _Answers | None) -> ComparedRun:
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


# --- which runs may be compared --------------------------------------------------------------------

_Reference = tuple[str, Predictions]


def _read_answers(runs: list[Run]) -> tuple[dict[results.RunKey, str], list[_Answers], _Reference | None]:
    """Problems by run, the answers of all comparable runs, and the test set that they share."""
    reasons: dict[results.RunKey, str] = {}
    loaded: list[tuple[Run, Mapping[str, Any], Predictions]] = []
    for run in runs:
        if run.result is None:
            continue
        if run.result.get("format") != results.FORMAT:
            reasons[run.key] = f"result.json has format {run.result.get('format')}, this version reads {results.FORMAT}"
            continue
        try:
            predictions = results.read_predictions(run.folder, probabilities=False)
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
            answers.append(_Answers(run, result, predicted, predicted == reference[1].labels))
    return reasons, answers, reference


def _reference(loaded: Sequence[tuple[Run, Mapping[str, Any], Predictions]]) -> _Reference:
    """The test set of the real arm; without one, that of most runs."""

    def identity(item: tuple[Run, Mapping[str, Any], Predictions]) -> tuple[str, tuple[str, ...]]:
        return item[1]["data"]["test"], tuple(item[2].classes)

    real = [item for item in loaded if _is_baseline(item[0])]
    wanted = Counter(map(identity, real or loaded)).most_common(1)[0][0]
    chosen = next(item for item in (real or loaded) if identity(item) == wanted)
    return chosen[1]["data"]["test"], chosen[2]


def _order(digest: str, predictions: Predictions, reference: _Reference) -> NDArray[np.int64] | str:
    """Rows of `predictions` in the order of the reference, or why the two cannot be paired."""
    expected = reference[1]
    if predictions.classes != expected.classes:
        return (
            f"other classes: {len(predictions.classes)} ({_some(predictions.classes)}) "
            f"instead of {len(expected.classes)} ({_some(expected.classes)})"
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


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _is_baseline(run: Run) -> bool:
    return (run.real, run.synthetic, own_augment(run)) == _BASELINE


# Numbers and augmentation of the arm that the others are compared with, by whatever name.
_BASELINE = (1, 0, "")


def own_augment(run: Run) -> str:
    """The augmentation that an arm has of its own, "policy trivial, erasing 0.25"; empty where it has none."""
    return ", ".join(f"{name} {value}" for name, value in sorted((run.augment or {}).items()))


# --- arms ------------------------------------------------------------------------------------------

_Correct = Mapping[int, NDArray[np.bool_]]  # seed -> per test image


def _arms(
    runs: list[Run], answers: list[_Answers], labels: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[tuple[Arm, ...], list[str]]:
    by_arm: dict[tuple[str, float, float, str], list[_Answers]] = {}
    planned = Counter(identity(run) for run in runs)
    for item in answers:
        by_arm.setdefault(identity(item.run), []).append(item)
    baselines = [key for key in planned if key[1:] == _BASELINE]
    baseline = next((key for key in baselines if key[0] == "real"), baselines[0] if baselines else None)
    base = {item.run.key.seed: item.correct for item in by_arm.get(baseline, [])} if baseline else {}
    arms = []
    for key, count in planned.items():
        arm = Arm(*key[:3], key == baseline, count, augment=key[3])
        if key in by_arm:
            arm = _measured(arm, by_arm[key], labels, names, {} if arm.baseline else base)
        arms.append(arm)
    return tuple(arms), _seed_notes(arms, set(base))


def identity(run: Run) -> tuple[str, float, float, str]:
    """What the runs of one arm have in common: name, numbers and augmentation."""
    return run.key.arm, run.real, run.synthetic, own_augment(run)


def _measured(
    arm: Arm, answers: list[_Answers], labels: NDArray[np.int64], names: tuple[str, ...], base: _Correct
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


def _confusion(answers: list[_Answers], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    if classes > MAX_CONFUSION_CLASSES:
        return None
    counts = np.zeros((classes, classes))
    for item in answers:
        np.add.at(counts, (labels, item.predicted), 1)
    return counts / len(answers)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


# --- what a reader must be told ----------------------------------------------------------------------


def _baseline_notes(arms: tuple[Arm, ...]) -> list[str]:
    baseline = next((arm for arm in arms if arm.baseline), None)
    # In words: nothing here knows the whole command, and a part of it would train something else.
    if baseline is None:
        what = "There is no real arm (real 1, synthetic 0, augmented as the dataset is), so no difference can be given."
        return [f"{what} To add one, run the command that trained the other arms with mix=real in place of its mix."]
    if baseline.accuracy is None:
        what = "The real arm has no run to compare with, so no difference can be given."
        return [f"{what} Run the command that was to train it again."]
    return []


def _augment_notes(arms: tuple[Arm, ...]) -> list[str]:
    """The counts of images do not show in what such an arm differs from the others."""
    said = [f"{arm.name} ({arm.augment})" for arm in arms if arm.augment]
    return [f"Training images vary otherwise than in the other arms in {', '.join(said)}."] if said else []


def _seed_notes(arms: Sequence[Arm], base: set[int]) -> list[str]:
    """Which seeds the differences rest on, where that is not simply all of them."""
    compared = [arm for arm in arms if arm.difference is not None]
    partly = [arm for arm in compared if arm.difference_seeds and set(arm.seeds) != base]
    apart = [arm for arm in compared if not arm.difference_seeds]
    notes = []
    if partly:
        said = ", ".join(f"{arm.name} ({_name_seeds(arm.difference_seeds)})" for arm in partly)
        notes.append(f"Differences from real use only the seeds that both have: {said}.")
    if apart:
        said = ", ".join(f"{arm.name} ({_name_seeds(arm.seeds)})" for arm in apart)
        notes.append(
            f"No seed is shared with real ({_name_seeds(sorted(base))}), so that the difference is between "
            f"the means of all seeds of each: {said}."
        )
    return notes


def _run_notes(answers: list[_Answers]) -> list[str]:
    """Things that differ between runs, or inside one, and should not."""
    notes = []
    for item in answers:
        recorded, counted = item.result["test"]["accuracy"], float(item.correct.mean())
        if abs(recorded - counted) > 1e-4:
            notes.append(
                f"{item.run.key.label}: result.json says accuracy {recorded:.4f}, predictions.csv gives "
                f"{counted:.4f}; the latter is used."
            )
        left_out = item.result["counts"].get("left_out", 0)
        if left_out:
            files = "file that is no whole image was" if left_out == 1 else "files that are no whole images were"
            notes.append(f"{item.run.key.label}: {left_out} {files} left out of the dataset.")
    if len({item.result["data"]["val"] for item in answers}) > 1:
        notes.append("The runs picked their checkpoints on different validation sets.")
    for field, what in (("steps", "optimizer steps"), ("epochs", "epochs"), ("batch_size", "batch size")):
        values = {item.result["training"][field] for item in answers}
        if len(values) > 1:
            low, high = min(values), max(values)
            notes.append(
                f"Not all runs had the same {what}: {low:,} to {high:,}. Longer training can pass for better data."
            )
    return notes


# Settings that a note on `result.json`'s "training" already tells.
_TOLD_BY_TRAINING = {"batch_size": "batch_size", "trainer.max_epochs": "epochs", "trainer.max_steps": "steps"}


def _settings_notes(answers: list[_Answers]) -> list[str]:
    """One note per setting that differs between runs and is not what tells arms and seeds apart."""
    # The baseline first; runs of earlier versions recorded no settings.
    known = sorted(
        (item for item in answers if item.result.get("settings")), key=lambda item: not _is_baseline(item.run)
    )
    found = _differing(known, {"seed", "mix", "generator"})
    # What made the synthetic images matters to the arms that have some.
    mixed = [item for item in known if item.run.synthetic]
    found |= _differing(mixed, {name for item in mixed for name in item.result["settings"]} - {"generator"})
    for key, field in _TOLD_BY_TRAINING.items():
        if len({item.result["training"][field] for item in answers}) > 1:
            found.pop(key, None)
    intro, outro = "Not all runs had the same settings:", "What the arms show may come from that."
    said = [f"{intro} {key} is {values}. {outro}" for key, values in found.items()]
    if len(said) > MAX_SETTINGS_NOTES:
        rest = list(found)[MAX_SETTINGS_NOTES - 1 :]
        said[MAX_SETTINGS_NOTES - 1 :] = [f"{intro} {len(rest)} more differ ({', '.join(rest)}). {outro}"]
    return said


def _differing(answers: list[_Answers], ignored: set[str]) -> dict[str, str]:
    """Key -> its values and where they are found, for the settings that are not the same in all runs."""
    settings = [
        {name: value for name, value in item.result["settings"].items() if name not in ignored} for item in answers
    ]
    pairs = [results.differences(settings[0], other) for other in settings]
    first = {key: pair[0] for found in pairs for key, pair in found.items()}
    return {
        key: _by_value(answers, [found[key][1] if key in found else value for found in pairs])
        for key, value in sorted(first.items())
    }


def _pool_notes(answers: list[_Answers]) -> list[str]:
    pools = [(item, item.result["data"].get("scanned", {}).get("train")) for item in answers]
    known = [(item, digest[:12]) for item, digest in pools if digest]
    if len({digest for _, digest in known}) <= 1:
        return []
    said = _by_value([item for item, _ in known], [digest for _, digest in known])
    return [f"Not all runs drew from the same real training images: the digest of those is {said}."]


def _by_value(answers: list[_Answers], values: Sequence[Any]) -> str:
    """ "0.002 in real, 0.001 in 82": each value and the arms, or single runs of an arm, that have it."""
    texts = list(map(str, values))
    of_arm: dict[str, set[str]] = {}
    for item, text in zip(answers, texts, strict=True):
        of_arm.setdefault(item.run.key.arm, set()).add(text)
    where: dict[str, list[str]] = {}
    for item, text in zip(answers, texts, strict=True):
        key = item.run.key
        name = key.arm if len(of_arm[key.arm]) == 1 else key.label
        if name not in where.setdefault(text, []):
            where[text].append(name)
    # The value of many comes last, as that of all others.
    largest = max(where, key=lambda text: len(where[text]))
    others = len(where[largest]) > 3
    shown = [text for text in where if not (others and text == largest)]
    said = [f"{_shortened(text)} in {_some(where[text])}" for text in shown[:MAX_VALUES]]
    if len(shown) > MAX_VALUES:
        said.append(f"{len(shown) - MAX_VALUES} more values in other runs")
    return ", ".join([*said, *([f"{_shortened(largest)} in all others"] if others else [])])


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_VALUE_TEXT else text[:MAX_VALUE_TEXT] + "..."


def _chance_notes(arms: tuple[Arm, ...], labels: NDArray[np.int64]) -> list[str]:
    """A model of NaNs trains in silence and then scores like chance."""
    if len(labels) == 0:
        return []
    share = float(np.bincount(labels).max()) / len(labels)
    names = [arm.name for arm in arms if arm.accuracy and arm.accuracy.low <= share]
    if not names:
        return []
    verb, whose = ("is", "its") if len(names) == 1 else ("are", "their")
    said = f"{verb} no better than always naming the most frequent class ({share:.1%} of the test images)"
    return [f"{', '.join(names)} {said}: did {whose} training diverge?"]


def _name_seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {_seeds(seeds)}"


def _seeds(seeds: Iterable[int]) -> str:
    return " ".join(map(str, seeds))


# --- as rows and as JSON -----------------------------------------------------------------------------


def rows(group: Group) -> list[dict[str, Any]]:
    """One flat row per arm: fractions, not percent; None where there is no number; seeds as "0 1 2"."""
    return [
        {
            "dataset": group.dataset,
            "generator": group.generator,
            "model": group.model,
            "arm": arm.name,
            "baseline": arm.baseline,
            "real": arm.real,
            "synthetic": arm.synthetic,
            "synthetic_fraction": arm.synthetic_fraction,
            "n_real": arm.n_real,
            "n_synthetic": arm.n_synthetic,
            "n_test": group.n_test,
            **_fields("accuracy", arm.accuracy),
            "accuracy_seed_deviation": arm.seed_deviation,
            "macro_f1": arm.macro_f1,
            "calibration_error": arm.calibration_error,
            **_fields("difference", arm.difference),
            "difference_seeds": _seeds(arm.difference_seeds),
            "seeds": _seeds(arm.seeds),
            "runs_planned": arm.runs_planned,
            "runs_compared": len(arm.seeds),
            "augment": arm.augment,
            "steps": arm.steps,
            "epochs": arm.epochs,
        }
        for arm in group.arms
    ]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The rows, and beneath each its classes; every run with its state; the notes."""
    return {
        "format": results.FORMAT,
        "study": comparison.study,
        "confidence": CONFIDENCE,
        "complete": comparison.complete,
        "groups": [
            {
                "dataset": group.dataset,
                "generator": group.generator,
                "model": group.model,
                "test_digest": group.test_digest,
                "n_test": group.n_test,
                "classes": list(group.class_names),
                "notes": list(group.notes),
                "arms": [
                    row | {"per_class": [_class_row(item) for item in arm.classes]}
                    for row, arm in zip(rows(group), group.arms, strict=True)
                ],
                "runs": [_run_row(run) for run in group.runs],
            }
            for group in comparison.groups
        ],
    }


def write_files(comparison: Comparison) -> None:
    """Write `results.csv` and `results.json` into the study's folder."""
    table = [row for group in comparison.groups for row in rows(group)]
    results.write_rows(
        comparison.folder / "results.csv",
        list(table[0]),
        (["" if value is None else value for value in row.values()] for row in table),
    )
    results.write_json(comparison.folder / "results.json", as_json(comparison))


def _class_row(item: ClassResult) -> dict[str, Any]:
    return {
        "class": item.name,
        "n_test": item.n_test,
        **_fields("accuracy", item.accuracy),
        **_fields("difference", item.difference),
    }


def _run_row(item: ComparedRun) -> dict[str, Any]:
    key = item.run.key
    return {
        "arm": key.arm,
        "seed": key.seed,
        "real": item.run.real,
        "synthetic": item.run.synthetic,
        "state": item.state,
        "reason": item.reason,
        "accuracy": item.accuracy,
        "folder": key.folder.as_posix(),
    }


def _fields(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }
