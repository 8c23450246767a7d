"""A million cases of random input: mixes, tables, records, configurations, command lines, YAML, images.

    python -m benchmarks.fuzz --cases 1000000                  # all families: about an hour of one core
    python -m benchmarks.fuzz --family image --seed 4711 --cases 1    # one case again, as a failure names it

Each case checks itself (tests/fuzz/cases.py). A failure is printed with the command that repeats it; the run goes on.
The process may take 4 GB of address space more than at its start, so that a case which fills the memory fails.
"""

import argparse
import logging
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.cases import FAMILIES

_MOST_SHOWN = 3  # failures of a kind
_TICK = 30.0  # seconds between two lines
_ROOM = 4 * 2**30


def run(family: str, seeds: range, failures: Counter[str]) -> None:
    """Run the cases of a family.

    Args:
        family: its name.
        seeds: of the cases.
        failures: are counted in it, by their kind.
    """
    case, _ = FAMILIES[family]
    began = told = time.monotonic()
    for number, seed in enumerate(seeds, 1):
        try:
            case(random.Random(seed))
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{family}: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            failures[kind] += 1
            if failures[kind] <= _MOST_SHOWN:
                print(
                    f"{kind}: {error!s:.300}\n    python -m benchmarks.fuzz --family {family} --seed {seed} --cases 1"
                )
                if len(seeds) == 1:
                    traceback.print_exception(error)
        if time.monotonic() - told > _TICK:
            told = time.monotonic()
            left = (told - began) / number * (len(seeds) - number)
            print(f"{family}: {number:,} of {len(seeds):,} cases, {left / 60:.0f} min left", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{family}: {len(seeds):,} cases in {seconds:.0f} s, {1e3 * seconds / max(1, len(seeds)):.2f} ms each",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cases; return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000, help="of all families together")
    parser.add_argument("--family", choices=list(FAMILIES), help="one alone, which then has all cases")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parsed = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # Pillow's, of damaged files
    logging.disable()
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, used + _ROOM))
    failures: Counter[str] = Counter()
    began, total = time.monotonic(), 0
    for family, (_, share) in FAMILIES.items():
        if parsed.family in (None, family):
            count = parsed.cases if parsed.family else round(parsed.cases * share)
            run(family, range(parsed.seed, parsed.seed + count), failures)
            total += count
    for kind, count in failures.most_common():
        print(f"{count:>8,} {kind}")
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total:,} cases in {seconds / 60:.1f} min, {sum(failures.values()):,} failed, at most {peak:.0f} MB")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
