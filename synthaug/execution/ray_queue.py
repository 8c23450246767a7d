"""Runs as tasks of Ray: a task has the share of a GPU that its run asks for, and ends with the command."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from synthaug import signals
from synthaug.errors import UserError
from synthaug.execution import queued_run
from synthaug.execution.clusters import Ray
from synthaug.execution.frozen_runs import FOLDER, FrozenRun
from synthaug.execution.queued_run import QUEUED, RUNNING, Outcome
from synthaug.messages import plural

log = logging.getLogger(__name__)

_PASSED_ON = ("WANDB_", "HF_", "HUGGING", "SYNTHAUG_", "OMP_", "PYTHONPATH")  # prefixes of the variables that tasks get
_GRACE = 30.0  # seconds for runs to stop


def run_task(frozen: FrozenRun, folder: str, variables: Mapping[str, str], mark: str) -> Outcome:
    """Carry out a run in a process of Ray.

    Args:
        frozen: reference to the run.
        folder: that the command was typed in.
        variables: of its environment.
        mark: log file of the run; it exists once the run has begun.
    """
    queued_run.enter_folder(folder, variables)
    return queued_run.bring_to_end(frozen, log_file=Path(mark))


class RayQueue:
    """The tasks of a sweep.

    Args:
        cluster: what each run asks for.
        study: whose folder gets logs.
        frozen: the runs, by their folders.

    Raises:
        UserError: there is no such cluster, or no node of it has what a run asks for.
    """

    name = "Ray"

    def __init__(self, cluster: Ray, study: Path, frozen: Mapping[Path, FrozenRun]) -> None:
        self.folder = (study / FOLDER).absolute()
        self.frozen = frozen
        self.tasks: dict[Path, Any] = {}
        self._tried: set[Path] = set()
        signals.before_end_at_once.append(ray.shutdown)
        self._connect(cluster.address)
        options = cluster.options(ray.cluster_resources())
        _require_room(options, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        self._task = ray.remote(**options, max_retries=0)(run_task)

    @staticmethod
    def _connect(address: str | None) -> None:
        try:
            ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"cluster.address={address}: {' '.join(str(error).split())[:300]}") from None

    def submit(self, runs: Sequence[Path]) -> str:
        """Submit runs; return a message on what was submitted."""
        for run in runs:
            self._mark(run).unlink(missing_ok=True)
            self._send(run)
        return f"{plural(len(runs), 'run')} sent to Ray; logs in {self.folder}"

    def poll(self) -> tuple[dict[Path, str], list[tuple[Path, Outcome]]]:
        """Return the state of each unfinished run, and the outcomes of those that have ended since the last poll."""
        ready = ray.wait(list(self.tasks.values()), num_returns=len(self.tasks), timeout=0)[0] if self.tasks else []
        ended = [
            (run, outcome)
            for run, task in list(self.tasks.items())
            if task in ready and (outcome := self._outcome(run, task)) is not None
        ]
        for run, _ in ended:
            del self.tasks[run]
        return {run: RUNNING if self._mark(run).exists() else QUEUED for run in self.tasks}, ended

    def leave(self) -> str:
        """Cancel the runs; return a message on them."""
        for task in self.tasks.values():
            ray.cancel(task)
        end = time.monotonic() + _GRACE
        while self.tasks and time.monotonic() < end:
            if len(ray.wait(list(self.tasks.values()), num_returns=len(self.tasks), timeout=1)[0]) == len(self.tasks):
                break
        return f"{plural(len(self.tasks), 'run')} of Ray stopped."

    def close(self) -> None:
        """Disconnect from the cluster; one that was started for this command ends."""
        ray.shutdown()

    def _send(self, run: Path) -> None:
        variables = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        self.tasks[run] = self._task.remote(self.frozen[run], str(Path.cwd()), variables, str(self._mark(run)))

    def _outcome(self, run: Path, task: Any) -> Outcome | None:
        """Return how a task has ended; None where its process died for the first time, and it is sent again."""
        try:
            outcome: Outcome = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            return Outcome(failed=True, reason=f"{error}")
        except ray.exceptions.RayError as error:
            cause = " ".join(str(error).split())
            if run in self._tried:
                reason = f"its process died twice ({cause:.200}). The same command resumes it."
                return Outcome(failed=True, reason=reason)
            self._tried.add(run)
            log.warning("%s: its process died and is started again, once (%.200s)", run, cause)
            self._mark(run).unlink(missing_ok=True)
            self._send(run)
            return None
        return outcome

    def _mark(self, run: Path) -> Path:
        return self.folder / f"ray-{self.frozen[run].identity[:12]}.log"


def _require_room(options: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise UserError where no node has what a run asks for: Ray would wait for one for ever."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    if any(all(node.get(names[name], 0) >= amount for name, amount in options.items()) for node in nodes):
        return
    request = ", ".join(f"{names[name]} {amount:g}" for name, amount in options.items() if amount)
    listed = "; ".join(", ".join(f"{name} {node.get(name, 0):g}" for name in names.values()) for node in nodes)
    raise UserError(
        f"cluster=ray: a run asks for {request}, and no node has that ({listed}); lower cluster.cpus, cluster.gpus or "
        "cluster.memory_gb."
    )
