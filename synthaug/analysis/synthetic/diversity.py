"""Diversity of a set of embeddings: the Vendi score, and the mean distance of two of them.

Friedman, D., Dieng, A. B. (2023). The Vendi score: a diversity evaluation metric for machine learning. TMLR: the
exponential of the entropy of the eigenvalues of K / n, an effective number of different images. K is the cosine of
embeddings; those of one kind of images are all alike unless their common mean is taken off before.
"""

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.synthetic.neighbourhoods import CHUNK, squared_distances

Vectors = NDArray[np.floating]


def vendi_score(vectors: Vectors) -> float:
    """Compute the Vendi score of N embeddings (N, D) by their cosines, between 1 and N."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    small = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T  # of the same eigenvalues but for zeros
    eigenvalues = np.linalg.eigvalsh(small / len(unit))
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def mean_distance(vectors: Vectors) -> float:
    """Compute the mean distance of two different ones of N ≥ 2 embeddings (N, D)."""
    count = len(vectors)
    total = sum(
        float(np.sqrt(squared_distances(vectors[start : start + CHUNK], vectors)).sum())
        for start in range(0, count, CHUNK)
    )
    return total / (count * (count - 1))
