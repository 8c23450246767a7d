"""Simulate the main effects of a factor over a grid of arms."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.calibration import chunks
from benchmarks.truth import Truth
from synthaug.analysis.inference.contrasts import difference, main_effects

STUDIES = 1000
CELLS = ((2, 2), (2, 4), (3, 3))  # levels of the factor, settings of everything else
HEIGHTS = (0.93, 0.95, 0.9, 0.96)  # accuracies of the settings
INTERACTION = 0.01  # by which the factor raises some settings and lowers others


def factors(random: np.random.Generator, studies: int = STUDIES) -> Iterator[Mapping[str, str | float]]:
    """Yield a row for each grid and number of seeds: no main effect is true, with and without an interaction.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    for (levels, settings), interaction, seeds in itertools.product(CELLS, (0.0, INTERACTION), (2, 3, 5)):
        signs = np.resize([1, -1], settings) if settings % 2 == 0 else np.array([1, -1, 0])
        heights = np.array(HEIGHTS[:settings])
        accuracies = [heights + interaction * signs * (level == 0) for level in range(levels)]
        truth = Truth(tuple((float(value),) for row in accuracies for value in row), 0.004)
        names = list(itertools.product(range(levels), range(settings)))
        covered, significant, widths = [], [], []
        for drawn in chunks(truth, random, studies, seeds, 500):
            for correct in drawn.correct.astype(np.float64):
                arms = [dict(enumerate(arm)) for arm in correct]
                effects = main_effects([level for level, _ in names], [setting for _, setting in names], arms)
                single = difference(arms[settings], arms[0])
                covered.append([effect.difference.contains_zero for effect in effects])
                significant.append(any(effect.difference.is_significant for effect in effects))
                first = effects[0].difference
                widths.append((first.high - first.low, single.high - single.low))
        effect_width, single_width = np.mean(widths, axis=0)
        yield {
            "levels": levels,
            "settings": settings,
            "interaction, points": 100 * interaction,
            "seeds": seeds,
            "an effect covers, %": round(100 * float(np.mean(covered)), 1),
            "any significant after Holm, %": round(100 * float(np.mean(significant)), 1),
            "width / that of one setting": round(float(effect_width / single_width), 2),
        }
