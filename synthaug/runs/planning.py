"""The plan of a study: every run that was requested, the settings of its arms, and what is compared with what."""

import itertools
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug import locks
from synthaug.errors import UserError
from synthaug.files import read_json, remove_unfinished, write_json
from synthaug.messages import join_words, plural
from synthaug.runs.factors import SEPARATOR, arm_names
from synthaug.runs.identity import FOLDS
from synthaug.runs.layout import FAILED, FORMAT, HISTORY, LOOKS, PLANNED, RESULT, RunKey, require_number

log = logging.getLogger(__name__)

DEFAULT_MARGIN = 1.0  # percentage points
ALL = "all"  # pairs of arms
MOST_ARMS = 50  # of which all pairs are compared

ArmKey = tuple[str, str]  # dataset, folder of the arm


@dataclass(frozen=True)
class PlannedRun:
    """A run that was requested.

    Attributes:
        key: which run.
        settings: of its arm, from `identity.arm_settings`.
    """

    key: RunKey
    settings: Mapping[str, Any]

    @property
    def arm(self) -> ArmKey:
        """The arm among those of a study."""
        return self.key.dataset, self.key.arm


@dataclass(frozen=True, order=True)
class PlannedComparison:
    """Two arms of one dataset that a study names, to be compared.

    Attributes:
        dataset: its name.
        first: folder of the arm from which the second is subtracted.
        second: folder of that.
        exploratory: whether both arms had finished runs before anybody asked.
    """

    dataset: str
    first: str
    second: str
    exploratory: bool = False


@dataclass(frozen=True)
class StudyPlan:
    """What was requested of a study.

    Attributes:
        runs: sorted; none where nothing was planned.
        margin: smallest difference in accuracy that matters, in percentage points.
        looks: numbers of seeds, two or more, at which the study was reported.
        comparisons: sorted; of pairs that were named, beyond those with the baseline and with controls.
    """

    runs: tuple[PlannedRun, ...]
    margin: float
    looks: tuple[int, ...] = ()
    comparisons: tuple[PlannedComparison, ...] = ()

    @property
    def names(self) -> dict[ArmKey, str]:
        """The name of each arm, unique among the arms of its dataset."""
        return names_of_arms({run.arm: run.settings for run in self.runs})


def names_of_arms(arms: Mapping[ArmKey, Mapping[str, Any]]) -> dict[ArmKey, str]:
    """Return the name of each arm, unique among the arms of its dataset.

    Args:
        arms: their settings.
    """
    names: dict[ArmKey, str] = {}
    for dataset in {dataset for dataset, _ in arms}:
        of_dataset = {folder: settings for (name, folder), settings in arms.items() if name == dataset}
        names |= {(dataset, folder): name for folder, name in arm_names(of_dataset).items()}
    return names


def plan(
    study: Path,
    runs: Iterable[PlannedRun],
    margin_points: float | None = None,
    compare: str | Sequence[Sequence[str]] = (),
) -> StudyPlan:
    """Add `runs` to the study's plan, so that a report can name the ones that never finished; return the whole plan.

    Args:
        study: its folder.
        runs: that were requested.
        margin_points: smallest difference in accuracy that matters, in percentage points; None keeps the plan's.
        compare: pairs of names of arms that are to be compared, or `ALL`.

    Raises:
        UserError: a name that is of no arm, or of several.
    """
    study.mkdir(parents=True, exist_ok=True)
    with _locked(study):  # a cluster starts many commands at once
        remove_unfinished(study)
        recorded, runs = read_plan(study), list(runs)
        planned = {run.key: run for run in (*recorded.runs, *runs)}
        if abandoned := _failed_trials(study, recorded, runs):
            planned = {key: run for key, run in planned.items() if key not in abandoned}
            datasets = join_words(sorted({key.dataset for key in abandoned}))
            log.warning(
                "%s of %s, of which none has trained an epoch and some have failed, %s not planned any more; the "
                "command that asked for them plans them again",
                plural(len(abandoned), "run"),
                datasets,
                "is" if len(abandoned) == 1 else "are",
            )
        margin = recorded.margin if margin_points is None else margin_points
        updated = StudyPlan(tuple(planned[key] for key in sorted(planned)), margin, recorded.looks)
        named = {(item.dataset, item.first, item.second): item for item in recorded.comparisons}
        for pair in _pairs(updated, compare):
            if pair not in named and (pair[0], pair[2], pair[1]) not in named:
                exploratory = all(_has_results(study, pair[0], arm) for arm in pair[1:])
                named[pair] = PlannedComparison(*pair, exploratory)
        updated = StudyPlan(updated.runs, margin, updated.looks, tuple(sorted(named.values())))
        if updated != recorded:  # its time of change tells whether a report is up to date
            write_json(study / PLANNED, _content(updated), editable=True)  # who deletes an entry drops a run
        return updated


def unplan(study: Path, keys: Iterable[RunKey]) -> None:
    """Take runs out of a study's plan, and the pairs of arms that have no run any more.

    Args:
        study: its folder.
        keys: of the runs.
    """
    with _locked(study):
        recorded, dropped = read_plan(study), set(keys)
        left = tuple(run for run in recorded.runs if run.key not in dropped)
        if left != recorded.runs:
            arms = {run.arm for run in left}
            pairs = (
                pair
                for pair in recorded.comparisons
                if {(pair.dataset, pair.first), (pair.dataset, pair.second)} <= arms
            )
            write_json(study / PLANNED, _content(StudyPlan(left, recorded.margin, (), tuple(pairs))), editable=True)


def _failed_trials(study: Path, plan: StudyPlan, runs: Iterable[PlannedRun]) -> set[RunKey]:
    """Return runs of failed trials: those of datasets on which some have failed and none has trained an epoch.

    Args:
        study: its folder.
        plan: as it was.
        runs: that are requested now, whose datasets are left alone.
    """
    requested = {run.key.dataset for run in runs}
    abandoned: set[RunKey] = set()
    for dataset in {run.key.dataset for run in plan.runs} - requested:
        keys = [run.key for run in plan.runs if run.key.dataset == dataset]
        has_failed = any((study / key.folder / FAILED).is_file() for key in keys)
        if has_failed and not any((study / key.folder / HISTORY).is_file() for key in keys):
            abandoned.update(keys)
    return abandoned


def _has_results(study: Path, dataset: str, arm: str) -> bool:
    return any((study / dataset / arm).glob(f"seed*/{RESULT}"))


def check_comparisons(runs: Iterable[PlannedRun], study: Path, compare: str | Sequence[Sequence[str]]) -> list[str]:
    """Return what is wrong with the pairs of arms that a command names, as `plan` would find it.

    Args:
        runs: that are requested.
        study: its folder, whose earlier runs may be named as well.
        compare: as configured.
    """
    if not compare:
        return []
    planned = {run.key: run for run in (*read_plan(study).runs, *runs)}
    try:
        list(_pairs(StudyPlan(tuple(planned.values()), 0.0), compare))
    except UserError as error:
        return [str(error)]
    return []


def _pairs(plan: StudyPlan, compare: str | Sequence[Sequence[str]]) -> Iterable[tuple[str, str, str]]:
    """Yield (dataset, arm, arm) of the pairs that are to be compared, in every dataset that has both."""
    names = plan.names
    datasets = sorted({dataset for dataset, _ in names})
    if compare == ALL:
        for dataset in datasets:
            arms = {run.key.arm: run.settings for run in plan.runs if run.key.dataset == dataset}
            # The arm with more synthetic images less the one with fewer, as in the comparisons with the baseline.
            if len(arms) > MOST_ARMS:
                raise UserError(
                    f"compare=all: {len(arms):,} arms of {dataset} make {len(arms) * (len(arms) - 1) // 2:,} pairs, "
                    f"among which a correction finds next to nothing; with more than {MOST_ARMS} arms, name the pairs."
                )
            folders = sorted(arms, key=lambda arm: (-float(arms[arm]["mix.synthetic"]), names[dataset, arm]))
            yield from ((dataset, *pair) for pair in itertools.combinations(folders, 2))
        return
    for first, second in compare:
        of_pair = [find_arm(names, name) for name in (first, second)]
        if of_pair[0] == of_pair[1]:
            raise UserError(f"compare={first},{second}: both are the arm {names[of_pair[0][0]]}.")
        for dataset in datasets:
            in_dataset = [[folder for name, folder in arms if name == dataset] for arms in of_pair]
            if all(in_dataset):
                yield dataset, in_dataset[0][0], in_dataset[1][0]


def find_arm(names: Mapping[ArmKey, str], name: str) -> list[ArmKey]:
    """Return the arm that a name means, in each dataset that has it.

    An arm is meant by its name, by its folder, or by parts of its name that no second arm has: "64, sdxl".

    Args:
        names: of all arms.
        name: as somebody typed it.

    Raises:
        UserError: no arm, or several of one dataset.
    """
    exact = [arm for arm, full in names.items() if name in (full, arm[1])]
    parts = _name_parts(name.replace(",", SEPARATOR))
    matching = exact or [arm for arm, full in names.items() if parts <= _name_parts(full)]
    choices = ", ".join(sorted({names[arm] for arm in matching or names}))
    if not matching:
        raise UserError(f"{name!r} is not an arm of this study; its arms: {choices}.")
    if len({dataset for dataset, _ in matching}) < len(matching):
        raise UserError(f"{name!r} may be several arms: {choices}; give more of the name, in quotes.")
    return matching


def _name_parts(name: str) -> set[str]:
    """Return the parts of a name, without what may be typed otherwise: spaces and capitals."""
    return {re.sub(r"[\s_]+", "", part).lower() for part in name.split(SEPARATOR.strip())}


def record_looks(study: Path, looks: Iterable[int]) -> None:
    """Add to the looks at a study: whoever reports after each further seed tests more often.

    They have a file of their own, as the plan's time of change tells whether a report is up to date.

    Args:
        study: its folder.
        looks: numbers of seeds at which conclusions were drawn.
    """
    with _locked(study):
        recorded = _looks(study)
        together = sorted({*recorded, *looks})
        if together != recorded:
            write_json(study / LOOKS, {"format": FORMAT, "seeds": together})


def _locked(study: Path) -> AbstractContextManager[None]:
    return locks.exclusive(study / ".planned.lock", f"writes the plan of {study}")


def read_plan(study: Path) -> StudyPlan:
    """Return what was requested of a study.

    Raises:
        UserError: its plan is damaged, or of another version.
    """
    path = study / PLANNED
    if not path.is_file():
        return StudyPlan((), DEFAULT_MARGIN, tuple(_looks(study)))
    content = read_json(path)
    if content.get("format", FORMAT) != FORMAT:
        raise UserError(
            f"{path} has format {content['format']}, this version reads {FORMAT}: use the version of synthaug that "
            "wrote it, or give the new study another name with experiment=<name>."
        )
    try:
        require_number(content["margin"], "margin")
        return _parse(content, _looks(study))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from None


def _content(plan: StudyPlan) -> dict[str, Any]:
    """Return a plan as its file has it: what all arms share once, and of each arm what differs."""
    arms = {run.arm: run.settings for run in plan.runs}
    shared = dict.fromkeys(key for settings in arms.values() for key in settings)
    common = {
        key: values[0]
        for key in sorted(shared)
        for values in [[settings.get(key, _NOTHING) for settings in arms.values()]]
        if all(value == values[0] and type(value) is type(values[0]) for value in values)
    }
    return {
        "format": FORMAT,
        "margin": plan.margin,
        "comparisons": [
            {"dataset": item.dataset, "arms": [item.first, item.second], "exploratory": item.exploratory}
            for item in plan.comparisons
        ],
        "settings": common,
        "arms": [
            {"dataset": dataset, "arm": arm, "settings": {key: settings[key] for key in settings if key not in common}}
            for (dataset, arm), settings in sorted(arms.items(), key=lambda item: item[0])
        ],
        "runs": [run.key.names for run in plan.runs],
    }


_NOTHING = object()  # in the place of a setting that an arm does not have


def _parse(content: Mapping[str, Any], looks: Sequence[int]) -> StudyPlan:
    common = dict(content["settings"])
    arms = {(item["dataset"], item["arm"]): {**common, **item["settings"]} for item in content["arms"]}
    for settings in arms.values():
        for name in ("mix.real", "mix.synthetic"):
            require_number(settings[name], name)
    keys = [RunKey.of(entry) for entry in content["runs"]]
    for key in keys:
        require_fold(key, arms[key.dataset, key.arm])
    comparisons = [
        PlannedComparison(item["dataset"], first, second, item["exploratory"])
        for item in content["comparisons"]
        for first, second in [item["arms"]]
    ]
    runs = tuple(PlannedRun(key, arms[key.dataset, key.arm]) for key in keys)
    planned = {run.arm for run in runs}  # an arm may have been dropped by hand
    kept = (item for item in comparisons if {(item.dataset, item.first), (item.dataset, item.second)} <= planned)
    return StudyPlan(runs, float(content["margin"]), tuple(looks), tuple(sorted(kept)))


def require_fold(key: RunKey, settings: Mapping[str, Any]) -> None:
    """Raise ValueError where a run names one of several folds and its arm has none, or the reverse.

    Args:
        key: of the run.
        settings: of its arm.
    """
    folds = settings.get(FOLDS)
    if key.fold not in ([None] if folds is None else range(folds)):
        raise ValueError(f"{key.folder}: fold is {key.fold}, of folds {folds}")


def _looks(study: Path) -> list[int]:
    path = study / LOOKS
    if not path.is_file():
        return []
    try:
        return [int(seeds) for seeds in read_json(path)["seeds"]]
    except (LookupError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is damaged ({type(error).__name__}: {error}): bring it back from a copy, or move it away and run the "
        "same commands again."
    )
