"""A map of real and synthetic images: their embeddings in two dimensions.

van der Maaten, L., Hinton, G. (2008). Visualizing data using t-SNE. JMLR 9, 2579-2605: neighbours stay neighbours;
distances between groups, and their sizes, mean nothing. Where there are few images, the first two principal components.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 600  # of both origins together
MIN_POINTS = 100  # for t-SNE
COMPONENTS = 50
SEED = 0

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of a map.

    Attributes:
        points: (N, 2), the real images first.
        labels: (N,).
        n_real: number of real images among them.
        method: "t-SNE" or "PCA".
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_real: int
    method: str


def embedding_map(
    real: Vectors, real_labels: NDArray[np.int64], synthetic: Vectors, synthetic_labels: NDArray[np.int64]
) -> EmbeddingMap | None:
    """Compute a map, the same for the same embeddings; None where fewer than three images leave nothing to see.

    Args:
        real: (N, D).
        real_labels: (N,).
        synthetic: (M, D).
        synthetic_labels: (M,).
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    kept = [_spread(len(labels)) for labels in (real_labels, synthetic_labels)]
    vectors = np.concatenate([real[kept[0]], synthetic[kept[1]]]).astype(np.float64)
    labels = np.concatenate([real_labels[kept[0]], synthetic_labels[kept[1]]])
    if len(vectors) < 3 or vectors.shape[1] < 2:
        return None
    components = min(COMPONENTS, *vectors.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(vectors)
    method = "t-SNE" if len(vectors) >= MIN_POINTS else "PCA"
    points = reduced[:, :2]
    if method == "t-SNE":
        points = TSNE(init="pca", random_state=SEED, perplexity=30, max_iter=500).fit_transform(reduced)
    return EmbeddingMap(np.asarray(points, dtype=np.float64), labels, len(kept[0]), method)


def _spread(count: int) -> NDArray[np.int64]:
    """Return at most half of `MAX_POINTS` rows, evenly from all."""
    return np.linspace(0, count - 1, min(count, MAX_POINTS // 2)).round().astype(np.int64)
