"""A small study, sent somewhere, and what must be the same wherever its runs are computed."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from synthaug.runs import layout
from tests.factories.commands import Commands
from tests.factories.processes import Process

ARMS = ("real", "55")
# Epochs enough to be caught in the midst of them.
STUDY = ["-m", f"mix={','.join(ARMS)}", "seed=0", "parallel=auto", "trainer.max_epochs=25"]
_SECONDS = 150.0


def run_folder(commands: Commands, arm: str, experiment: str) -> Path:
    """Folder of a run of the study; one that does not exist where there is none."""
    return commands.run_folder(arm, experiment)


def results(commands: Commands, experiment: str) -> dict[str, bytes]:
    """What the runs of a study predicted, learned, and were compared to, byte for byte but for times."""
    content: dict[str, bytes] = {}
    for arm in ARMS:
        folder = run_folder(commands, arm, experiment)
        for name in (layout.PREDICTIONS, layout.MIX):
            content[f"{arm}/{name}"] = (folder / name).read_bytes()
        rows = (folder / layout.HISTORY).read_text(encoding="utf-8").splitlines()
        header = rows[0].split(",")
        kept = [number for number, name in enumerate(header) if "second" not in name and "time" not in name]
        table = [",".join(row.split(",")[number] for number in kept) for row in rows]
        content[f"{arm}/{layout.HISTORY}"] = "\n".join(table).encode()
    content["results.csv"] = (commands.study(experiment) / "results.csv").read_bytes().replace(experiment.encode(), b"")
    return content


def wait_until(reached: Callable[[], bool], process: Process, commands: Commands) -> None:
    """Wait until something holds while a command works."""
    end = time.monotonic() + _SECONDS
    while not reached():
        assert process.poll() is None, commands.printed
        assert time.monotonic() < end, commands.printed
        time.sleep(0.02)


def has_begun(commands: Commands, experiment: str, *arms: str) -> Callable[[], bool]:
    """Whether runs have written a checkpoint."""

    def begun() -> bool:
        return all((run_folder(commands, arm, experiment) / layout.LAST).is_file() for arm in arms)

    return begun


def processes(text: str, **variables: str) -> list[int]:
    """Processes by a text in their command line, and by their environment."""
    matching = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if text in line and all(f"{name}={value}" in environment for name, value in variables.items()):
            matching.append(int(folder.name))
    return matching


def kill(pids: list[int]) -> None:
    """Kill processes hard."""
    assert pids, "nothing to kill"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
