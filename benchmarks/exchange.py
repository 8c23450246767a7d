"""Check coverage of the exchange rate's interval on simulated studies, and that it is withheld where it should be.

    python -m benchmarks.exchange               # some three minutes on one core: writes benchmarks/exchange.json
    python -m benchmarks.exchange --only "k = 2"
    python -m benchmarks.exchange --table       # the table of that file, as Markdown

Studies are drawn with a true law of the error, a variance between runs, and test images of which some are hard for
every classifier; each is fitted as a user's study is.
"""

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from synthaug.analysis.exchange.law import Law
from synthaug.analysis.exchange.rate import Amounts, Exchange, fit
from synthaug.files import read_json, write_json

RESULTS = Path(__file__).with_name("exchange.json")
SEED = 20261126


@dataclass(frozen=True)
class Truth:
    """A kind of study. Deviations between runs are `run` times the error; `image` and `arm` are shares of variance.

    A test image's difficulty is the sum of a part that all classifiers share, one that the runs of an arm share, and
    one of the single run; a run answers wrongly where it exceeds the quantile of its error.
    """

    name: str
    value: float = 0.5
    floor: float = 0.03
    scale: float = 0.06  # error above the floor at 300 effective images
    exponent: float = 0.8
    power: float = 1.0
    shift: float = 0.0
    real: tuple[int, ...] = (50, 100, 200, 400, 1000)
    synthetic: tuple[int, ...] = (0, 500, 1000, 2000)
    seeds: int = 3
    images: int = 1500
    run: float = 0.12
    image: float = 0.5
    arm: float = 0.1
    studies: int = 250

    @property
    def arms(self) -> list[Amounts]:
        """Real and synthetic images of each arm."""
        return [Amounts(f"{real}+{synthetic}", real, synthetic) for real in self.real for synthetic in self.synthetic]

    def errors(self) -> NDArray[np.float64]:
        """Return the true error of each arm."""
        unit = float(max(self.synthetic)) or 1.0
        law = Law(self.floor, self.scale, self.exponent, self.value, 300.0, unit, self.power, self.shift)
        return law.error([arm.n_real for arm in self.arms], [arm.n_synthetic for arm in self.arms])


TRUTHS = (
    Truth("k = 2", studies=2000),
    Truth("k = 10", value=0.1, studies=500),
    Truth("k = 1", value=1.0),
    Truth("worthless", value=0.0, studies=500),
    Truth("harmful", value=-0.02, real=(100, 200, 400, 700, 1000)),
    Truth("300 test images", images=300),
    Truth("five seeds", seeds=5),
    Truth("one seed", seeds=1),
    Truth("no spread between runs", run=0.0),
    Truth("errors of 1 to 5 %", floor=0.005, scale=0.015),
    Truth("no floor", floor=0.0, scale=0.08, exponent=0.5),
    Truth("eight arms", real=(100, 200, 400, 1000), synthetic=(0, 600)),
    Truth("images change nothing", scale=0.0, floor=0.08),
    Truth("two amounts of real images", real=(200, 1000), studies=20),
    Truth("value falls with the number", power=0.4),
    Truth("synthetic images add a floor of 4 points", shift=0.04),
)


def draw(truth: Truth, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draw correct answers (arms, seeds, images) of one study.

    Args:
        truth: of the study.
        random: source of random numbers.
    """
    error = truth.errors()
    shape = (len(error), truth.seeds)
    runs = np.clip(error[:, None] * (1 + truth.run * random.standard_normal(shape)), 1e-4, 0.95)
    run = 1 - truth.image - truth.arm
    difficulty = (
        np.sqrt(truth.image) * random.standard_normal(truth.images)
        + np.sqrt(truth.arm) * random.standard_normal((len(error), 1, truth.images))
        + np.sqrt(run) * random.standard_normal((*shape, truth.images))
    )
    return np.asarray(difficulty >= scipy.special.ndtri(runs)[..., None])


def simulate(truth: Truth) -> dict[str, Any]:
    """Fit all studies of a truth; rates are shares of the studies, `covered` of those with an interval."""
    started = time.process_time()
    reasons: Counter[str] = Counter()
    better: Counter[str] = Counter()
    covered, estimated, widths = 0, 0, []
    for number in range(truth.studies):
        random = np.random.default_rng([SEED, TRUTHS.index(_full(truth)), number])
        exchange = fit(truth.arms, draw(truth, random), along=False)
        reasons.update(reason.code for reason in exchange.reasons)
        better.update([exchange.better] if exchange.better else [])
        if exchange.value is None:
            continue
        estimated += 1
        covered += _inside(exchange, truth.value)
        widths.append(_width(exchange))
    return {
        **{name: value for name, value in asdict(truth).items() if name not in ("real", "synthetic")},
        "real": list(truth.real),
        "synthetic": list(truth.synthetic),
        "told": estimated / truth.studies,
        "covered": covered / estimated if estimated else None,
        "median_width": float(np.median(widths)) if widths else None,
        "reasons": {name: count / truth.studies for name, count in sorted(reasons.items())},
        "better": {name: count / truth.studies for name, count in sorted(better.items())},
        "milliseconds": 1000 * (time.process_time() - started) / truth.studies,
    }


def _full(truth: Truth) -> Truth:
    """Return the truth as listed in TRUTHS: its random numbers depend on its place in that list."""
    return next(listed for listed in TRUTHS if listed.name == truth.name)


def _inside(exchange: Exchange, value: float) -> bool:
    assert exchange.value is not None
    assert exchange.value.low is not None
    assert exchange.value.high is not None
    return exchange.value.low <= value <= exchange.value.high


def _width(exchange: Exchange) -> float:
    assert exchange.value is not None
    return (exchange.value.high or 0.0) - (exchange.value.low or 0.0)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    header = "| truth | value | arms | seeds | images | studies | told | covered | median width | other form wins |"
    lines = [header, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|"]
    for row in rows:
        better = ", ".join(f"{name} {100 * share:.0f} %" for name, share in row["better"].items())
        covered = "-" if row["covered"] is None else f"{100 * row['covered']:.1f} %"
        width = "-" if row["median_width"] is None else f"{row['median_width']:.2f}"
        arms = len(row["real"]) * len(row["synthetic"])
        lines.append(
            f"| {row['name']} | {row['value']:g} | {arms} | {row['seeds']} | {row['images']:,} | {row['studies']:,} "
            f"| {100 * row['told']:.1f} % | {covered} | {width} | {better} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate one truth after another, writing the file after each, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="name of one truth")
    parser.add_argument("--studies", type=int, help="number of studies of each truth")
    parser.add_argument("--table", action="store_true", help="print the table of the last results")
    parsed = parser.parse_args()
    rows: dict[str, Any] = {row["name"]: row for row in read_json(RESULTS)["rows"]} if RESULTS.is_file() else {}
    if not parsed.table:
        for truth in TRUTHS:
            if parsed.only in (None, truth.name):
                rows[truth.name] = simulate(replace(truth, studies=parsed.studies or truth.studies))
                finished = [rows[item.name] for item in TRUTHS if item.name in rows]
                write_json(RESULTS, {"seed": SEED, "rows": finished})
                print(table([rows[truth.name]]).splitlines()[-1], flush=True)
    else:
        print(table([rows[item.name] for item in TRUTHS if item.name in rows]))


if __name__ == "__main__":
    main()
