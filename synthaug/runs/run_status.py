"""The progress of a study: which runs are finished, running, stopped, failed or not begun, from its files alone."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from synthaug import occupancy
from synthaug.runs import contents, discovery, study_commands
from synthaug.runs.discovery import Run
from synthaug.runs.layout import CONFIG, LAST, PREVIOUS, RESULT
from synthaug.runs.study_commands import StudyCommand

FINISHED, RUNNING, STOPPED, FAILED, WAITING = "finished", "running", "stopped", "failed", "not begun"
STATES = (FINISHED, RUNNING, STOPPED, FAILED, WAITING)


@dataclass(frozen=True)
class RunStatus:
    """The progress of a run.

    Attributes:
        dataset: its name.
        label: arm and seed.
        folder: below the study's.
        state: one of `STATES`.
        epoch: number of trained epochs.
        epochs: number of epochs to train; None if unknown.
        host: machine of the process that trains it; empty where none does.
        process: its process id.
        since: ISO time at which it reached this state.
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
    """The progress of a study.

    Attributes:
        study: its folder.
        runs: in the order of reports.
        commands: that resume the runs which are neither finished nor running.
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
    """Return the progress of a study.

    Args:
        study: its folder.

    Raises:
        UserError: there is no study, or its plan is damaged.
    """
    runs = discovery.existing_runs(study)
    states = [_status(study, run) for run in runs]
    left = [status.folder for status in states if status.state in (STOPPED, FAILED, WAITING)]
    return StudyStatus(study, states, study_commands.covering(study_commands.read(study), left))


def _status(study: Path, run: Run) -> RunStatus:
    epoch, epochs = _epochs(run)
    status = RunStatus(run.key.dataset, run.label, str(run.folder.relative_to(study)), WAITING, epoch, epochs)
    if run.result is not None:
        return replace(status, state=FINISHED, since=str(run.result["finished"]))
    if holder := occupancy.holder(run.folder):
        return replace(status, state=RUNNING, host=holder.host, process=holder.process, since=_iso_time(holder.since))
    if run.failure is not None:
        since, reason = str(run.failure.get("when", "")), str(run.failure.get("error", ""))
        return replace(status, state=FAILED, since=since, reason=reason)
    return replace(status, state=WAITING if run.state == "missing" else STOPPED, since=_last_change(run.folder))


def _epochs(run: Run) -> tuple[int, int | None]:
    """Return how many epochs of a run are trained, by its learning curve, and how many are requested."""
    if run.result is not None:
        return int(run.result["training"]["epochs"]), int(run.result["training"]["epochs"])
    epochs = run.settings.get("trainer.max_epochs")
    return contents.kept_epochs(run.folder), epochs if isinstance(epochs, int) and epochs > 0 else None


def _last_change(folder: Path) -> str:
    times = [
        path.stat().st_mtime for name in (LAST, PREVIOUS, CONFIG, RESULT) if (path := folder / name).is_file()
    ]  # fmt: skip
    return _iso_time(max(times)) if times else ""


def _iso_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
