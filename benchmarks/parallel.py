"""Runs beside each other against runs one after the other: a whole sweep by the command, in wall and processor time.

    python -m benchmarks.parallel    # six runs of one epoch on the digits, five rounds: half an hour of two cores

A round is the same sweep three times: one run after the other (parallel=1), two runs at a time (parallel=2), and one
after the other with two threads each (threads=2), in an order that changes from round to round. Ratios are of a round.
Wall time means something on an idle machine alone; processor time is that of the command and of all processes that it
starts, counted by Linux. The predictions of parallel=1 and parallel=2 are compared byte by byte.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.cost import Cost, measure

_WAYS = {"one by one": [], "two at a time": ["parallel=2"], "two threads": ["threads=2"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("overrides", nargs="*", default=["mix=real", "trainer.max_epochs=1"], help="of the sweep")
    arguments = parser.parse_args()
    sweep = [*arguments.overrides, f"seed={','.join(map(str, range(arguments.runs)))}", "logger=none"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_command(folder, [*sweep, "trainer.max_epochs=1"], "warm-up")  # writes and decodes the dataset
        rounds: list[dict[str, Cost]] = []
        for number in range(arguments.rounds):
            ways = list(_WAYS)
            ways = ways[number % len(ways) :] + ways[: number % len(ways)]
            rounds.append({way: run_command(folder, [*sweep, *_WAYS[way]], way.replace(" ", "-")) for way in ways})
            listed = [f"{way} {cost.wall:.1f} s, {cost.processor:.1f}" for way, cost in rounds[-1].items()]
            print(f"  {'; '.join(listed)}")
            _require_equal(folder)
    for way in list(_WAYS)[1:]:
        wall = [costs["one by one"].wall / costs[way].wall for costs in rounds]
        processor = [costs[way].processor / costs["one by one"].processor for costs in rounds]
        print(
            f"{way}: {statistics.median(wall):.2f} times as fast ({min(wall):.2f} to {max(wall):.2f}), with "
            f"{statistics.median(processor):.2f} of the processor time ({min(processor):.2f} to {max(processor):.2f})"
        )


def run_command(folder: Path, overrides: list[str], experiment: str) -> Cost:
    """Run a sweep from its beginning to the report, and return what it took.

    Args:
        folder: that it works in.
        overrides: of the command; one run at a time unless they say otherwise.
        experiment: name of its study, which is begun anew.
    """
    shutil.rmtree(folder / "outputs" / experiment, ignore_errors=True)
    command = [sys.executable, "-m", "synthaug.train", "-m", f"experiment={experiment}", *overrides]
    if not any(override.startswith("parallel=") for override in overrides):
        command.append("parallel=1")
    return measure(command, folder)


def _require_equal(folder: Path) -> None:
    one, beside = (folder / "outputs" / name for name in ("one-by-one", "two-at-a-time"))
    files = [path.relative_to(one) for path in one.glob("*/*/seed*/predictions.*")]
    assert files, f"{one} has no predictions"
    for file in files:
        assert (one / file).read_bytes() == (beside / file).read_bytes(), f"{file} differs"


if __name__ == "__main__":
    main()
