"""How far the runs of a study are: finished, running, stopped, failed, not begun; from its files alone."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.runs import contents, discovery, occupancy, study_commands
from synthaug.runs.discovery import Run
from synthaug.runs.layout import CONFIG, LAST, PREVIOUS, RESULT
from synthaug.runs.study_commands import StudyCommand

FINISHED, RUNNING, STOPPED, FAILED, WAITING = "finished", "running", "stopped", "failed", "not begun"
STATES = (FINISHED, RUNNING, STOPPED, FAILED, WAITING)


@dataclass(frozen=True)
class RunStatus:
    """How far one run is.

    Attributes:
        dataset: its name.
        label: arm and seed.
        folder: below the study's.
        state: one of `STATES`.
        epoch: epochs that its curve has.
        epochs: that it is to have; None where that is not known.
        host: machine of the process that works on it; empty where none does.
        process: its number there.
        since: ISO time since when it is so: begun, stopped, failed or finished.
        reason: why it failed.
    """

    dataset: str
    label: str
    folder: str
    state: str
    epoch: int = 0
    epochs: int | None = None
    host: str = ""
    process: int = 0
    since: str = ""
    reason: str = ""


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is.

    Attributes:
        study: its folder.
        runs: in the order of reports.
        commands: to type for all that neither are finished nor running.
    """

    study: Path
    runs: Sequence[RunStatus]
    commands: Sequence[StudyCommand] = field(default_factory=tuple)

    def count(self, state: str) -> int:
        """Return how many runs are in a state."""
        return sum(run.state == state for run in self.runs)

    @property
    def as_json(self) -> dict[str, Any]:
        """The same for other programs."""
        return {
            "study": str(self.study),
            "counts": {state: self.count(state) for state in STATES},
            "runs": [asdict(run) for run in self.runs],
            "commands": [asdict(command) for command in self.commands],
        }


def study_status(study: Path) -> StudyStatus:
    """Return how far the runs of a study are.

    Args:
        study: its folder.

    Raises:
        UserError: there is no study, or its plan is damaged.
    """
    runs = discovery.find_runs(study) if study.is_dir() else []
    if not runs:
        raise UserError(f"{study} holds no study: give the folder of one, e.g. outputs/default.")
    states = [_status(study, run) for run in runs]
    left = [status.folder for status in states if status.state in (STOPPED, FAILED, WAITING)]
    return StudyStatus(study, states, study_commands.covering(study_commands.read(study), left))


def _status(study: Path, run: Run) -> RunStatus:
    folder = run.folder
    relative = str(folder.relative_to(study))
    epoch, epochs = _epochs(run)
    if run.result is not None:
        when = str(run.result["finished"])
        return RunStatus(run.key.dataset, run.label, relative, FINISHED, epoch, epochs, since=when)
    if holder := occupancy.holder(folder):
        begun = datetime.datetime.fromtimestamp(holder.since, datetime.UTC).isoformat(timespec="seconds")
        place = (holder.host, holder.process, begun)
        return RunStatus(run.key.dataset, run.label, relative, RUNNING, epoch, epochs, *place)
    if run.failure is not None:
        when, reason = str(run.failure.get("when", "")), str(run.failure.get("error", ""))
        return RunStatus(run.key.dataset, run.label, relative, FAILED, epoch, epochs, since=when, reason=reason)
    state = WAITING if run.state == "missing" else STOPPED
    return RunStatus(run.key.dataset, run.label, relative, state, epoch, epochs, since=_last_change(folder))


def _epochs(run: Run) -> tuple[int, int | None]:
    """Return how many epochs a run has, as far as its curve tells, and how many it is to have."""
    if run.result is not None:
        return int(run.result["training"]["epochs"]), int(run.result["training"]["epochs"])
    epochs = run.settings.get("trainer.max_epochs")
    return contents.kept_epochs(run.folder), epochs if isinstance(epochs, int) and epochs > 0 else None


def _last_change(folder: Path) -> str:
    times = [
        path.stat().st_mtime for name in (LAST, PREVIOUS, CONFIG, RESULT) if (path := folder / name).is_file()
    ]  # fmt: skip
    if not times:
        return ""
    return datetime.datetime.fromtimestamp(max(times), datetime.UTC).isoformat(timespec="seconds")
