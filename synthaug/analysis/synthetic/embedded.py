"""Embeddings of images with their labels, and ways to divide them that leave each part the same mix of classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Embedded:
    """Embeddings (N, D) and labels (N,) of images."""

    vectors: NDArray[np.floating]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, rows: Rows) -> "Embedded":
        """Return some of the images."""
        return Embedded(self.vectors[rows], self.labels[rows])

    def halves(self, random: np.random.Generator) -> "tuple[Embedded, Embedded]":
        """Return two halves at random, equally many of each class in both; of an odd number one is left out."""
        groups = self.groups(2, random)
        sizes = {label: int((self.labels == label).sum()) // 2 for label in np.unique(self.labels).tolist()}
        halves = [
            np.concatenate(
                [
                    np.zeros(0, dtype=np.int64),
                    *(np.flatnonzero((groups == half) & (self.labels == label))[:n] for label, n in sizes.items()),
                ]
            )
            for half in (0, 1)
        ]
        return self.rows(halves[0]), self.rows(halves[1])

    def groups(self, count: int, random: np.random.Generator) -> Rows:
        """Return a group in range(count) for each image, at random, equally many of each class up to one.

        Args:
            count: of groups.
            random: of the choice.
        """
        groups = np.zeros(len(self), dtype=np.int64)
        for label in np.unique(self.labels):
            members = random.permutation(np.flatnonzero(self.labels == label))
            groups[members] = (np.arange(len(members)) + random.integers(count)) % count
        return groups
