"""Runs as jobs of Slurm: submitted with submitit, monitored with squeue and by their result files.

Accounting (`sacct`) is not needed, since many clusters lack it: a job that squeue no longer lists has written its
outcome to a file, or is lost.
"""

import logging
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from synthaug import locks
from synthaug.errors import UserError
from synthaug.execution import queued_run
from synthaug.execution.clusters import Slurm
from synthaug.execution.frozen_runs import FOLDER, FrozenRun
from synthaug.execution.queued_run import QUEUED, RUNNING, WARNINGS, Outcome, StoppedError
from synthaug.files import read_json, write_json
from synthaug.messages import plural

log = logging.getLogger(__name__)

_SUBMITTED = "slurm.json"  # run → job
# States of jobs that will start or restart; jobs in any state outside both sets have ended.
_WAITING = {
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT", "SUSPENDED"
}  # fmt: skip
_WORKING = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING"}
_GRACE = 15.0  # seconds until the outcome of an ended job is visible on a shared disk
_SLOWEST = 15.0  # seconds between two calls of squeue
_COMMAND_SECONDS = 60
_MOST_OF_ARRAY = 1000  # jobs sent at once: Slurm's own MaxArraySize is 1001
_LIST = ("squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%r")
# Reasons for which a job waits until a user or an administrator changes something.
_STUCK = (
    "JobHeld", "launch_failed", "launch failed", "BadConstraints", "PartitionTimeLimit", "PartitionNodeLimit",
    "PartitionConfig", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS", "AccountNotAllowed", "QOSNotAllowed",
    "MaxMemPerLimit", "PartitionDown", "PartitionInactive",
)  # fmt: skip


@dataclass(frozen=True)
class SlurmRun:
    """Task function of a job; submitit pickles it, so it holds plain data.

    Attributes:
        file: of the `FrozenRun`, like the next two.
        digest: of its content.
        number: of the run.
        max_requeues: how often the job may be queued again.
        timeout_min: minutes that it has.
        answer: file of its `Outcome`.
    """

    file: str
    digest: str
    number: int
    max_requeues: int
    timeout_min: int
    answer: str

    def __call__(self) -> None:
        """Carry out the run and write its outcome; requeue the job if its time is up."""
        from submitit import JobEnvironment

        job_id, began = JobEnvironment().job_id, time.monotonic()
        frozen = FrozenRun(Path(self.file), self.digest, self.number)
        for number in (*WARNINGS, signal.SIGTERM):  # submitit's handlers would queue it again before it has ended
            signal.signal(number, signal.SIG_DFL)
        try:
            outcome = queued_run.bring_to_end(frozen)
        except StoppedError as error:
            attempts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
            if error.number not in WARNINGS:
                raise SystemExit(128 + error.number) from None  # Slurm knows why: cancelled, preempted, queued again
            # The same signal may mean that the job has to make room, at any time.
            is_stuck = error.is_stuck and time.monotonic() - began > 30 * self.timeout_min
            if attempts < self.max_requeues and not is_stuck:
                print(f"Time is up ({error}): queued again, {attempts + 1} of {self.max_requeues}", flush=True)
                _call("scontrol", "requeue", job_id)
                raise SystemExit(128 + error.number) from None
            further = "the same command continues it, a longer cluster.timeout_min or cluster.max_requeues goes further"
            if is_stuck:
                further = (
                    "no epoch was finished in the last one, and a run goes on from its last whole epoch: give the same "
                    "command a longer cluster.timeout_min, or a faster node"
                )
            reason = f"its time was up {plural(attempts + 1, 'time')}; {further}."
            outcome = Outcome(failed=True, reason=reason)
        write_json(Path(self.answer), outcome.content)


@dataclass(frozen=True)
class _Sent:
    """A submitted run: its job, the file of its outcome, and the identity of the run."""

    job: str
    answer: str
    identity: str


class SlurmQueue:
    """The jobs of a sweep.

    Args:
        cluster: what each run asks for.
        study: whose folder gets logs and answers.
        frozen: the runs, by their folders.
    """

    name = "Slurm"

    def __init__(self, cluster: Slurm, study: Path, frozen: Mapping[Path, FrozenRun]) -> None:
        self.cluster = cluster
        self.folder = (study / FOLDER).absolute()
        self.frozen = frozen
        self.jobs: dict[Path, _Sent] = {}  # by the folders of the runs
        self._states: dict[str, str] = {}
        self._stuck: set[str] = set()  # reasons that were told
        self._refreshed = self._began = time.monotonic()
        self._gone: dict[str, float] = {}  # job → when it was seen first that the queue has ended it
        self._refresh_states()

    def submit(self, runs: Sequence[Path]) -> str:
        """Submit runs that are neither queued nor running; return a message on what was submitted.

        Args:
            runs: their folders.

        Raises:
            UserError: Slurm does not take them.
        """
        with locks.exclusive(self.folder / ".lock", "sends runs of this study"):
            recorded = read_json(self.folder / _SUBMITTED) if (self.folder / _SUBMITTED).is_file() else {}
            before = {run: _Sent(**recorded[str(run)]) for run in runs if str(run) in recorded}
            alive = {run: sent for run, sent in before.items() if self._state(sent.job) is not None}
            stale = [run for run, sent in alive.items() if self._would_refuse(sent, self.frozen[run])]
            if stale:
                _call("scancel", *(alive.pop(run).job for run in stale))
            rest = [run for run in runs if run not in alive]
            self.jobs = {**alive, **(self._send(rest) if rest else {})}
            write_json(self.folder / _SUBMITTED, {**recorded, **{str(run): asdict(self.jobs[run]) for run in rest}})
        self._refresh_states()
        parts = [f"{plural(len(rest), 'run')} sent to Slurm"] if rest else []
        parts += [f"{plural(len(alive), 'run')} queued or running before"] if alive else []
        return f"{', '.join(parts)}: job {self._ids()}; logs in {self.folder}"

    def poll(self) -> tuple[dict[Path, str], list[tuple[Path, Outcome]]]:
        """Return the state of each unfinished run, and the outcomes of those that have ended since the last poll."""
        now = time.monotonic()
        if now - self._refreshed > min(_SLOWEST, 1 + (now - self._began) / 20):
            self._refresh_states()
        list(self.folder.iterdir())  # or a disk shared over a network may not show what was written elsewhere
        states: dict[Path, str] = {}
        ended: list[tuple[Path, Outcome]] = []
        for run, sent in self.jobs.items():
            if Path(sent.answer).is_file():
                ended.append((run, Outcome(**read_json(Path(sent.answer)))))
            elif (state := self._state(sent.job)) is not None:
                self._gone.pop(sent.job, None)
                states[run] = state
            elif now - self._gone.setdefault(sent.job, now) < _GRACE:
                states[run] = RUNNING
            else:
                ended.append((run, Outcome(failed=True, reason=self._reason_of_loss(sent.job))))
        for run, _ in ended:
            del self.jobs[run]
        return states, ended

    def leave(self) -> str:
        """Return a message on the jobs, which continue when the command is interrupted."""
        return (
            f"{plural(len(self.jobs), 'run')} of Slurm go on without this command; the same command waits for them "
            f"again. To stop them: scancel {self._ids(' ')}"
        )

    def _ids(self, separator: str = ", ") -> str:
        return separator.join(sorted({sent.job.partition("_")[0] for sent in self.jobs.values()}))

    def close(self) -> None:
        """Do nothing: no connection is held."""

    def _send(self, runs: Sequence[Path]) -> dict[Path, _Sent]:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = SlurmExecutor(self.folder)
        executor.update_parameters(job_name="synthaug", **self.cluster.parameters)
        calls = [self._call_of(self.frozen[run]) for run in runs]
        jobs = []
        try:
            for start in range(0, len(calls), _MOST_OF_ARRAY):
                with executor.batch():
                    jobs += [executor.submit(call) for call in calls[start : start + _MOST_OF_ARRAY]]
        except (FailedSubmissionError, FailedJobError) as error:
            raise UserError(f"cluster=slurm: sbatch does not take the runs: {_last_line(error)}") from None
        return {
            run: _Sent(job.job_id, call.answer, self.frozen[run].identity)
            for run, job, call in zip(runs, jobs, calls, strict=True)
        }

    def _call_of(self, frozen: FrozenRun) -> SlurmRun:
        answer = self.folder / f"answer-{secrets.token_hex(6)}.json"
        limits = self.cluster.max_requeues, self.cluster.timeout_min
        return SlurmRun(str(frozen.file), frozen.digest, frozen.number, *limits, str(answer))

    def _would_refuse(self, sent: _Sent, frozen: FrozenRun) -> bool:
        """Return whether a queued job would refuse its run, because program, configuration or images have changed."""
        return sent.identity != frozen.identity and self._state(sent.job) == QUEUED

    def _state(self, job: str) -> str | None:
        """Return the state of a job; None if it has ended or is unknown."""
        state = self._states.get(job, "")
        return QUEUED if state in _WAITING else RUNNING if state in _WORKING else None

    def _refresh_states(self) -> None:
        """Update the states of all jobs; the previous ones stay where Slurm does not answer."""
        self._refreshed = time.monotonic()
        try:
            listed = parse_states(_call(*_LIST))
        except UserError as error:
            log.warning("%s", error)
            return
        self._states = {job: state for job, (state, _) in listed.items()}
        for job in [sent.job for sent in self.jobs.values() if sent.job in listed]:
            state, reason = listed[job]
            if state in _WAITING and reason.startswith(_STUCK) and reason not in self._stuck:
                self._stuck.add(reason)
                log.warning(
                    "Job %s is queued, and Slurm does not begin it (%s): type the same command with other keys of "
                    "cluster, such as cluster.timeout_min or cluster.partition; more: scontrol show job %s",
                    job,
                    reason,
                    job,
                )

    def _reason_of_loss(self, job: str) -> str:
        """Return why a job ended without writing its outcome."""
        state = self._states.get(job)
        reason = f"Slurm says {state}" if state else "Slurm knows nothing of it any more"
        logs = self.folder / f"{job}_0_log.err"
        return f"its job {job} is gone without an answer ({reason}; its log is {logs}). The same command resumes it."


def parse_states(text: str) -> dict[str, tuple[str, str]]:
    """Return job → state and reason, from the output of squeue.

    Args:
        text: a line "<job>|<state>|<reason>" for each.
    """
    rows = [line.strip().split("|", 2) for line in text.splitlines()]
    return {row[0]: (row[1].split(" ")[0], row[2]) for row in rows if len(row) == 3}


def _call(*command: str) -> str:
    """Return the output of a command of Slurm.

    Raises:
        UserError: it fails.
    """
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_COMMAND_SECONDS).stdout
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{' '.join(command)}: {error.stderr.strip() or f'ends with code {error.returncode}'}"
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{' '.join(command)}: no answer in {_COMMAND_SECONDS} seconds") from None


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "error:" in line or "sbatch" in line]
    return lines[-1] if lines else str(error).strip()
