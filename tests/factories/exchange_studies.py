"""Answers of arms whose errors follow a law that is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from synthaug.analysis.exchange.law import Law
from synthaug.analysis.exchange.rate import Amounts
from synthaug.files import read_json, write_json
from synthaug.runs import contents, layout
from synthaug.runs.layout import RunKey
from synthaug.runs.prediction_files import Predictions
from tests.factories.studies import MadeUp, make_study

GRID = tuple(
    Amounts(f"{real}+{synthetic}", real, synthetic)
    for real in (50, 100, 200, 400, 1000)
    for synthetic in (0, 500, 2000)
)
LAW = Law(floor=0.03, scale=0.06, exponent=0.8, value=0.5, size=300.0)


def answers(
    law: Law = LAW, arms: Sequence[Amounts] = GRID, seeds: int = 3, images: int = 1500, run: float = 0.1, draw: int = 0
) -> NDArray[np.bool_]:
    """Draw what is predicted correctly, (arms, seeds, images); half of what makes an image hard is common to all runs.

    Args:
        law: of the error.
        arms: amounts of training images.
        seeds: of each arm.
        images: test images.
        run: standard deviation of a run's error, relative to the error.
        draw: seed of the random numbers.
    """
    random = np.random.default_rng(draw)
    error = law.error([arm.n_real for arm in arms], [arm.n_synthetic for arm in arms])
    runs = np.clip(error[:, None] * (1 + run * random.standard_normal((len(arms), seeds))), 0, 0.95)
    hard = random.standard_normal(images) + random.standard_normal((len(arms), seeds, images))
    return np.asarray(hard >= np.sqrt(2) * ndtri(runs)[..., None])


def write_exchange_study(
    study: Path, law: Law = LAW, arms: Sequence[Amounts] = GRID, seeds: int = 2, images: int = 600
) -> Path:
    """A study of 1,000 real training images, six test images in ten wrong for reasons that all runs share."""
    names = {arm.name: (arm.n_real / 1000, arm.n_synthetic / 1000) for arm in arms}
    make_study(study, MadeUp(arms=names, seeds=range(seeds), n_test=images, classes=["cat", "dog"]))
    right = answers(law, arms, seeds, images)
    for row, arm in enumerate(arms):
        for seed in range(seeds):
            folder = study / RunKey("digits", arm.name, seed).folder
            old = contents.read_predictions(folder)
            predicted = np.where(right[row, seed], old.labels, 1 - old.labels)
            new = Predictions(old.paths, old.labels, predicted, old.probabilities, old.classes, old.clusters)
            contents.write_predictions(folder, new)
            content = read_json(folder / layout.RESULT)
            content["test"]["accuracy"] = float(right[row, seed].mean())
            write_json(folder / layout.RESULT, content)
    return study
