"""Check what a reader concludes: one seed, two seeds that agree, looks, near duplicates, accuracies near 100 %.

python -m benchmarks.conclusions            # four minutes of one core: writes benchmarks/conclusions.json
python -m benchmarks.conclusions --table    # the table of benchmarks/README.md, from that file

"Before" is the rule that was replaced: half of the interval over images as the least width, McNemar's test with one
seed, no correction for looks, every near duplicate an image of its own. Null hypotheses are true, so that every
rejection is a false one.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.calibration import about, chunks
from benchmarks.rivals import half_floor_width
from benchmarks.truth import Array, Truth
from synthaug.analysis.inference.contrasts import difference
from synthaug.analysis.inference.hypothesis_tests import holm, mcnemar
from synthaug.analysis.inference.intervals import (
    ALPHA,
    accuracy_over_seeds,
    cluster_means,
    paired_mean_variance,
)

RESULTS = Path(__file__).with_name("conclusions.json")
SEED = 20261129
STUDIES = 2000
TAIL_STUDIES = 20_000
TAIL = 0.001
LOOKS = (2, 3, 5, 10)
Row = dict[str, object]


def _row(question: str, cell: str, before: float | None, after: float, wanted: str) -> Row:
    rounded = None if before is None else round(before, 5)
    return {"question": question, "cell": cell, "before": rounded, "after": round(after, 5), "wanted": wanted}


def tails(random: np.random.Generator) -> Iterator[Row]:
    """Simulate how often two equal arms differ with p < 0.001."""
    for deviation, images in itertools.product((0.0, 0.006), (162, 500)):
        counts: dict[int, list[tuple[float, float]]] = {seeds: [] for seeds in LOOKS}
        truth = Truth(((0.95,), (0.95,)), deviation)
        for drawn in chunks(truth, random, TAIL_STUDIES, max(LOOKS), images):
            for seeds in LOOKS:
                centre, variance = paired_mean_variance(drawn.differences()[:, :seeds])
                size = np.abs(centre)
                rejected = (size > half_floor_width(variance, TAIL)).mean(), (size > variance.half_width(TAIL)).mean()
                counts[seeds].append((float(rejected[0]), float(rejected[1])))
        for seeds, rates in counts.items():
            before, after = np.mean(rates, axis=0)
            cell = f"{seeds} seeds, {images} images, seeds vary by {100 * deviation:g} points"
            yield _row("p < 0.001 of equal arms", cell, before, after, "at most 0.1 %")


def one_seed(random: np.random.Generator) -> Iterator[Row]:
    """Simulate how often one of four arms that equal the baseline gets a verdict from one seed."""
    for deviation in (0.003, 0.006):
        before, after = [], []
        for drawn in chunks(Truth(((0.95,),) * 5, deviation), random, STUDIES, 1, 1500):
            for correct in drawn.correct[:, :, 0]:
                counts = [((arm & ~correct[0]).sum(), (correct[0] & ~arm).sum()) for arm in correct[1:]]
                before.append(min(holm([mcnemar(int(better), int(worse)) for better, worse in counts])) <= ALPHA)
                arms = [difference({0: arm.astype(float)}, {0: correct[0].astype(float)}) for arm in correct[1:]]
                after.append(any(arm.is_significant for arm in arms))
        cell = f"1,500 images, seeds vary by {100 * deviation:g} points"
        yield _row("a false verdict, one seed", cell, float(np.mean(before)), float(np.mean(after)), "never")


def looks(random: np.random.Generator) -> Iterator[Row]:
    """Simulate how often an arm that equals the baseline is significant at any look at 2, 3, 5 and 10 seeds."""
    for deviation, images in itertools.product((0.0, 0.006), (162, 1500)):
        rates: list[Array] = []
        for drawn in chunks(Truth(((0.95,), (0.95,)), deviation), random, STUDIES, max(LOOKS), images):
            rejected = np.zeros((2, len(drawn.correct)), dtype=bool)
            for number, seeds in enumerate(LOOKS, 1):
                centre, variance = paired_mean_variance(drawn.differences()[:, :seeds])
                rejected[0] |= np.abs(centre) > half_floor_width(variance, ALPHA)
                rejected[1] |= np.abs(centre) > variance.half_width(ALPHA / number)
            rates.append(rejected.mean(axis=1))
        before, after = np.mean(rates, axis=0)
        cell = f"looks at 2, 3, 5 and 10 seeds, {images} images, seeds vary by {100 * deviation:g} points"
        yield _row("a false verdict, several looks", cell, before, after, "at most 5 %")


def clusters(random: np.random.Generator) -> Iterator[Row]:
    """Simulate coverage of a difference where every test image stands in the test set three times."""
    members = np.repeat(np.arange(167), 3)
    for seeds, deviation in ((1, 0.0), (2, 0.006), (3, 0.006), (5, 0.006)):
        truth, covered = Truth(((0.9,), (0.9,)), deviation, image=0.5, arm=0.3), []
        for drawn in chunks(truth, random, STUDIES, seeds, 167):
            once = drawn.differences()
            target = drawn.networks[:, 1, 0] - drawn.networks[:, 0, 0] if seeds == 1 else 0.0
            thrice = np.repeat(once, 3, axis=-1)
            for table in (thrice, cluster_means(thrice, members)):
                centre, variance = paired_mean_variance(table)
                covered.append(float((np.abs(centre - target) <= variance.half_width()).mean()))
        before, after = np.mean(covered[::2]), np.mean(covered[1::2])
        cell = f"clusters of three, 501 images, {seeds} seeds"
        yield _row("coverage of a difference", cell, float(before), float(after), "at least 95 %")


def near_perfect(random: np.random.Generator) -> Iterator[Row]:
    """Simulate coverage of an accuracy near 100 % over ten seeds, which repeat many of their mistakes or nearly all."""
    for accuracy, images, image in itertools.product((0.98, 0.995), (162, 500), (0.85, 0.99)):
        truth = Truth(((accuracy,),), 0.0, image=image, arm=0.0)
        covered = [
            estimate.low <= accuracy <= estimate.high
            for drawn in chunks(truth, random, STUDIES, 10, images)
            for estimate in map(accuracy_over_seeds, drawn.correct[:, 0].astype(float))
        ]
        cell = f"{100 * accuracy:g} %, 10 seeds, {images} images, {100 * image:g} % of the variance between images"
        yield _row("coverage of an accuracy", cell, None, float(np.mean(covered)), "at least 95 %")


def unequal_clusters(random: np.random.Generator) -> Iterator[Row]:
    """Simulate coverage and width of an accuracy where a few test images stand in the test set four times."""
    members = np.concatenate([np.arange(1300), np.repeat(np.arange(1300, 1350), 4)])
    for seeds, deviation in ((1, 0.0), (3, 0.003)):
        truth = Truth(((0.95,),), deviation, image=0.8, arm=0.0)
        accuracies, covered, widths = [], [], []
        for drawn in chunks(truth, random, STUDIES, seeds, 1350):
            for correct, network in zip(drawn.correct[:, 0].astype(float), drawn.networks[:, 0, 0], strict=True):
                repeated = correct[:, members]
                estimates = accuracy_over_seeds(repeated), accuracy_over_seeds(repeated, clusters=members)
                target = float(network) if seeds == 1 else 0.95
                accuracies.append(float(repeated.mean()) - target)
                covered.append([estimate.low <= target <= estimate.high for estimate in estimates])
                widths.append([estimate.high - estimate.low for estimate in estimates])
        cell = f"50 of 1,350 images four times, {seeds} seed{'s' if seeds > 1 else ''}"
        before, after = np.mean(covered, axis=0)
        yield _row("coverage of an accuracy", cell, float(before), float(after), "at least 95 %")
        before, after = np.mean(widths, axis=0) / (2 * 1.96 * np.std(accuracies))
        if seeds == 1:  # several have few degrees of freedom to pay for
            yield _row("its width, of what 95 % takes", cell, float(before), float(after), "little more than 100 %")


QUESTIONS: tuple[Callable[[np.random.Generator], Iterator[Row]], ...] = (
    tails, one_seed, looks, clusters, near_perfect, unequal_clusters
)  # fmt: skip


def main() -> None:
    """Simulate and write the results, or print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the table of the last simulation")
    if not parser.parse_args().table:
        generators = np.random.default_rng(SEED).spawn(len(QUESTIONS))
        rows = [row for simulate, random in zip(QUESTIONS, generators, strict=True) for row in simulate(random)]
        RESULTS.write_text(json.dumps({"about": about(SEED), "rows": rows}, indent=1) + "\n")
    print(table(json.loads(RESULTS.read_text())["rows"]))


def table(rows: list[Row]) -> str:
    """Return the results as Markdown."""
    lines = ["| what | where | before | now | wanted |", "|---|---|---:|---:|---|"]
    for row in rows:
        shares = ["-" if row[name] is None else f"{100 * float(str(row[name])):.3g} %" for name in ("before", "after")]
        lines.append(f"| {row['question']} | {row['cell']} | {' | '.join(shares)} | {row['wanted']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
