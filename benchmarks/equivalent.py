"""Check coverage and width of the equivalent number of real images, where one exchange rate holds and where none does.

    python -m benchmarks.equivalent             # four minutes of one core: writes benchmarks/equivalent.json
    python -m benchmarks.equivalent --table     # the table of benchmarks/README.md, from that file

A truth is an error for every training set, whatever law it follows; the true equivalent number of an arm is where the
error of real images alone is the arm's. Answers are drawn as for the exchange rate (benchmarks/exchange.py).
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmarks import exchange
from benchmarks.calibration import about
from synthaug.analysis.exchange.equivalent import Equivalent, equivalent_sizes
from synthaug.analysis.exchange.law import Law
from synthaug.files import read_json, write_json

RESULTS = Path(__file__).with_name("equivalent.json")
SEED = 20261130
SEEDS = (3, 5)
FAR = 1e7  # real images at which every curve has reached its floor
Floats = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Truth(exchange.Truth):
    """A kind of study, and the error as a function of numbers of real and of synthetic images."""

    synthetic: tuple[int, ...] = (0, 500, 2000)
    studies: int = 500
    error: Callable[[Floats, Floats], Floats] = Law(0.03, 0.06, 0.8, 0.2, 300.0).error

    def errors(self) -> Floats:
        """Return the true error of each arm."""
        return self.error(*(np.array([getattr(arm, name) for arm in self.arms], float) for name in AMOUNTS))

    def equivalent(self, row: int) -> float:
        """Return the number of real images alone with the error of an arm; infinite where no number has it.

        Args:
            row: place of the arm in `arms`.
        """
        target = self.errors()[row]

        def excess(logarithm: float) -> float:
            return float(self.error(np.exp(logarithm), np.array(0.0)) - target)

        if excess(np.log(FAR)) > 0:
            return np.inf
        return float(np.exp(scipy.optimize.brentq(excess, np.log(1e-2), np.log(FAR))))


AMOUNTS = ("n_real", "n_synthetic")


def by_worth(worth: Callable[[Floats], Floats], n_real: Floats, n_synthetic: Floats) -> Floats:
    """Return the error by the law, of real images and those that the synthetic ones are worth.

    Args:
        worth: real images that so many synthetic ones are worth.
        n_real: numbers of real images.
        n_synthetic: numbers of synthetic images.
    """
    return Law(0.03, 0.06, 0.8, 0.0, 300.0).error(n_real + worth(n_synthetic), 0)


def late(n_real: Floats, n_synthetic: Floats) -> Floats:
    """Return an error that real images lower little before there are 250 of them: no law of the curve's form is near.

    Args:
        n_real: numbers of real images.
        n_synthetic: numbers of synthetic images, of which 10 are worth one.
    """
    return 0.03 + 0.15 / (1 + ((n_real + 0.1 * n_synthetic) / 250) ** 1.5)


def saturating(n_synthetic: Floats) -> Floats:
    """Return a worth that hardly rises any more from 500 synthetic images on."""
    return 150 * (1 - np.exp(-n_synthetic / 250))


TRUTHS = (
    Truth("one rate"),
    Truth("saturating worth", error=partial(by_worth, saturating)),
    Truth("worth falls with the number", error=Law(0.03, 0.06, 0.8, 0.1, 300.0, unit=2000.0, power=0.4).error),
    Truth("a gap of 2 points", error=Law(0.03, 0.06, 0.8, 0.2, 300.0, shift=0.02).error),
    Truth("worthless", error=Law(0.03, 0.06, 0.8, 0.0, 300.0).error),
    Truth("harmful", error=Law(0.03, 0.06, 0.8, -0.02, 300.0).error),
    Truth("a real curve of another form", error=late),
    Truth("300 test images", images=300),
    Truth("four amounts", real=(200, 400, 700, 1000), synthetic=(0, 400)),
)  # fmt: skip


def covers(item: Equivalent, true: float, least: float, most: float) -> bool:
    """Return whether an interval holds the true number; one that is open holds what lies beyond the amounts.

    Args:
        item: with an interval.
        true: the number.
        least: smallest amount of real images alone.
        most: the largest.
    """
    if true < least:
        return item.low is None
    if true > most:
        return item.high is None
    return (item.low or 0.0) <= true <= (item.high or np.inf)


def simulate(truth: Truth, random: np.random.Generator) -> Row:
    """Estimate all arms of all studies of a truth.

    Args:
        truth: with its numbers of seeds, images and studies.
        random: source of random numbers.
    """
    true = {arm.name: truth.equivalent(row) for row, arm in enumerate(truth.arms) if arm.n_synthetic}
    covered: dict[str, list[bool]] = {name: [] for name in true}
    kinds: Counter[str] = Counter()
    ratios = []
    for _ in range(truth.studies):
        answers = [dict(enumerate(arm.astype(float))) for arm in exchange.draw(truth, random)]
        sizes = equivalent_sizes(truth.arms, answers)
        for item in sizes.arms:
            kinds.update([item.bound or item.reasons[0].code])
            if item.bound:
                covered[item.arm.name].append(covers(item, true[item.arm.name], truth.real[0], truth.real[-1]))
            if item.low and item.high:
                ratios.append(item.high / item.low)
    total = truth.studies * len(true)
    return {
        "truth": truth.name,
        "seeds": truth.seeds,
        "images": truth.images,
        "arms": len(true),
        "studies": truth.studies,
        "covered": float(np.mean([inside for arm in covered.values() for inside in arm])),
        "worst_arm": min(float(np.mean(arm)) for arm in covered.values() if len(arm) > truth.studies // 10),
        "median_ratio": float(np.median(ratios)),
        "shares": {name: count / total for name, count in sorted(kinds.items())},
    }


def table(rows: list[Row]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| truth | seeds | images | studies | covered | worst arm | median high/low | within | open end | withheld |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        shares = row["shares"]
        bounds = [shares.get("within", 0.0), shares.get("at least", 0.0) + shares.get("at most", 0.0)]
        percents = [f"{100 * share:.1f} %" for share in (row["covered"], row["worst_arm"])]
        kinds = [f"{100 * share:.0f} %" for share in (*bounds, 1 - sum(bounds))]
        lines.append(
            f"| {row['truth']} | {row['seeds']} | {row['images']:,} | {row['studies']:,} | {' | '.join(percents)} "
            f"| {row['median_ratio']:.2f} | {' | '.join(kinds)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate and write the results, or print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, help="number of studies of each truth")
    parser.add_argument("--table", action="store_true", help="print the table of the last simulation")
    parsed = parser.parse_args()
    if not parsed.table:
        cells = [replace(truth, seeds=seeds) for truth in TRUTHS for seeds in SEEDS]
        cells = [replace(cell, studies=parsed.studies or cell.studies) for cell in cells]
        generators = np.random.default_rng(SEED).spawn(len(cells))
        rows = [simulate(*pair) for pair in zip(cells, generators, strict=True)]
        write_json(RESULTS, {"about": about(SEED), "rows": rows})
    print(table(read_json(RESULTS)["rows"]))


if __name__ == "__main__":
    main()
