"""Images that must not be trained on, whatever their class."""

import numpy as np
from PIL import Image

# A safety checker blacks an image out, and a pipeline that overflowed in half precision leaves one colour.
# Such a frame has no contrast at all; the plainest real drawing has far more than this.
_FLAT = 4  # grey levels between the darkest and the brightest pixel


def rejection(image: Image.Image) -> str | None:
    """Why a generated image is thrown away; None for one that is kept."""
    if np.ptp(np.asarray(image.convert("RGB")), axis=(0, 1)).max() < _FLAT:
        return "one flat colour (safety checker or overflow)"
    return None
