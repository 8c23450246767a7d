"""Processor time of the commands around training: help, a typo, a finished sweep, a report.

    python -m benchmarks.start                        # five times each, after a sweep of one epoch: five minutes
    python -m benchmarks.start --program <checkout>   # the same of another version

User and system time of the whole process tree, median of five; and whether torch was imported, by any of them.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import cost
from benchmarks.growth import commit

SWEEP = ["-m", "mix=real,55,64,73,82", "trainer.max_epochs=1"]


def imports_torch(program: Path, folder: Path, command: Sequence[str]) -> bool:
    """Return whether a command, or a process that it starts, imports torch.

    Args:
        program: the checkout.
        folder: to run in.
        command: with its arguments.
    """
    variables = cost.offline_environment(program) | {"PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    return any(line.rstrip().endswith("| torch") for line in done.stderr.splitlines())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=cost.ROOT, help="checkout to be measured")
    parser.add_argument("--repeats", type=int, default=5)
    parsed = parser.parse_args()
    program = parsed.program.resolve()
    train = [sys.executable, "-m", "synthaug.train"]
    report = [sys.executable, "-m", "synthaug.report", "outputs/default"]
    commands = {
        "`train --help`": [*train, "--help"],
        "a typo in a key": [*train, "-m", "mix=real,55", "trainer.max_epoch=1"],
        "a typo in a choice": [*train, "-m", "mix=rael,55"],
        "a finished sweep of five arms again": [*train, *SWEEP],
        "`report`, nothing has changed": report,
        "`report`, made again": report,
    }
    print(f"| {commit(program)} | processor seconds | torch imported |\n|---|---:|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cost.measure([*train, *SWEEP], folder, program)
        for title, command in commands.items():
            seconds = []
            for _ in range(parsed.repeats):
                if title.endswith("made again"):
                    (folder / "outputs/default/report.html").unlink()
                code = 2 if "typo" in title else 0
                seconds.append(cost.measure(command, folder, program, {"OMP_NUM_THREADS": "1"}, code).processor)
            (folder / "outputs/default/report.html").touch()  # what is measured next finds the report changed
            imports = imports_torch(program, folder, command)
            cost.measure(report, folder, program)
            print(f"| {title} | {statistics.median(seconds):.2f} | {'yes' if imports else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
