"""Edges of an image, as ControlNets for Canny edges take them.

Canny, J. (1986), A computational approach to edge detection, IEEE PAMI 8 (6): smooth, differentiate, thin, follow.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_SIGMA = 1.4  # pixels of smoothing
# Grey levels per pixel, as Sobel's operator counts them: weak edges belong to an image where a strong one touches them.
_WEAK, _STRONG = 100, 200


def canny_edges(image: Image.Image) -> Image.Image:
    """Return the edges of an image, white on black, in RGB."""
    grey = ndimage.gaussian_filter(np.asarray(image.convert("L"), dtype=np.float64), _SIGMA)
    down, right = ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)
    strength = np.hypot(down, right)
    thin = strength * _is_ridge(strength, down, right)
    labels, _ = ndimage.label(thin >= _WEAK, structure=np.ones((3, 3)))
    kept = np.unique(labels[thin >= _STRONG])
    edges = np.isin(labels, kept[kept > 0])
    return Image.fromarray((255 * edges).astype(np.uint8)).convert("RGB")


def _is_ridge(
    strength: NDArray[np.float64], down: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return where the gradient is at least as strong as at both neighbours in its direction."""
    sector = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    padded = np.pad(strength, 1, mode="edge")
    height, width = strength.shape
    ridge = np.zeros(strength.shape, dtype=bool)
    for number, (rows, columns) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = padded[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]
        behind = padded[1 - rows : 1 - rows + height, 1 - columns : 1 - columns + width]
        ridge |= (sector == number) & (strength >= ahead) & (strength > behind)
    return ridge
