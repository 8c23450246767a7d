"""Checks of the runs: whether all are compared, and whether their images, machines and versions are the same."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthaug.analysis.comparison.model import NOT_COMPARABLE, ComparedRun, Group
from synthaug.analysis.validity.check_result import INFORMATION, PASSED, SERIOUS, WARNING, Check
from synthaug.runs import layout
from synthaug.runs.contents import UnreadableFileError
from synthaug.runs.discovery import Run

UNEQUAL_SHARES = 0.05  # difference of the synthetic share between two classes of a run
ACCURACY_ROUNDING = 1e-4  # of `result.json`

_Facts = list[tuple[ComparedRun, Mapping[str, Any]]]


def run_checks(group: Group) -> list[Check]:
    """Return the checks of a group's runs that apply to it."""
    runs = [item for item in group.runs if item.compared]
    checks: list[Check | None] = [_smoke_test(runs), _runs(group)]
    if runs:
        checks += [_training_length(runs), *_class_shares(runs), _adapters(runs), _recorded_accuracy(runs)]
        checks += [_unreadable_images(runs), _run_files(runs)]
        checks += [
            _same(code, severity, [(run, facts(_result(run))) for run in runs if not _draws(run, code)])
            for code, severity, facts in _SAME
        ]
    return [check for check in checks if check is not None]


def _runs(group: Group) -> Check:
    left_out = [
        {"run": item.run.label, "state": item.state, "reason": dataclasses.asdict(item.reason)}
        for item in group.left_out
        if item.reason
    ]
    data = {
        "planned": len(group.runs),
        "left_out": left_out,
        "empty_arms": [arm.name for arm in group.arms if arm.accuracy is None],
        "failed": any(item.state == "failed" for item in group.left_out),
        "rerun": any(item.state != NOT_COMPARABLE for item in group.left_out),
    }
    return Check("runs", SERIOUS if data["empty_arms"] else WARNING if left_out else PASSED, data)


def _training_length(runs: Sequence[ComparedRun]) -> Check:
    by_fold: dict[int | None, list[tuple[str, int]]] = {}  # which have training sets of different sizes
    for item in runs:
        by_fold.setdefault(item.run.key.fold, []).append((item.run.arm, int(_result(item)["training"]["steps"])))
    ranges = [(min(count for _, count in steps), max(count for _, count in steps)) for steps in by_fold.values()]
    low, high = max(ranges, key=lambda ends: ends[1] - ends[0])
    steps = [*by_fold.values()][ranges.index((low, high))]
    shortest, longest = (list(dict.fromkeys(arm for arm, count in steps if count == end)) for end in (low, high))
    data = {"low": low, "high": high, "shortest": shortest, "longest": longest}
    by_cost = all(item.run.settings.get("budget") == "cost" for item in runs)  # one bill, spent in different ways
    return Check("training_length", SERIOUS if low != high and not by_cost else PASSED, data)


def _class_shares(runs: Sequence[ComparedRun]) -> list[Check]:
    """Where classes differ in their synthetic share, what tells the origin of an image tells its class.

    In arms whose rare classes synthetic images fill, or of which feedback chooses the classes, that is so by design.
    """
    unequal, filled, fed_back = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    mixed = False
    for item in runs:
        counts = _result(item)["counts"].get("per_class", {})
        shares = {
            label: count["synthetic"] / (count["real"] + count["synthetic"])
            for label, count in counts.items()
            if count["real"] + count["synthetic"]
        }
        mixed = mixed or any(0 < share < 1 for share in shares.values()) or len(set(shares.values())) > 1
        if shares and max(shares.values()) - min(shares.values()) > UNEQUAL_SHARES:
            least, most = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
            is_filled = item.run.has_synthetic and not item.run.synthetic
            (filled if is_filled else fed_back if _result(item).get("feedback") else unequal).append(
                {"run": item.run.label, "least": least, "low": shares[least], "most": most, "high": shares[most]}
            )
    checks = [Check("filled_classes", WARNING, {"runs": filled})] if filled else []
    checks += [Check("feedback_shares", INFORMATION, {"runs": fed_back})] if fed_back else []
    if unequal or (mixed and not checks):
        checks.append(Check("class_shares", SERIOUS if unequal else PASSED, {"runs": unequal}))
    return checks


def _adapters(runs: Sequence[ComparedRun]) -> Check | None:
    """Adapters of a generator that saw real images which the arm does not have, and is not counted with."""
    adapters = [(item.run.label, adapter) for item in runs for adapter in _result(item).get("adapters", ())]
    foreign = [{"run": run, **adapter} for run, adapter in adapters if adapter["foreign"]]
    return Check("adapters", SERIOUS if foreign else PASSED, {"runs": foreign}) if adapters else None


def _recorded_accuracy(runs: Sequence[ComparedRun]) -> Check:
    """Whether `result.json` has the accuracy that the predictions give; the latter is used."""
    differing = [
        {"run": item.run.label, "recorded": recorded, "computed": item.accuracy}
        for item in runs
        for recorded in [_result(item)["test"]["accuracy"]]
        if item.accuracy is None or abs(recorded - item.accuracy) > ACCURACY_ROUNDING
    ]
    return Check("recorded_accuracy", WARNING if differing else PASSED, {"runs": differing})


def _smoke_test(runs: Sequence[ComparedRun]) -> Check | None:
    """Name runs of `debug=true`, on a few images each."""
    labels = [item.run.label for item in runs if _result(item).get("settings", {}).get("debug")]
    return Check("smoke_test", SERIOUS, {"runs": labels}) if labels else None


def _unreadable_images(runs: Sequence[ComparedRun]) -> Check:
    """Files that are not whole images and were left out of the dataset."""
    counts = {item.run.label: int(_result(item)["counts"].get("left_out", 0)) for item in runs}
    data = {"most": max(counts.values()), "runs": [label for label, count in counts.items() if count]}
    return Check("unreadable_images", WARNING if data["runs"] else PASSED, data)


def _run_files(runs: Sequence[ComparedRun]) -> Check | None:
    """Name lists and learning curves that are not those that the runs wrote; no number comes from them."""
    readers: Mapping[Callable[[Path], Path], Callable[[Run], object]] = {
        layout.mix_file: lambda run: run.mix,
        lambda folder: folder / layout.HISTORY: lambda run: run.history,
    }
    damaged = []
    for item in runs:
        for file, read in readers.items():
            try:
                read(item.run)
            except UnreadableFileError as error:
                damaged.append({"run": item.run.label, "file": file(item.run.folder).name, "error": error.reason})
    return Check("run_files", SERIOUS, {"files": damaged}) if damaged else None


# --- what should be the same in all runs -------------------------------------------------------------


def _draws(item: ComparedRun, code: str) -> bool:
    """Whether a fact of a run is meant to differ between seeds."""
    return code == "validation_images" and item.run.settings.get("replicate") == "full"


def _same(code: str, severity: str, facts: _Facts) -> Check | None:
    """Whether the facts of all runs are the same; those that some runs do not have are left out."""
    if not any(values for _, values in facts):
        return None
    differing = _differing(facts)
    return Check(code, severity if differing else PASSED, {"facts": differing})


def _differing(facts: _Facts) -> dict[str, list[dict[str, Any]]]:
    """Facts that differ → their values, each with its arms or single runs, the most frequent last."""
    by_fact: dict[str, dict[str, list[ComparedRun]]] = {}
    for item, of_run in facts:
        for fact, value in of_run.items():
            by_fact.setdefault(fact, {}).setdefault(str(value), []).append(item)
    differing = {}
    for fact, by_value in sorted(by_fact.items()):
        values = [{"value": value, "runs": _names(items, by_value.values())} for value, items in by_value.items()]
        if len(values) > 1:
            differing[fact] = sorted(values, key=lambda item: len(item["runs"]))
    return differing


def _names(items: Iterable[ComparedRun], groups: Iterable[Iterable[ComparedRun]]) -> list[str]:
    """Name arms as a whole whose runs are all in one of the groups, else each run."""
    arms = [{item.run.arm for item in group} for group in groups]
    return list(
        dict.fromkeys(
            run.label if sum(run.arm in names for names in arms) > 1 else run.arm
            for run in (item.run for item in items)
        )
    )


def _digest(part: str, *place: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a function that reads a digest from a result, as a fact; of each fold, which have images of their own."""

    def read(result: Mapping[str, Any]) -> Mapping[str, Any]:
        fact = "digest" if result.get("fold") is None else f"digest of fold {result['fold']}"
        for name in place:
            result = result.get(name) or {}
        return {fact: str(result[part])[:12]} if part in result else {}

    return read


def _result(item: ComparedRun) -> Mapping[str, Any]:
    assert item.run.result is not None, "only finished runs are compared"
    return item.run.result


_SAME = (
    ("validation_images", SERIOUS, _digest("val", "data")),
    ("real_images", SERIOUS, _digest("train", "data", "scanned")),
    ("machine", WARNING, lambda result: result.get("machine", {})),
    ("versions", WARNING, lambda result: result.get("versions", {})),
)
