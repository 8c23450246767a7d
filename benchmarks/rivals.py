"""Intervals for a difference over seeds and images that `intervals.paired_difference` was compared with.

Each takes differences (studies, seeds, images) and what `paired_mean_variance` gives of them, and returns the lower
and upper ends of 95 % intervals, one per study.
"""

import functools

import numpy as np
import scipy
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import ALPHA, MeanVariance, VarianceComponent, paired_mean_variance

Array = NDArray[np.float64]
Ends = tuple[Array, Array]
RESAMPLES = 600


def images_alone(differences: Array, _centre: Array, _spread: MeanVariance) -> Ends:
    """Return Bonett and Price's interval of the images' means over seeds: as if no other seed could be drawn."""
    centre, spread = paired_mean_variance(differences.mean(axis=1, keepdims=True))
    return _around(centre, spread.half_width())


def seeds_alone(differences: Array, _centre: Array, _spread: MeanVariance) -> Ends:
    """Return Student's t interval of the seeds' means: as if no other images could be drawn."""
    means = differences.mean(axis=2)
    seeds = means.shape[1]
    quantile = scipy.special.stdtrit(seeds - 1, 1 - ALPHA / 2)
    return _around(means.mean(axis=1), quantile * means.std(axis=1, ddof=1) / np.sqrt(seeds))


def hillis(differences: Array, centre: Array, spread: MeanVariance) -> Ends:
    """Use one t distribution, with the degrees of freedom of Hillis (2007), Statistics in Medicine 26(3), 596-619."""
    of_seeds, rest = (part.variance for part in spread.components)
    variance = of_seeds + rest
    share = np.divide(of_seeds, variance, out=np.ones_like(variance), where=variance > 0)
    degrees = (differences.shape[1] - 1) / np.square(np.maximum(share, 1e-6))
    return _around(centre, scipy.special.stdtrit(degrees, 1 - ALPHA / 2) * np.sqrt(variance))


def half_floor(_differences: Array, centre: Array, spread: MeanVariance) -> Ends:
    """Return `paired_difference`, but with half of the interval over images alone as the least width, not the whole."""
    return _around(centre, half_floor_width(spread, ALPHA))


def half_floor_width(spread: MeanVariance, alpha: float) -> Array:
    """Return half the width of `half_floor`.

    Args:
        spread: of the means.
        alpha: one minus the confidence.
    """
    parts = sum(np.square(part.half_width(alpha)) for part in spread.components)
    return np.asarray(np.maximum(np.sqrt(parts), spread.images.half_width(alpha) / 2))


def no_floor(_differences: Array, centre: Array, spread: MeanVariance) -> Ends:
    """Return `paired_difference`, but as narrow as seeds that agree by chance make it."""
    halves = [part.half_width(ALPHA) for part in spread.components]
    return _around(centre, functools.reduce(np.hypot, halves))


def bootstrap(differences: Array, _centre: Array, _spread: MeanVariance) -> Ends:
    """Return percentiles of the mean when seeds and images are resampled, each with replacement, independently.

    Owen, A. B. (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1(2), 386-411. The same draws serve all
    studies: studies are independent, so that each interval is as good as with separate draws.
    """
    return _bootstrap(differences, 1.0)


def bootstrap_inflated(differences: Array, _centre: Array, _spread: MeanVariance) -> Ends:
    """Stretch the seeds' weights by sqrt(S / (S - 1)), since S resampled seeds vary too little by that."""
    seeds = differences.shape[1]
    return _bootstrap(differences, float(np.sqrt(seeds / (seeds - 1))))


def _bootstrap(differences: Array, stretch: float) -> Ends:
    studies, seeds, images = differences.shape
    of_seeds = 1 / seeds + (_weights(seeds) - 1 / seeds) * stretch
    flat = differences.reshape(studies * seeds, images).astype(np.float32)
    means = (flat @ _weights(images)).reshape(studies, seeds, RESAMPLES)
    drawn = np.einsum("nsb,sb->nb", means, of_seeds)
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    return low, high


@functools.cache
def _weights(n: int) -> NDArray[np.float32]:
    """(n, resamples): how often each of n is drawn when n are drawn with replacement, over n."""
    draws = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return (draws.T / n).astype(np.float32)


def _around(centre: Array, half: Array) -> Ends:
    return centre - half, centre + half


def moderated(spread: MeanVariance) -> Array:
    """Return half the widths of differences whose seeds' variances are shrunk towards a common one.

    Smyth, G. K. (2004). Linear models and empirical Bayes methods for assessing differential expression in microarray
    experiments. Statistical Applications in Genetics and Molecular Biology 3(1); as limma, degrees of freedom no more
    than those of all variances together.

    Args:
        spread: of the differences of one study.
    """
    of_seeds, rest = spread.components
    degrees, variances = of_seeds.degrees_of_freedom, of_seeds.variance
    floor = max(1e-5 * float(np.median(variances)), np.finfo(float).tiny)
    logs = np.log(np.maximum(variances, floor)) - scipy.special.digamma(degrees / 2) + np.log(degrees / 2)
    excess = float(logs.var(ddof=1) - scipy.special.polygamma(1, degrees / 2))
    if excess > 0:
        prior = 2 * scipy.optimize.brentq(lambda x: float(scipy.special.polygamma(1, x)) - excess, 1e-3, 1e9)
        location = float(np.exp(logs.mean() + scipy.special.digamma(prior / 2) - np.log(prior / 2)))
    else:
        prior, location = 1e9, float(variances.mean())
    shrunk = (prior * location + degrees * variances) / (prior + degrees)
    total = min(prior + degrees, degrees * len(variances))
    parts = np.square(VarianceComponent(shrunk, total).half_width(ALPHA)) + np.square(rest.half_width(ALPHA))
    return np.asarray(np.maximum(np.sqrt(parts), spread.images.half_width(ALPHA)))
