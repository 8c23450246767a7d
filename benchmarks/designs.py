"""Check the intervals of further designs: borrowed seeds, folds, factors, sources of chance, groups of arms, strata.

python -m benchmarks.designs                 # writes benchmarks/designs.json
python -m benchmarks.designs --only borrowed # one part anew
python -m benchmarks.designs --tables        # the tables of benchmarks/README.md, from that file
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.borrowed import borrowed
from benchmarks.calibration import about
from benchmarks.factors import factors
from benchmarks.folds import folds
from benchmarks.groups import groups
from benchmarks.sources import sources
from benchmarks.strata import strata_rows

RESULTS = Path(__file__).with_name("designs.json")
SEED = 20261130
Row = Mapping[str, str | float]
# Each takes a source of random numbers and, optionally, a number of studies.
PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "borrowed": borrowed,
    "folds": folds,
    "factors": factors,
    "sources": sources,
    "groups": groups,
    "strata": strata_rows,
}


def main() -> None:
    """Simulate and write the results, or print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PARTS], help="run one part and keep the rest")
    parser.add_argument("--tables", action="store_true", help="print the tables of the last simulation")
    parsed = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for place, (name, simulate) in enumerate(PARTS.items()):
        if not parsed.tables and parsed.only in (None, name):
            started = time.process_time()
            rows = list(simulate(np.random.default_rng([SEED, place])))
            minutes = round((time.process_time() - started) / 60, 1)
            results[name] = {"about": {**about(SEED), "processor_minutes": minutes}, "rows": rows}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name in PARTS:
        print(f"{table(results[name]['rows'])}\n")


def table(rows: list[Row]) -> str:
    """Return rows of the same columns as Markdown."""
    numeric = [not isinstance(value, str) for value in rows[0].values()]
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "|".join("---:" if number else "---" for number in numeric) + "|"]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
