"""Simulated studies: the true accuracy of each arm over all images and seeds, and a sample of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """A threshold model of which network classifies which image correctly.

    It does where the sum of these is positive: the arm's level in the image's class; the seed's effect, partly that of
    all arms of this seed; how easy the image is for every arm; how easy it is for this arm; and the residual of this
    network. All but the first are normal, the last three of variance 1 together. The defaults are those of the study
    of the digits (experiments/controls): at 95.4 % they make two runs disagree on 4 % of the images, as they do there.

    Attributes:
        accuracies: expected accuracy of each arm (outer) in each class (inner); the first arm is the baseline.
        seed_deviation: standard deviation over seeds of an arm's accuracy on all images, a fraction.
        shared: share of the variance of seed effects that all arms of a seed have in common.
        image: variance of how easy an image is for all arms. The higher, the less arms and seeds disagree.
        arm: variance of how easy an image is for one arm, whatever the seed.
        instability: by what the seed deviation of each arm is multiplied; of none by default.
        collapse: chance that a run falls, and by how much on the scale of the threshold; not in `expected`.
    """

    accuracies: tuple[tuple[float, ...], ...]
    seed_deviation: float = 0.0
    shared: float = 0.3
    image: float = 0.85
    arm: float = 0.01
    instability: tuple[float, ...] = ()
    collapse: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def seed_effects(self) -> Array:
        """Standard deviation of the seed effect of each arm, on the scale of the threshold."""
        deviations = self.seed_deviation * np.array(self.instability or [1.0] * len(self.accuracies))
        pairs = zip(self.accuracies, deviations.tolist(), strict=True)
        return np.array([self._seed_effect(np.asarray(arm), deviation) for arm, deviation in pairs])

    @cached_property
    def levels(self) -> Array:
        """(arms, classes)."""
        stretch = np.sqrt(1 + np.square(self.seed_effects))
        return np.asarray(scipy.special.ndtri(np.asarray(self.accuracies)) * stretch[:, None])

    @property
    def expected(self) -> Array:
        """Accuracy of each arm over all images and seeds, the classes being equally large."""
        return np.asarray(np.mean(self.accuracies, axis=1))

    def _seed_effect(self, classes: Array, seed_deviation: float) -> float:
        if seed_deviation == 0:
            return 0.0

        def excess(effect: float) -> float:
            return self._deviation(effect, classes) - seed_deviation

        if excess(MOST_SEED_EFFECT) < 0:
            raise ValueError(f"accuracies {classes} cannot vary by {seed_deviation} between seeds")
        return float(scipy.optimize.brentq(excess, 1e-6, MOST_SEED_EFFECT))

    @staticmethod
    def _deviation(effect: float, classes: Array) -> float:
        levels = scipy.special.ndtri(classes) * np.sqrt(1 + effect * effect)
        accuracy = scipy.special.ndtr(levels + effect * NODES[:, None]).mean(axis=1)
        return float(np.sqrt(max(0.0, WEIGHTS @ np.square(accuracy) - (WEIGHTS @ accuracy) ** 2)))


# Gauss-Hermite quadrature for a standard normal seed effect.
NODES, _raw = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = _raw / _raw.sum()
MOST_SEED_EFFECT = 1.5


@dataclass(frozen=True)
class Studies:
    """Simulated studies. Image i is of class i modulo the number of classes; any first seeds and images are a study.

    Attributes:
        correct: (studies, arms, seeds, images).
        networks: (studies, arms, seeds), accuracy of each trained network over all images.
    """

    correct: NDArray[np.bool_]
    networks: Array

    def differences(self, arm: int = 1, baseline: int = 0) -> Array:
        """Return correct answers of an arm minus those of the baseline: (studies, seeds, images).

        Args:
            arm: its position.
            baseline: position of the arm that is subtracted.
        """
        return self.correct[:, arm].astype(np.float64) - self.correct[:, baseline]


def draw(truth: Truth, random: np.random.Generator, studies: int, seeds: int, images: int) -> Studies:
    """Draw the answers of all networks: every arm of every study with every seed.

    Args:
        truth: of the studies.
        random: source of random numbers.
        studies, seeds, images: numbers of them; images are of each study's test set.
    """
    arms, classes = truth.levels.shape

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape, dtype=np.float32)

    of_seed = np.sqrt(truth.shared) * normal(studies, 1, seeds) + np.sqrt(1 - truth.shared) * normal(
        studies, arms, seeds
    )
    of_seed = of_seed * truth.seed_effects[:, None]
    chance, fall = truth.collapse
    if chance:
        of_seed = of_seed - fall * (random.random(of_seed.shape) < chance)
    ease = normal(studies, arms, seeds, images)
    ease *= np.float32(np.sqrt(1 - truth.image - truth.arm))
    ease += np.float32(np.sqrt(truth.image)) * normal(studies, 1, 1, images)
    if truth.arm:
        ease += np.float32(np.sqrt(truth.arm)) * normal(studies, arms, 1, images)
    levels = truth.levels[:, np.arange(images) % classes].astype(np.float32)
    ease += levels[:, None]
    networks = scipy.special.ndtr(truth.levels[:, None] + of_seed[..., None]).mean(axis=-1)
    return Studies(ease > -of_seed[..., None].astype(np.float32), networks)
