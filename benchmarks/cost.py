"""What a command takes: its time on the clock, its memory, and the processor time of all processes that it starts.

Linux counts a process for its parent once it has ended and its parent has waited for it. Workers of a sweep come from a
server that outlives the command; such orphans are adopted here, so that they count as well.
"""

import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of prctl
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: seconds on the clock.
        processor: seconds, user and system, of all processes.
        peak_mb: memory of the largest process, orphans left out.
    """

    wall: float
    processor: float
    peak_mb: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.processor + other.processor, max(self.peak_mb, other.peak_mb))


def measure(
    command: Sequence[str | Path],
    folder: Path,
    program: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    exit_code: int = 0,
) -> Cost:
    """Run a command offline, and return what it took.

    Args:
        command: with its arguments.
        folder: to run in.
        program: checkout that Python imports from.
        environment: variables beside the present ones.
        exit_code: that it ends with.

    Raises:
        SystemExit: it ends with another one; with the end of what it printed.
    """
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    variables = offline_environment(program) | dict(environment or {})
    before, started = _processor_seconds(), time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != exit_code:
            output.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{output.read()[-3000:]}")
    _wait_for_orphans()
    return Cost(wall, _processor_seconds() - before, used.ru_maxrss / 1000)


def offline_environment(program: Path = ROOT) -> dict[str, str]:
    """Return the variables of a command that uses no network, and as many threads as it likes.

    Args:
        program: checkout that Python imports from.
    """
    variables = {**os.environ, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(program)}
    variables.pop("OMP_NUM_THREADS", None)  # as users have it
    return variables


def _wait_for_orphans() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
