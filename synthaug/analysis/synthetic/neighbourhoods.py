"""Fidelity and coverage by neighbourhoods: precision and recall, density and coverage, and what is nearly a copy.

Kynkäänniemi, T., Karras, T., Laine, S., Lehtinen, J., Aila, T. (2019). Improved precision and recall metric for
assessing generative models. NeurIPS (k = 3). Naeem, M. F., Oh, S. J., Uh, Y., Choi, Y., Yoo, J. (2020). Reliable
fidelity and diversity metrics for generative models. ICML (k = 5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate, wilson

MANIFOLD_NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5
MIN_IMAGES = 2 * DENSITY_NEIGHBOURS  # of each set
CHUNK = 1024  # rows of a distance matrix at once

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Neighbourhoods:
    """How the neighbourhoods of two sets overlap; the intervals take the images of one set for independent.

    Attributes:
        precision: share of the synthetic images that lie within a neighbourhood of a real one.
        recall: share of the real images that lie within a neighbourhood of a synthetic one.
        density: number of real neighbourhoods that a synthetic image lies in, over k; 1 for equal distributions.
        coverage: share of the real images whose neighbourhood has a synthetic one.
        nearest: (M,), the row of the real image that is nearest to each synthetic one.
        closeness: (M,), its distance, over the distance from that real image to the nearest other real one.
    """

    precision: Estimate
    recall: Estimate
    density: float
    coverage: Estimate
    nearest: NDArray[np.int64]
    closeness: NDArray[np.float64]


def compare_neighbourhoods(real: Vectors, synthetic: Vectors) -> Neighbourhoods:
    """Compare the neighbourhoods of two sets of embeddings, which should be equally large.

    Args:
        real: (N, D), N > 5.
        synthetic: (M, D), M > 5.
    """
    real_radii = _neighbour_distances(real)
    recall_radius = _neighbour_distances(synthetic)[:, MANIFOLD_NEIGHBOURS]
    within, count = np.zeros(len(synthetic), dtype=bool), np.zeros(len(synthetic))
    recalled, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    nearest, distance = np.zeros(len(synthetic), dtype=np.int64), np.zeros(len(synthetic))
    for start in range(0, len(synthetic), CHUNK):
        part = slice(start, start + CHUNK)
        distances = squared_distances(synthetic[part], real)
        within[part] = (distances <= real_radii[:, MANIFOLD_NEIGHBOURS]).any(axis=1)
        inside = distances <= real_radii[:, DENSITY_NEIGHBOURS]
        count[part] = inside.sum(axis=1)
        covered |= inside.any(axis=0)
        recalled |= (distances <= recall_radius[part, None]).any(axis=0)
        nearest[part] = distances.argmin(axis=1)
        distance[part] = distances.min(axis=1)
    return Neighbourhoods(
        _share(within),
        _share(recalled),
        float(count.mean() / DENSITY_NEIGHBOURS),
        _share(covered),
        nearest,
        np.sqrt(distance / np.maximum(real_radii[nearest, 1], np.finfo(float).tiny)),
    )


def squared_distances(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Return the squared distances (N, M) of vectors.

    Args:
        first: (N, D).
        second: (M, D).
    """
    left, right = first.astype(np.float64), second.astype(np.float64)
    products = left @ right.T
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * products
    return np.asarray(squares.clip(0))


def _neighbour_distances(vectors: Vectors) -> NDArray[np.float64]:
    """Return the squared distances (N, k + 1) to the k nearest others, the vector itself (0) first."""
    nearest = []
    for start in range(0, len(vectors), CHUNK):
        distances = squared_distances(vectors[start : start + CHUNK], vectors)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = -1  # first, whatever is as near
        smallest = np.partition(distances, DENSITY_NEIGHBOURS, axis=1)[:, : DENSITY_NEIGHBOURS + 1]
        nearest.append(np.sort(smallest, axis=1).clip(0))
    return np.concatenate(nearest)


def _share(holds: NDArray[np.bool_]) -> Estimate:
    return wilson(int(holds.sum()), len(holds))
