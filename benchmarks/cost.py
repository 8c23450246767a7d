"""What a command takes: its time on the clock, and the processor time of all processes that it starts.

Linux counts a process for its parent once it has ended and its parent has waited for it. Workers of a sweep come from a
server that outlives the command; such orphans are adopted here, so that they count as well.
"""

import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of prctl
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    """What a command took, in seconds."""

    wall: float
    processor: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.processor + other.processor)


def measure(
    command: Sequence[str | Path], folder: Path, program: Path = _ROOT, environment: Mapping[str, str] | None = None
) -> Cost:
    """Run a command offline, and return what it took.

    Args:
        command: with its arguments.
        folder: to run in.
        program: checkout that Python imports from.
        environment: variables beside the present ones.

    Raises:
        SystemExit: the command fails; with the end of what it printed.
    """
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    offline = {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
    variables = {**os.environ, **offline, "PYTHONPATH": str(program), **(environment or {})}
    variables.pop("OMP_NUM_THREADS", None)  # as users have it
    before, started = _processor_seconds(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    _wait_for_orphans()
    return Cost(wall, _processor_seconds() - before)


def _wait_for_orphans() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
