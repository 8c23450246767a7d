"""Kernel distance between two sets of embeddings: unbiased at any number of images, with its interval.

Bińkowski, M., Sutherland, D. J., Arbel, M., Gretton, A. (2018). Demystifying MMD GANs. ICLR: the squared maximum mean
discrepancy with the kernel (x·y / D + 1)³ and without the kernels of an image with itself (its U statistic).

Where a set has a fixed number of images of each class, that statistic is too low: two different images of it are less
often of one class than two of the distribution, by 1/n. So the kernel of an image with itself is replaced by the mean
of its kernels with the other images of its class, which with one class is the same statistic.
"""

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.synthetic.embedded import Embedded

CHUNK = 1024  # rows of a kernel matrix at once
Z = 1.96

Vectors = NDArray[np.floating]
Values = NDArray[np.float64]


def kernel_distance(first: Embedded, second: Embedded) -> Estimate:
    """Estimate the kernel distance, with its 95 % interval.

    The interval is normal, of the variance of each image's part in the distance within its class (Hájek's projection).

    Args:
        first: N images, two or more of each class.
        second: M images, two or more of each class.
    """
    within = _mean_kernels(first), _mean_kernels(second)
    rows, columns = _cross_sums(first.vectors, second.vectors)
    between = rows / len(second), columns / len(first)
    value = float(within[0].mean() + within[1].mean() - 2 * between[0].mean())
    variance = sum(
        _variance_of_mean(2 * (of_set - across), part.labels)
        for of_set, across, part in zip(within, between, (first, second), strict=True)
    )
    error = Z * float(np.sqrt(variance))
    return Estimate(value, value - error, value + error)


def _mean_kernels(images: Embedded) -> Values:
    """Return the mean kernel of each image with all, that with itself replaced as said above."""
    squares = (images.vectors.astype(np.float64) ** 2).sum(axis=1)
    diagonal = _kernel(squares, images.vectors.shape[1])
    sums = _cross_sums(images.vectors, images.vectors)[0] - diagonal
    for label in np.unique(images.labels):
        members = images.labels == label
        of_class = images.vectors[members]
        sums[members] += (_cross_sums(of_class, of_class)[0] - diagonal[members]) / (len(of_class) - 1)
    return np.asarray(sums / len(images))


def _variance_of_mean(parts: Values, labels: NDArray[np.int64]) -> float:
    """Return the variance of the mean of parts, of a fixed number of images of each class."""
    groups = [parts[labels == label] for label in np.unique(labels)]
    return float(sum(len(group) * group.var(ddof=1) for group in groups) / len(parts) ** 2)


def _cross_sums(first: Vectors, second: Vectors) -> tuple[Values, Values]:
    """Return the sums over the rows and over the columns of the matrix of kernels, of which few rows exist at once."""
    rows, columns = np.zeros(len(first)), np.zeros(len(second))
    for start in range(0, len(first), CHUNK):
        part = slice(start, start + CHUNK)
        kernels = _kernel(first[part].astype(np.float64) @ second.T.astype(np.float64), first.shape[1])
        rows[part] = kernels.sum(axis=1)
        columns += kernels.sum(axis=0)
    return rows, columns


def _kernel(products: Values, dimension: int) -> Values:
    shifted = products / dimension + 1
    return np.asarray(shifted * shifted * shifted)
