"""Processor time of the commands around training: help, a typo, a finished sweep, a report.

    python -m benchmarks.start                        # five times each, after a sweep of one epoch: five minutes
    python -m benchmarks.start --program <checkout>   # the same of another version

User and system time of the whole process tree, median of five; and whether torch was imported, by any of them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import ROOT, commit

SWEEP = ["-m", "mix=real,55,64,73,82", "trainer.max_epochs=1"]


def run(program: Path, folder: Path, arguments: Sequence[str]) -> tuple[float, bool]:
    """Run Python on a checkout, and return processor seconds and whether torch was imported.

    Args:
        program: the checkout.
        folder: to run in.
        arguments: of Python.
    """
    environment = {**os.environ, "PYTHONPATH": str(program), "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    before = os.times()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return used, any(line.rstrip().endswith("| torch") for line in done.stderr.splitlines())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT, help="checkout to be measured")
    parser.add_argument("--repeats", type=int, default=5)
    parsed = parser.parse_args()
    program = parsed.program.resolve()
    train, report = ["-m", "synthaug.train"], ["-m", "synthaug.report", "outputs/default"]
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
        run(program, folder, [*train, *SWEEP])
        for title, arguments in commands.items():
            seconds = []
            for _ in range(parsed.repeats):
                if title.endswith("made again"):
                    (folder / "outputs/default/report.html").unlink()
                seconds.append(run(program, folder, arguments)[0])
            (folder / "outputs/default/report.html").touch()  # what is measured next finds the report changed
            imports = run(program, folder, ["-X", "importtime", *arguments])[1]
            run(program, folder, report)
            print(f"| {title} | {statistics.median(seconds):.2f} | {'yes' if imports else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
