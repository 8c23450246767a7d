"""How often the images of each class come in a pass: resampling, the rival of more images in the rare classes.

Kang, B., Xie, S., Rohrbach, M., Yan, Z., Gordo, A., Feng, J., Kalantidis, Y. (2020). Decoupling representation and
classifier for long-tailed recognition. ICLR.
"""

import numpy as np
from numpy.typing import NDArray

OVERSAMPLE, BALANCED = "oversample", "balanced"


def pass_length(labels: NDArray[np.int64], sampling: str | None) -> int:
    """Count the rows of one pass.

    Args:
        labels: class number of each row.
        sampling: `OVERSAMPLE`: the classes are as large as the largest; `BALANCED`, or None: as many as there are.
    """
    if sampling != OVERSAMPLE:
        return len(labels)
    sizes = np.unique(labels, return_counts=True)[1]
    return int(len(sizes) * sizes.max())


def draw_pass(labels: NDArray[np.int64], sampling: str | None, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw the rows of one pass in their order.

    Args:
        labels: class number of each row.
        sampling: None: each row once. `OVERSAMPLE`: the rows of a class are repeated until it is as large as the
            largest, and which of them come once more is drawn. `BALANCED`: each place draws a class, all of which are
            equally likely, and then one of its rows, with replacement.
        generator: of the pass.
    """
    if sampling is None:
        return generator.permutation(len(labels))
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(inverse, kind="stable")
    begins = np.cumsum(sizes) - sizes
    if sampling == BALANCED:
        classes = generator.integers(len(sizes), size=len(labels))
        return np.asarray(by_class[begins[classes] + generator.integers(sizes[classes])])
    repeated = [
        row
        for begin, size in zip(begins, sizes, strict=True)
        for rows in [by_class[begin : begin + size]]
        for row in (*np.tile(rows, sizes.max() // size), *generator.permutation(rows)[: sizes.max() % size])
    ]
    return generator.permutation(np.array(repeated))


def occurrences(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each row has come before, at each place."""
    order = np.argsort(rows, kind="stable")
    arranged = rows[order]
    is_first = np.r_[True, arranged[1:] != arranged[:-1]]
    places = np.arange(len(rows))
    counts = np.empty_like(places)
    counts[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return counts
