"""What every backbone of embeddings offers, and how they are named."""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PIXELS, RUN, RANDOM = "pixels", "run:", "random"


class FeatureBackbone(Protocol):
    """Turns images into vectors.

    Attributes:
        name: as for `feature_backbone`.
        digest: hash of all that decides on the vectors: the name, the weights, the input size.
        dimension: D, length of a vector.
        short_side: longest short side at which images are decoded, in pixels.
        batch_size: images at once.
    """

    name: str
    digest: str
    dimension: int
    short_side: int
    batch_size: int

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the vectors (B, D) of images (H, W, 3), each the same whatever the others are."""
        ...


def label(name: str) -> str:
    """Return a backbone's name as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name.removeprefix("timm/")).strip("-.")[-60:] or "backbone"
