"""Runs that are taken out of a study: unplanned, their folders set aside."""

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug import locks, occupancy
from synthaug.errors import UserError, raise_all
from synthaug.messages import join_words
from synthaug.runs import planning
from synthaug.runs.discovery import Run, existing_runs


@dataclass(frozen=True)
class Dropped:
    """What was taken out of a study.

    Attributes:
        runs: as they were.
        folder: that has their folders now; None where they had none.
    """

    runs: Sequence[Run]
    folder: Path | None


def drop(study: Path, names: Sequence[str]) -> Dropped:
    """Take runs out of a study.

    Args:
        study: its folder.
        names: of datasets, arms or runs.

    Raises:
        UserError: a name means nothing here, or several arms; a run is running.
    """
    runs = existing_runs(study)
    selected: dict[Path, Run] = {}
    problems = []
    for name in names:
        try:
            selected |= {run.folder: run for run in _matching(runs, name)}
        except UserError as error:
            problems.append(str(error))
    raise_all("Nothing was dropped:", problems)
    aside = next(study / f"dropped{n}" for n in itertools.count(1) if not (study / f"dropped{n}").exists())
    with contextlib.ExitStack() as stack:
        raise_all("Nothing was dropped:", list(_lock(stack, selected)))
        planning.unplan(study, [run.key for run in selected.values()])
        for folder in selected:
            if folder.is_dir():
                target = aside / folder.relative_to(study)
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
    for folder in {path.parent for path in selected}:
        with contextlib.suppress(OSError):  # other runs are in it
            folder.rmdir()
    return Dropped(list(selected.values()), aside if aside.exists() else None)


def _lock(stack: contextlib.ExitStack, folders: Iterable[Path]) -> Iterable[str]:
    """Hold the locks of runs; yield which of them are running."""
    for folder in folders:
        if not folder.is_dir():
            continue
        holder = occupancy.holder(folder)
        if holder is not None:
            yield f"{folder} is running ({holder.host}, process {holder.process}): stop it first"
        elif not stack.enter_context(locks.without_waiting(folder / occupancy.LOCK)):
            yield f"{folder} is running: stop it first"


def _matching(runs: Sequence[Run], name: str) -> list[Run]:
    """Return the runs that a name means.

    Raises:
        UserError: none, or those of several arms.
    """
    path = Path(name).expanduser()
    exact = [
        run
        for run in runs
        if name in (run.key.dataset, run.label, f"{run.key.dataset}: {run.label}", str(run.key.folder))
        or path.resolve() == run.folder.resolve()
    ]
    if exact:
        return exact
    try:
        arms = planning.find_arm({(run.key.dataset, run.key.arm): run.arm for run in runs}, name)
    except UserError:
        choices = join_words(sorted({run.key.dataset for run in runs}))
        labels = ", ".join(dict.fromkeys(run.label for run in runs))
        raise UserError(
            f"{name!r} is not a dataset ({choices}), arm or run of the study; runs: {labels:.500}"
        ) from None
    return [run for run in runs if (run.key.dataset, run.key.arm) in arms]
