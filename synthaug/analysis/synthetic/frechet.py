"""Fréchet distance between two sets of embeddings, and its limit for infinitely many images.

Heusel, M., Ramsauer, H., Unterthiner, T., Nessler, B., Hochreiter, S. (2017). GANs trained by a two time-scale update
rule converge to a local Nash equilibrium. NeurIPS. Chong, M. J., Forsyth, D. (2020). Effectively unbiased FID and
Inception Score and where to find them. CVPR.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.synthetic.embedded import Embedded

MIN_PER_DIMENSION = 2  # images of each set per dimension from which on the extrapolation holds: benchmarks.quality
SPLITS, ENOUGH = 4, 4000  # into halves, for the distance at half as many images; of so many images, one will do
GROUPS = 10  # of the jackknife
T = 2.262  # 97.5 % quantile of Student's t with GROUPS - 1 degrees of freedom

Vectors = NDArray[np.floating]


def frechet_distance(first: Vectors, second: Vectors) -> float:
    """Compute the squared Fréchet distance between the normal distributions of two sets of vectors.

    |m₁ - m₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½). With centred rows A and B, S₁ = AᵀA and S₂ = BᵀB, the eigenvalues of S₁ S₂
    are those of (A Bᵀ)(A Bᵀ)ᵀ, which is symmetric: no root of a matrix that few images leave singular.

    Args:
        first: (N, D), N ≥ 2.
        second: (M, D), M ≥ 2.
    """
    shift = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    left, right = _root(first), _root(second)
    product = left @ right.T
    common = np.sqrt(np.linalg.eigvalsh(product @ product.T).clip(0)).sum()
    return max(0.0, float(shift @ shift + (left**2).sum() + (right**2).sum() - 2 * common))


def _root(vectors: Vectors) -> NDArray[np.float64]:
    """Return R, of at most D rows, with RᵀR the covariance of the vectors."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    centred /= np.sqrt(len(vectors) - 1)
    if len(centred) <= centred.shape[1]:
        return np.asarray(centred)
    eigenvalues, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray((axes * np.sqrt(eigenvalues.clip(0))).T)


def extrapolated_distance(first: Embedded, second: Embedded, random: np.random.Generator) -> Estimate | None:
    """Estimate the Fréchet distance for infinitely many images; None where there are too few images for it.

    The bias of the estimate is in proportion to 1/n, so that the line through the distances at n and at n/2 gives the
    one at 1/n = 0. As the real images are as few as the synthetic ones, unlike in Chong and Forsyth's use, both sets
    are halved, class by class. The 95 % interval is the jackknife's, which leaves out one of ten groups at a time.

    Args:
        first: N images.
        second: M images.
        random: of halves and groups.
    """
    if min(len(first), len(second)) < MIN_PER_DIMENSION * first.vectors.shape[1]:
        return None
    value = _extrapolated((first, second), random)
    pairs = [(part, part.groups(GROUPS, random)) for part in (first, second)]
    replicates = [
        _extrapolated([part.rows(np.flatnonzero(of != group)) for part, of in pairs], random) for group in range(GROUPS)
    ]
    error = T * float(np.sqrt((GROUPS - 1) * np.var(replicates)))
    return Estimate(value, value - error, value + error)


def _extrapolated(pair: Sequence[Embedded], random: np.random.Generator) -> float:
    first, second = pair
    halves = [
        frechet_distance(left.vectors, right.vectors)
        for _ in range(max(1, min(SPLITS, ENOUGH // len(first))))
        for left, right in zip(first.halves(random), second.halves(random), strict=True)
    ]
    return 2 * frechet_distance(first.vectors, second.vectors) - float(np.mean(halves))
