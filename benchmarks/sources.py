"""Simulate the variances of sources of chance: seeds that draw more and more anew, and synthetic draws times seeds."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import scipy

from benchmarks.truth import Array
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.inference.sources_of_chance import crossed_sources, nested_sources

STUDIES = 1000
CHUNK = 50
ACCURACY = 0.95
LEVEL = float(scipy.special.ndtri(ACCURACY))
POINTS = float(
    np.exp(-(LEVEL**2) / 2) / np.sqrt(2 * np.pi)
)  # of accuracy, a fraction, for one on the threshold's scale
OF_IMAGE = 0.86  # variance of how easy an image is, in `benchmarks.truth` for all arms and for this one
NESTED = {"weights and order": 0.004, "real images": 0.003, "synthetic draw": 0.0, "split": 0.006}
CROSSED = ({"draw": 0.0, "seed": 0.0, "run": 0.004}, {"draw": 0.006, "seed": 0.003, "run": 0.004})


def answers(effects: Array, images: int, random: np.random.Generator) -> Array:
    """Draw the answers (studies, ..., images) of runs whose accuracy is moved by effects (studies, ...).

    Args:
        effects: fractions.
        images: the same for all runs of a study.
        random: source of random numbers.
    """
    shared = random.standard_normal((len(effects), *[1] * (effects.ndim - 1), images), dtype=np.float32)
    ease = random.standard_normal((*effects.shape, images), dtype=np.float32) * np.float32(np.sqrt(1 - OF_IMAGE))
    ease += np.float32(np.sqrt(OF_IMAGE)) * shared
    return np.asarray(ease > -(LEVEL + effects / POINTS)[..., None], dtype=np.float64)


def sources(random: np.random.Generator, studies: int = STUDIES) -> Iterator[Mapping[str, str | float]]:
    """Yield a row for each design, number of seeds and source.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    for seeds, images in itertools.product((3, 5, 10, 20), (500, 1500)):
        results: dict[str, list[Estimate]] = {source: [] for source in NESTED}
        for _ in range(0, studies, CHUNK):
            cumulated = np.sqrt(np.cumsum(np.square([*NESTED.values()])))
            effects = random.standard_normal((CHUNK, len(NESTED), seeds)) * cumulated[:, None]
            for correct in answers(effects, images, random):
                for source, estimate in zip(NESTED, nested_sources([*correct]), strict=True):
                    results[source].append(estimate)
        for source, estimates in results.items():
            yield _row(f"{seeds} seeds of each kind", images, source, NESTED[source], estimates)
    for truth, (draws, seeds) in itertools.product(CROSSED, ((3, 3), (3, 5), (5, 5), (10, 10))):
        by_source: dict[str, list[Estimate]] = {source: [] for source in truth}
        for _ in range(0, studies, CHUNK):
            effects = truth["run"] * random.standard_normal((CHUNK, draws, seeds))
            effects += truth["draw"] * random.standard_normal((CHUNK, draws, 1))
            effects += truth["seed"] * random.standard_normal((CHUNK, 1, seeds))
            for correct in answers(effects, 1500, random):
                crossed = crossed_sources(correct)
                for source, estimates in by_source.items():
                    estimates.append(getattr(crossed, source))
        for source, estimates in by_source.items():
            yield _row(f"{draws} draws × {seeds} seeds", 1500, source, truth[source], estimates)


def _row(
    design: str, images: int, source: str, deviation: float, estimates: Sequence[Estimate]
) -> Mapping[str, str | float]:
    truth = deviation**2
    ends = np.array([(estimate.value, estimate.low, estimate.high) for estimate in estimates])
    value, low, high = (100 * np.sqrt(np.median(column)) for column in ends.T)
    return {
        "design": design,
        "images": images,
        "source": source,
        "true deviation, points": round(100 * deviation, 2),
        "covers, %": round(100 * float(np.mean((ends[:, 1] <= truth) & (truth <= ends[:, 2]))), 1),
        "reaches to 0, %": round(100 * float(np.mean(ends[:, 1] == 0)), 1),
        "median estimate, points": round(float(value), 2),
        "median ends, points": f"{low:.2f} to {high:.2f}",
    }
