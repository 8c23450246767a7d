"""Embeddings without a network: a small copy of the pixels."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug.features.feature_backbone import PIXELS

LUMINANCE, CHROMA = 14, 4  # sides of the small copies


class PixelThumbnails:
    """Small copies of the centre square, as vectors: brightness in 14 × 14, colour in 4 × 4 pixels.

    They need no network, and suit small simple images such as digits; of photographs they see layout and colours.
    """

    name = PIXELS
    dimension = LUMINANCE**2 + 2 * CHROMA**2
    short_side = 4 * LUMINANCE
    batch_size = 512
    digest = hashlib.sha256(f"{PIXELS} 1 {LUMINANCE} {CHROMA}".encode()).hexdigest()

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the vectors (B, D) of images (H, W, 3); the values are about -2 to 2."""
        return np.stack([_thumbnail(image) for image in images]).astype(np.float32) if images else self._empty()

    def _empty(self) -> NDArray[np.float32]:
        return np.zeros((0, self.dimension), dtype=np.float32)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side]).convert("YCbCr")
    channels = [
        np.asarray(channel.resize((small, small), Image.Resampling.BOX), dtype=np.float32).ravel()
        for channel, small in zip(square.split(), (LUMINANCE, CHROMA, CHROMA), strict=True)
    ]
    return np.asarray((np.concatenate(channels) / 255 - 0.5) / 0.25, dtype=np.float32)
