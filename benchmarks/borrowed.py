"""Simulate the interval that borrows the seeds' variance from all arms of a study, and the check that goes with it."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.calibration import chunks
from benchmarks.rivals import moderated
from benchmarks.truth import Array, Truth
from synthaug.analysis.inference.intervals import paired_mean_variance
from synthaug.analysis.inference.shared_seeds import borrowed_mean_variance, shared_seed_variance

STUDIES = 1000
SEEDS = (2, 3, 5, 10)
DEVIATION = 0.004
FALL = 0.363  # on the scale of the threshold, from 95 to 90 %


def truths() -> Iterator[tuple[str, int, Truth]]:
    """Yield names of truths, numbers of images and truths."""
    for arms, factor in itertools.product((4, 8), (1, 2, 3)):
        name = "all vary alike" if factor == 1 else f"one arm varies {factor} times as much"
        truth = Truth(((0.95,),) * arms, DEVIATION, instability=(1.0,) * (arms - 1) + (factor,))
        for images in (162, 1500) if factor == 1 else (1500,):
            yield name, images, truth
    for arms in (4, 8):
        falls = Truth(((0.95,),) * arms, DEVIATION, collapse=(0.2, FALL))
        yield "one run in five falls by 5 points", 1500, falls
    yield "alike, at 98, 95, 90 and 80 %", 500, Truth(((0.95,), (0.98,), (0.9,), (0.8,)), DEVIATION)


def borrowed(random: np.random.Generator, studies: int = STUDIES) -> Iterator[Mapping[str, str | float]]:
    """Yield a row for each truth and number of seeds; the last arm is the one that varies more.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    for name, images, truth in truths():
        changes = truth.expected[1:] - truth.expected[0]
        studied: dict[int, list[Array]] = {seeds: [] for seeds in SEEDS}
        for drawn in chunks(truth, random, studies, max(SEEDS), images):
            for correct in drawn.correct.astype(np.float64):
                for seeds in SEEDS:
                    studied[seeds].append(_study(correct[:, :seeds], changes))
        for seeds, results in studied.items():
            cell: dict[str, str | float] = {"truth": name, "arms": len(changes) + 1, "seeds": seeds, "images": images}
            yield cell | _rates(np.array(results))


def _study(correct: Array, changes: Array) -> Array:
    """Return (7, arms): coverage and half width of three intervals; 2 if the check names the last arm, else 1."""
    shared = shared_seed_variance(correct)
    assert shared is not None
    differences = correct[1:] - correct[0]
    centre, spread = paired_mean_variance(differences)
    halves = spread.half_width(), borrowed_mean_variance(differences, shared)[1].half_width(), moderated(spread)
    rows = [row for half in halves for row in (np.abs(centre - changes) <= half, half)]
    check = shared.homogeneity
    rejected = float(check.is_rejected) * (2 if check.least_stable == len(changes) else 1)
    return np.array([*rows, np.full(len(changes), rejected)])


def _rates(results: Array) -> dict[str, float]:
    crossed, crossed_width, covered, width, shrunk, shrunk_width, rejected = np.moveaxis(results, 1, 0)
    withheld = rejected[:, 0] > 0
    shares = {
        "crossed covers, %": crossed.mean(),
        "borrowed covers, %": covered.mean(),
        "in the worst arm, %": covered.mean(axis=0).min(),
        "and where it is not withheld, %": covered[~withheld].mean(axis=0).min(),
        "withheld, %": withheld.mean(),
        "then the last arm is named, %": (rejected[:, 0] > 1).sum() / max(withheld.sum(), 1),
        "empirical Bayes covers, %": shrunk.mean(),
        "its worst arm, %": shrunk.mean(axis=0).min(),
    }
    widths = {"borrowed, width / crossed": width, "empirical Bayes, width / crossed": shrunk_width}
    rounded = {name: round(100 * float(share), 1) for name, share in shares.items()}
    return rounded | {name: round(float(half.mean() / crossed_width.mean()), 2) for name, half in widths.items()}
