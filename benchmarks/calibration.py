"""Do the intervals, tests and power figures of synthaug.analysis hold what they promise? Simulated studies answer.

python -m benchmarks.calibration            # five minutes of one core: writes benchmarks/calibration.json
python -m benchmarks.calibration --tables   # the tables of benchmarks/README.md, from that file
"""

import argparse
import dataclasses
import itertools
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmarks import rivals
from benchmarks.truth import NODES, WEIGHTS, Array, Studies, Truth, draw
from synthaug.analysis.inference import intervals as statistics
from synthaug.analysis.inference.contrasts import difference, macro_f1_parts, slope
from synthaug.analysis.inference.hypothesis_tests import holm, mcnemar
from synthaug.analysis.inference.sample_size import mcnemar_power
from synthaug.analysis.inference.variance_components import VarianceComponents, estimate_components, interval_power

RESULTS = Path(__file__).with_name("calibration.json")
STUDIES = 2000
CHUNK = 50  # studies drawn at once: few enough for the processor's cache
BOOTSTRAPPED = 250  # studies of a cell; it is slow
SEED = 20261125

SEEDS = (1, 2, 3, 5, 10)
IMAGES = (20, 60, 162, 500, 1500)
ACCURACIES = (0.8, 0.9, 0.95, 0.98, 0.995)
DIFFERENCES = (0.0, -0.01, -0.03)
SEED_DEVIATIONS = (0.0, 0.003, 0.006, 0.012)
MARGIN = 0.01


@dataclass(frozen=True)
class Row:
    """One method in one cell of the simulation; rates are shares of the studies.

    Attributes:
        question: what was asked of the studies.
        method: what answered.
        seeds, images: of each study.
        truth: what was true, by name.
        studies: simulated.
        covered: intervals that hold the truth.
        width: mean width of the intervals.
        rejected: studies that say no to the hypothesis of the question (by default: there is no difference).
        predicted: the same, as foretold by a power function.
    """

    question: str
    method: str
    seeds: int
    images: int
    truth: Mapping[str, float]
    studies: int
    covered: float | None = None
    width: float | None = None
    rejected: float | None = None
    predicted: float | None = None


# --- intervals of a difference -------------------------------------------------------------------------

Interval = Callable[[Array, Array, statistics.MeanVariance], tuple[Array, Array]]


def product(_differences: Array, centre: Array, spread: statistics.MeanVariance) -> tuple[Array, Array]:
    """What synthaug does: the ends of `intervals.paired_difference`."""
    return centre - spread.half_width(), centre + spread.half_width()


CHOSEN = "crossed"
RIVALS: dict[str, Interval] = {
    "crossed, no floor": rivals.no_floor,
    "crossed, whole floor": rivals.whole_floor,
    "t of Hillis": rivals.hillis,
    "images alone": rivals.images_alone,
    "seeds alone": rivals.seeds_alone,
}
RESAMPLING: dict[str, Interval] = {
    "bootstrap": rivals.bootstrap,
    "bootstrap, inflated": rivals.bootstrap_inflated,
}
RESAMPLED = list(itertools.product((2, 3, 5), (60, 500)))  # (seeds, images)


def truths() -> Iterator[tuple[dict[str, float], Truth]]:
    """The grid: disagreement as in the study of the digits, and a few where arms differ on other images."""
    grid = itertools.product(ACCURACIES, DIFFERENCES, SEED_DEVIATIONS)
    alike = [(*cell, 0.85, 0.01) for cell in grid]
    apart = [(*cell, 0.5, 0.3) for cell in itertools.product((0.9, 0.98), (0.0, -0.03), (0.0, 0.006))]
    for accuracy, change, deviation, image, own in alike + apart:
        if deviation > 0.7 * (1 - accuracy):
            continue  # 99.5 % cannot move by a point between seeds
        words = {"accuracy": accuracy, "difference": change, "seed_deviation": deviation}
        yield {**words, "own": own}, Truth(((accuracy,), (accuracy + change,)), deviation, image=image, own=own)


def intervals(random: np.random.Generator, studies: int) -> list[Row]:
    """Coverage, width and rejections of every method over the grid; of the bootstraps in the first studies only.

    With one seed the truth is the difference of the two trained networks: nothing is said about others.
    """
    cells = list(truths())
    drawers = random.spawn(len(cells))
    return [row for cell, own in zip(cells, drawers, strict=True) for row in cell_intervals(*cell, own, studies)]


def cell_intervals(words: Mapping[str, float], truth: Truth, random: np.random.Generator, studies: int) -> list[Row]:
    """All methods, seeds and images under one truth."""
    ends: dict[tuple[str, int, int], list[Array]] = {}
    disagree = []
    for place, drawn in enumerate(chunks(truth, random, studies, max(SEEDS), max(IMAGES))):
        differences = drawn.differences()
        disagree.append(np.abs(differences[:, 0]).mean())
        networks = drawn.networks[:, 1, 0] - drawn.networks[:, 0, 0]
        expected = np.full_like(networks, truth.expected[1] - truth.expected[0])
        for seeds, images in itertools.product(SEEDS, IMAGES):
            table = differences[:, :seeds, :images]
            methods = {CHOSEN: product} | (RIVALS if seeds > 1 else {})
            methods |= RESAMPLING if place * CHUNK < BOOTSTRAPPED and (seeds, images) in RESAMPLED else {}
            centre, spread = statistics.paired_mean_variance(table)
            for name, method in methods.items():
                low, high = method(table, centre, spread)
                found = np.column_stack([low, high, networks if seeds == 1 else expected])
                ends.setdefault((name, seeds, images), []).append(found)
    known = {**words, "discordant": round(float(np.mean(disagree)), 4)}
    return [_row("difference", *key, known, np.concatenate(found)) for key, found in ends.items()]


def chunks(truth: Truth, random: np.random.Generator, studies: int, seeds: int, images: int) -> Iterator[Studies]:
    """`studies` of them, some at a time."""
    for start in range(0, studies, CHUNK):
        yield draw(truth, random, min(CHUNK, studies - start), seeds, images)


def _row(question: str, method: str, seeds: int, images: int, truth: Mapping[str, float], found: Array) -> Row:
    low, high, target = found.T
    near = 1e-12  # the ends are sums of floats
    return Row(
        question,
        method,
        seeds,
        images,
        truth,
        studies=len(found),
        covered=float(np.mean((low <= target + near) & (target <= high + near))),
        width=float(np.mean(high - low)),
        rejected=float(np.mean((low > near) | (high < -near))),
    )


# --- everything else that a study is asked ----------------------------------------------------------------


def each(
    truth: Truth, random: np.random.Generator, studies: int, seeds: int, images: int
) -> Iterator[tuple[NDArray[np.bool_], Array]]:
    """Right answers (arms, seeds, images) and accuracies of the networks (arms, seeds) of each study."""
    for drawn in chunks(truth, random, studies, seeds, images):
        yield from zip(drawn.correct, drawn.networks, strict=True)


def by_seed(correct: NDArray[np.bool_], first: int = 0) -> dict[int, Array]:
    """An arm's (seeds, images) as the comparison keeps them."""
    return {first + seed: row.astype(np.float64) for seed, row in enumerate(correct)}


def false_alarms(random: np.random.Generator, studies: int) -> list[Row]:
    """How often tests reject a true hypothesis: no difference, none of four, and worse by exactly the margin."""
    cells = list(itertools.product(((1, 0.0), (2, 0.0), (3, 0.0), (3, 0.006), (5, 0.0), (5, 0.006)), (162, 1500)))
    drawers = random.spawn(len(cells))
    return [
        row
        for ((seeds, deviation), images), own in zip(cells, drawers, strict=True)
        for row in cell_false_alarms(seeds, deviation, images, own, studies)
    ]


def cell_false_alarms(
    seeds: int, deviation: float, images: int, random: np.random.Generator, studies: int
) -> list[Row]:
    """The three hypotheses at one size of study."""
    words = {"accuracy": 0.95, "seed_deviation": deviation}
    families, singles = [], []
    for correct, _ in each(Truth(((0.95,),) * 5, deviation), random, studies, seeds, images):
        found = [difference(by_seed(arm), by_seed(correct[0])).p_value for arm in correct[1:]]
        singles.append(found[0] <= statistics.ALPHA)
        families.append(min(holm(found)) <= statistics.ALPHA)
    worse = Truth(((0.95,), (0.95 - MARGIN,)), deviation)
    shown = [
        difference(by_seed(correct[1]), by_seed(correct[0])).non_inferiority_p(MARGIN) <= statistics.ALPHA / 2
        for correct, _ in each(worse, random, studies, seeds, images)
    ]
    name = "exact McNemar" if seeds == 1 else CHOSEN
    return [
        Row(question, method, seeds, images, words, studies, rejected=float(np.mean(answers)))
        for question, method, answers in (
            ("no difference", name, singles),
            ("none of four", f"{name}, Holm", families),
            ("worse by the margin", CHOSEN, shown),
        )
    ]


def gains(random: np.random.Generator, studies: int) -> list[Row]:
    """An arm beside a control that is far below it, with the same seeds and with others; each arm's own accuracy."""
    rows = []
    for seeds, images, deviation in itertools.product((1, 2, 3, 5), (162, 1500), (0.003, 0.012)):
        truth = Truth(((0.86,), (0.94,)), deviation)
        gain, apart, alone = [], [], []
        for correct, networks in each(truth, random, studies, seeds, images):
            control, arm = correct
            target = 0.08 if seeds > 1 else networks[1, 0] - networks[0, 0]
            gain.append(_found(difference(by_seed(arm), by_seed(control)), target))
            apart.append(_found(difference(by_seed(arm), by_seed(control, first=seeds)), target))
            own = statistics.accuracy_over_seeds(arm.astype(np.float64))
            alone.append(_found(own, 0.94 if seeds > 1 else networks[1, 0]))
        words = {"accuracy": 0.94, "control": 0.86, "seed_deviation": deviation}
        for question, name, found in (
            ("gain over a control", CHOSEN, gain),
            ("gain, no seed in common", "crossed_apart", apart),
            ("accuracy", "accuracy_over_seeds", alone),
        ):
            rows.append(_row(question, name, seeds, images, words, np.array(found)))
    return rows


def trends(random: np.random.Generator, studies: int) -> list[Row]:
    """The slope over the synthetic share of five arms, flat and falling by half a point per 10 %."""
    rows = []
    shares = np.array([0.0, 0.5, 0.6, 0.7, 0.8])
    for seeds, images, fall in itertools.product((1, 2, 3, 5), (162, 1500), (0.0, 0.005)):
        truth = Truth(tuple((0.95 - fall * share / 0.1,) for share in shares), 0.006)
        weights = 0.1 * (shares - shares.mean()) / np.square(shares - shares.mean()).sum()
        found = []
        for correct, networks in each(truth, random, studies, seeds, images):
            got = slope(shares.tolist(), [by_seed(arm) for arm in correct], per=0.1)
            assert got is not None
            found.append(_found(got, -fall if seeds > 1 else float(weights @ networks[:, 0])))
        words = {"accuracy": 0.95, "slope": -fall, "seed_deviation": 0.006}
        rows.append(_row("trend", "slope", seeds, images, words, np.array(found)))
    return rows


def classes(random: np.random.Generator, studies: int) -> list[Row]:
    """Six classes of unequal difficulty, one of which an arm harms: macro F1, the harmed class and a spared one."""
    rows = []
    base = (0.995, 0.98, 0.97, 0.95, 0.92, 0.88)
    arm = (0.995, 0.98, 0.97, 0.95, 0.92, 0.78)
    for seeds, images in itertools.product((1, 2, 3, 5), (162, 1500)):
        truth = Truth((base, arm), 0.006 if seeds > 1 else 0.0)
        labels = np.arange(images) % len(base)
        f1_change = population_f1(truth, 1) - population_f1(truth, 0)
        macro, harmed, spared = [], [], []
        for drawn in chunks(truth, random, studies, seeds, images):
            # Every other class is an equally likely wrong answer.
            other = (labels + random.integers(1, len(base), size=drawn.correct.shape)) % len(base)
            for correct, predicted in zip(drawn.correct, np.where(drawn.correct, labels, other), strict=True):
                second, first = (by_seed(answers) for answers in correct)
                parts = [macro_f1_parts(dict(enumerate(answers)), labels, len(base)) for answers in predicted]
                macro.append(_found(difference(parts[1], parts[0]), f1_change))
                harmed.append(_found(difference(first, second, np.flatnonzero(labels == 5)), -0.1))
                spared.append(_found(difference(first, second, np.flatnonzero(labels == 0)), 0.0))
        words = {"accuracy": 0.949, "seed_deviation": truth.seed_deviation}
        rows.append(_row("macro F1", "jackknife, crossed", seeds, images, words, np.array(macro)))
        rows.append(_row("a class, 10 points worse", CHOSEN, seeds, images // 6, words, np.array(harmed)))
        rows.append(_row("a class at 99.5 %", CHOSEN, seeds, images // 6, words, np.array(spared)))
    return rows


def power(random: np.random.Generator, studies: int) -> list[Row]:
    """How often a difference is found, and how often that is foretold where the variances are known."""
    rows = []
    for accuracy, change, deviation in itertools.product((0.9, 0.95, 0.98), (-0.01, -0.03), (0.0, 0.006)):
        truth = Truth(((accuracy,), (accuracy + change,)), deviation)
        known, discordant = true_components(truth, random)
        words = {"accuracy": accuracy, "difference": change, "seed_deviation": deviation, "discordant": discordant}
        found: dict[tuple[int, int], list[NDArray[np.bool_]]] = {}
        for drawn in chunks(truth, random, studies, max(SEEDS), max(IMAGES)):
            for seeds, images in itertools.product(SEEDS, (162, 500, 1500)):
                table = drawn.differences()[:, :seeds, :images]
                if seeds > 1:
                    centre, spread = statistics.paired_mean_variance(table)
                    found.setdefault((seeds, images), []).append(np.abs(centre) > spread.half_width())
                elif not deviation:  # else the two networks do not differ by what was asked for
                    found.setdefault((seeds, images), []).append(_mcnemar_finds(table[:, 0]))
        for (seeds, images), parts in found.items():
            if seeds == 1:
                name, foretold = "exact McNemar", mcnemar_power(discordant, abs(change), images)
            else:
                name, foretold = CHOSEN, interval_power(abs(change), seeds, images, known)
            rejected = float(np.mean(np.concatenate(parts)))
            rows.append(Row("power", name, seeds, images, words, studies, rejected=rejected, predicted=foretold))
    return rows


def _mcnemar_finds(differences: Array) -> NDArray[np.bool_]:
    counts = [(int((row > 0).sum()), int((row < 0).sum())) for row in differences]
    return np.array([mcnemar(better, worse) <= statistics.ALPHA for better, worse in counts])


def true_components(truth: Truth, random: np.random.Generator) -> tuple[VarianceComponents, float]:
    """Variance components of the first two arms' difference, and how often they disagree: from very large studies."""
    drawn = draw(truth, random, studies=40, seeds=10, images=6000)
    found = [part for table in drawn.differences() if (part := estimate_components(table, repeated=0.5))]
    image, rest, repeated = np.mean([(part.image, part.rest, part.repeated) for part in found], axis=0).tolist()
    of_seeds = (drawn.networks[:, 1] - drawn.networks[:, 0]).var(axis=1, ddof=1).mean()
    discordant = round(float(np.abs(drawn.differences()).mean()), 4)
    return VarianceComponents(float(of_seeds), image, rest, repeated), discordant


def population_f1(truth: Truth, arm: int) -> float:
    """Expected macro F1 of an arm over all images and seeds, wrong answers spread evenly over the other classes."""
    level, effect = truth.levels[arm], truth.seed_effects[arm]
    hit = scipy.special.ndtr(level + effect * NODES[:, None])
    other = ((1 - hit).sum(axis=1, keepdims=True) - (1 - hit)) / (hit.shape[1] - 1)
    return float(WEIGHTS @ (2 * hit / (1 + hit + other)).mean(axis=1))


def _found(found: statistics.Estimate, target: float) -> tuple[float, float, float]:
    return found.low, found.high, target


# --- the command -------------------------------------------------------------------------------------------

Question = Callable[[np.random.Generator, int], list[Row]]
QUESTIONS: tuple[Question, ...] = (intervals, false_alarms, gains, trends, classes, power)


def main() -> None:
    """Simulate and write down, or show the tables of what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="show the tables of the last simulation")
    parser.add_argument(
        "--only", choices=[ask.__name__ for ask in QUESTIONS], help="one part; the others stay as they are"
    )
    asked = parser.parse_args()
    if asked.tables:
        from benchmarks.tables import tables

        print(tables(json.loads(RESULTS.read_text())))
        return
    for place, ask in enumerate(QUESTIONS):
        if asked.only in (None, ask.__name__):
            began = time.process_time()
            rows = ask(np.random.default_rng([SEED, place]), STUDIES)
            _write(ask.__name__, rows, time.process_time() - began)


def _write(part: str, rows: Sequence[Row], seconds: float) -> None:
    """Put one part into the results, with the processor time it took; the others stay."""
    parts = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    about = {
        "seed": SEED,
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}",
        "processor_minutes": round(seconds / 60, 1),
    }
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    parts[part] = {"about": about, "columns": columns, "rows": [[row.get(name) for name in columns] for row in flat]}
    RESULTS.write_text(json.dumps(parts, separators=(",", ":")).replace("[[", "[\n[").replace("],[", "],\n[") + "\n")
    print(f"{part}: {seconds:.0f} s", flush=True)


def _flat(row: Row) -> dict[str, object]:
    values = {**dataclasses.asdict(row), **row.truth}
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in values.items()
        if name != "truth" and value is not None
    }


if __name__ == "__main__":
    main()
