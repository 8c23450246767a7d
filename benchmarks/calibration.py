"""Check coverage, error rates and power of synthaug.analysis on simulated studies.

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
        question: what is estimated or tested.
        method: of the interval or test.
        seeds, images: of each study.
        truth: parameters of the simulation by name.
        studies: number of simulated studies.
        covered: intervals that contain the true value.
        width: mean width of the intervals.
        rejected: studies that reject the null hypothesis of the question (by default: no difference).
        predicted: the same share by a power function.
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
    """Return the ends of `intervals.paired_difference`, the method of synthaug."""
    return centre - spread.half_width(), centre + spread.half_width()


CHOSEN = "crossed"
RIVALS: dict[str, Interval] = {
    "crossed, no floor": rivals.no_floor,
    "crossed, half floor": rivals.half_floor,
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
    """Yield the grid: discordance as in the study of the digits, and some cells where arms err on other images."""
    grid = itertools.product(ACCURACIES, DIFFERENCES, SEED_DEVIATIONS)
    alike = [(*cell, 0.85, 0.01) for cell in grid]
    apart = [(*cell, 0.5, 0.3) for cell in itertools.product((0.9, 0.98), (0.0, -0.03), (0.0, 0.006))]
    for accuracy, change, deviation, image, arm in alike + apart:
        if deviation > 0.7 * (1 - accuracy):
            continue  # 99.5 % cannot move by a point between seeds
        words = {"accuracy": accuracy, "difference": change, "seed_deviation": deviation}
        yield {**words, "own": arm}, Truth(((accuracy,), (accuracy + change,)), deviation, image=image, arm=arm)


def intervals(random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate coverage, width and rejections of every method over the grid; of the bootstraps in the first studies.

    With one seed the true value is the difference of the two trained networks: the interval is about no other seed.

    Args:
        random: source of all random numbers; each cell has a generator of its own.
        studies: number of studies in each cell.
    """
    cells = list(truths())
    generators = random.spawn(len(cells))
    pairs = zip(cells, generators, strict=True)
    return [row for cell, generator in pairs for row in cell_intervals(*cell, generator, studies)]


def cell_intervals(words: Mapping[str, float], truth: Truth, random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate all methods, seeds and images under one truth.

    Args:
        words: parameters of the truth by name, for the rows.
        truth: of the studies.
        random: source of random numbers.
        studies: number of studies.
    """
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
                columns = np.column_stack([low, high, networks if seeds == 1 else expected])
                ends.setdefault((name, seeds, images), []).append(columns)
    parameters = {**words, "discordant": round(float(np.mean(disagree)), 4)}
    return [_row("difference", *key, parameters, np.concatenate(parts)) for key, parts in ends.items()]


def chunks(truth: Truth, random: np.random.Generator, studies: int, seeds: int, images: int) -> Iterator[Studies]:
    """Yield `studies` simulated studies, `CHUNK` at a time.

    Args:
        truth, random, studies, seeds, images: of `draw`.
    """
    for start in range(0, studies, CHUNK):
        yield draw(truth, random, min(CHUNK, studies - start), seeds, images)


def _row(question: str, method: str, seeds: int, images: int, truth: Mapping[str, float], ends: Array) -> Row:
    low, high, target = ends.T
    near = 1e-12  # the ends are sums of floats
    return Row(
        question,
        method,
        seeds,
        images,
        truth,
        studies=len(ends),
        covered=float(np.mean((low <= target + near) & (target <= high + near))),
        width=float(np.mean(high - low)),
        rejected=float(np.mean((low > near) | (high < -near))),
    )


# --- error rates, gains, trends, classes, power ----------------------------------------------------------


def each(
    truth: Truth, random: np.random.Generator, studies: int, seeds: int, images: int
) -> Iterator[tuple[NDArray[np.bool_], Array]]:
    """Yield correct answers (arms, seeds, images) and accuracies of the networks (arms, seeds) of each study.

    Args:
        truth, random, studies, seeds, images: of `draw`.
    """
    for drawn in chunks(truth, random, studies, seeds, images):
        yield from zip(drawn.correct, drawn.networks, strict=True)


def by_seed(correct: NDArray[np.bool_], first: int = 0) -> dict[int, Array]:
    """Return an arm's answers in the form of a comparison: seed → (images).

    Args:
        correct: (seeds, images).
        first: number of the first seed.
    """
    return {first + seed: row.astype(np.float64) for seed, row in enumerate(correct)}


def false_alarms(random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate type I errors: no difference, none of four, and worse by exactly the margin; not of one seed, untested.

    Args:
        random: source of all random numbers; each cell has a generator of its own.
        studies: number of studies in each cell.
    """
    cells = list(itertools.product(((2, 0.0), (2, 0.006), (3, 0.0), (3, 0.006), (5, 0.0), (5, 0.006)), (162, 1500)))
    return [
        row
        for ((seeds, deviation), images), generator in zip(cells, random.spawn(len(cells)), strict=True)
        for row in cell_false_alarms(seeds, deviation, images, generator, studies)
    ]


def cell_false_alarms(
    seeds: int, deviation: float, images: int, random: np.random.Generator, studies: int
) -> list[Row]:
    """Simulate the three null hypotheses at one size of study.

    Args:
        seeds, images: of each study.
        deviation: standard deviation of an arm's accuracy over seeds, a fraction.
        random: source of random numbers.
        studies: number of studies.
    """
    words = {"accuracy": 0.95, "seed_deviation": deviation}
    families, singles = [], []
    for correct, _ in each(Truth(((0.95,),) * 5, deviation), random, studies, seeds, images):
        p_values = [tested_p(difference(by_seed(arm), by_seed(correct[0]))) for arm in correct[1:]]
        singles.append(p_values[0] <= statistics.ALPHA)
        families.append(min(holm(p_values)) <= statistics.ALPHA)
    worse = Truth(((0.95,), (0.95 - MARGIN,)), deviation)
    established = [
        difference(by_seed(correct[1]), by_seed(correct[0])).non_inferiority_p(MARGIN) <= statistics.ALPHA / 2
        for correct, _ in each(worse, random, studies, seeds, images)
    ]
    return [
        Row(question, method, seeds, images, words, studies, rejected=float(np.mean(answers)))
        for question, method, answers in (
            ("no difference", CHOSEN, singles),
            ("none of four", f"{CHOSEN}, Holm", families),
            ("worse by the margin", CHOSEN, established),
        )
    ]


def tested_p(tested: statistics.Difference) -> float:
    """Return the p value of a difference over several seeds."""
    assert tested.p_value is not None, "one seed has none"
    return tested.p_value


def gains(random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate an arm against a control far below it, with the same seeds and with different ones, and its accuracy.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    rows = []
    for seeds, images, deviation in itertools.product((1, 2, 3, 5), (162, 1500), (0.003, 0.012)):
        truth = Truth(((0.86,), (0.94,)), deviation)
        gain, apart, alone = [], [], []
        for correct, networks in each(truth, random, studies, seeds, images):
            control, arm = correct
            target = 0.08 if seeds > 1 else networks[1, 0] - networks[0, 0]
            gain.append(_ends(difference(by_seed(arm), by_seed(control)), target))
            apart.append(_ends(difference(by_seed(arm), by_seed(control, first=seeds)), target))
            accuracy = statistics.accuracy_over_seeds(arm.astype(np.float64))
            alone.append(_ends(accuracy, 0.94 if seeds > 1 else networks[1, 0]))
        words = {"accuracy": 0.94, "control": 0.86, "seed_deviation": deviation}
        for question, name, ends in (
            ("gain over a control", CHOSEN, gain),
            ("gain, no seed in common", "crossed_apart", apart),
            ("accuracy", "accuracy_over_seeds", alone),
        ):
            rows.append(_row(question, name, seeds, images, words, np.array(ends)))
    return rows


def trends(random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate the slope over the synthetic share of five arms, flat and falling by half a point per 10 %.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    rows = []
    shares = np.array([0.0, 0.5, 0.6, 0.7, 0.8])
    for seeds, images, fall in itertools.product((1, 2, 3, 5), (162, 1500), (0.0, 0.005)):
        truth = Truth(tuple((0.95 - fall * share / 0.1,) for share in shares), 0.006)
        weights = 0.1 * (shares - shares.mean()) / np.square(shares - shares.mean()).sum()
        ends = []
        for correct, networks in each(truth, random, studies, seeds, images):
            estimate = slope(shares.tolist(), [by_seed(arm) for arm in correct], per=0.1)
            assert estimate is not None
            ends.append(_ends(estimate, -fall if seeds > 1 else float(weights @ networks[:, 0])))
        words = {"accuracy": 0.95, "slope": -fall, "seed_deviation": 0.006}
        rows.append(_row("trend", "slope", seeds, images, words, np.array(ends)))
    return rows


def classes(random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate six classes of unequal difficulty, of which an arm harms one: macro F1, that class and another.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    rows = []
    base = (0.995, 0.98, 0.97, 0.95, 0.92, 0.88)
    arm = (0.995, 0.98, 0.97, 0.95, 0.92, 0.78)
    for seeds, images in itertools.product((1, 2, 3, 5), (162, 1500)):
        truth = Truth((base, arm), 0.006 if seeds > 1 else 0.0)
        labels = np.arange(images) % len(base)
        f1_change = population_f1(truth, 1) - population_f1(truth, 0)
        macro, harmed, spared = [], [], []
        for drawn in chunks(truth, random, studies, seeds, images):
            # All wrong classes are equally likely.
            wrong = (labels + random.integers(1, len(base), size=drawn.correct.shape)) % len(base)
            for correct, predicted in zip(drawn.correct, np.where(drawn.correct, labels, wrong), strict=True):
                second, first = (by_seed(answers) for answers in correct)
                parts = [macro_f1_parts(dict(enumerate(answers)), labels, len(base)) for answers in predicted]
                macro.append(_ends(difference(parts[1], parts[0]), f1_change))
                harmed.append(_ends(difference(first, second, np.flatnonzero(labels == 5)), -0.1))
                spared.append(_ends(difference(first, second, np.flatnonzero(labels == 0)), 0.0))
        words = {"accuracy": 0.949, "seed_deviation": truth.seed_deviation}
        rows.append(_row("macro F1", "jackknife, crossed", seeds, images, words, np.array(macro)))
        rows.append(_row("a class, 10 points worse", CHOSEN, seeds, images // 6, words, np.array(harmed)))
        rows.append(_row("a class at 99.5 %", CHOSEN, seeds, images // 6, words, np.array(spared)))
    return rows


def power(random: np.random.Generator, studies: int) -> list[Row]:
    """Simulate the power of detecting a difference, beside its prediction from the true variances.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    rows = []
    for accuracy, change, deviation in itertools.product((0.9, 0.95, 0.98), (-0.01, -0.03), (0.0, 0.006)):
        truth = Truth(((accuracy,), (accuracy + change,)), deviation)
        components, discordant = true_components(truth, random)
        words = {"accuracy": accuracy, "difference": change, "seed_deviation": deviation, "discordant": discordant}
        rejections: dict[tuple[int, int], list[NDArray[np.bool_]]] = {}
        for drawn in chunks(truth, random, studies, max(SEEDS), max(IMAGES)):
            for seeds, images in itertools.product(SEEDS, (162, 500, 1500)):
                table = drawn.differences()[:, :seeds, :images]
                if seeds > 1:
                    centre, spread = statistics.paired_mean_variance(table)
                    rejections.setdefault((seeds, images), []).append(np.abs(centre) > spread.half_width())
                elif not deviation:  # otherwise the two networks do not differ by `change`
                    rejections.setdefault((seeds, images), []).append(_mcnemar_rejects(table[:, 0]))
        for (seeds, images), parts in rejections.items():
            if seeds == 1:
                name, predicted = "exact McNemar", mcnemar_power(discordant, abs(change), images)
            else:
                name, predicted = CHOSEN, interval_power(abs(change), seeds, images, components)
            rejected = float(np.mean(np.concatenate(parts)))
            rows.append(Row("power", name, seeds, images, words, studies, rejected=rejected, predicted=predicted))
    return rows


def _mcnemar_rejects(differences: Array) -> NDArray[np.bool_]:
    counts = [(int((row > 0).sum()), int((row < 0).sum())) for row in differences]
    return np.array([mcnemar(better, worse) <= statistics.ALPHA for better, worse in counts])


def true_components(truth: Truth, random: np.random.Generator) -> tuple[VarianceComponents, float]:
    """Estimate the variance components of the first two arms' difference, and their discordance, from large studies.

    Args:
        truth: of the studies.
        random: source of random numbers.
    """
    drawn = draw(truth, random, studies=40, seeds=10, images=6000)
    parts = [part for table in drawn.differences() if (part := estimate_components(table, repeated=0.5))]
    image, rest, repeated = np.mean([(part.image, part.rest, part.repeated) for part in parts], axis=0).tolist()
    of_seeds = (drawn.networks[:, 1] - drawn.networks[:, 0]).var(axis=1, ddof=1).mean()
    discordant = round(float(np.abs(drawn.differences()).mean()), 4)
    return VarianceComponents(float(of_seeds), image, rest, repeated), discordant


def population_f1(truth: Truth, arm: int) -> float:
    """Return the expected macro F1 over all images and seeds, wrong answers spread evenly over the wrong classes.

    Args:
        truth: of the studies.
        arm: its position in `truth`.
    """
    level, effect = truth.levels[arm], truth.seed_effects[arm]
    hit = scipy.special.ndtr(level + effect * NODES[:, None])
    false_positive = ((1 - hit).sum(axis=1, keepdims=True) - (1 - hit)) / (hit.shape[1] - 1)
    return float(WEIGHTS @ (2 * hit / (1 + hit + false_positive)).mean(axis=1))


def _ends(estimate: statistics.Estimate, target: float) -> tuple[float, float, float]:
    return estimate.low, estimate.high, target


# --- the command -------------------------------------------------------------------------------------------

Question = Callable[[np.random.Generator, int], list[Row]]
QUESTIONS: tuple[Question, ...] = (intervals, false_alarms, gains, trends, classes, power)


def main() -> None:
    """Simulate and write the results, or print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="print the tables of the last simulation")
    parser.add_argument(
        "--only", choices=[simulate.__name__ for simulate in QUESTIONS], help="run one part and keep the rest"
    )
    arguments = parser.parse_args()
    if arguments.tables:
        from benchmarks.tables import tables

        print(tables(json.loads(RESULTS.read_text())))
        return
    for place, simulate in enumerate(QUESTIONS):
        if arguments.only in (None, simulate.__name__):
            started = time.process_time()
            rows = simulate(np.random.default_rng([SEED, place]), STUDIES)
            _write(simulate.__name__, rows, time.process_time() - started)


def about(seed: int) -> dict[str, object]:
    """Say by what results were computed.

    Args:
        seed: of the random numbers.
    """
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "seed": seed,
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}",
    }


def _write(part: str, rows: Sequence[Row], seconds: float) -> None:
    """Replace one part of the results."""
    parts = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    described = {**about(SEED), "processor_minutes": round(seconds / 60, 1)}
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    values = [[row.get(name) for name in columns] for row in flat]
    parts[part] = {"about": described, "columns": columns, "rows": values}
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
