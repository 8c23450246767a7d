"""Images that are not trained on, whatever their class."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

# A safety checker returns a black image, and a pipeline that overflowed in half precision one of a single colour.
# Such an image has no contrast at all; the plainest real drawing has far more than this.
_MIN_CONTRAST = 4  # grey levels between the darkest and the brightest pixel


@dataclass(frozen=True)
class Rejection:
    """An image that a set or a pool rejects by itself.

    Attributes:
        class_name: class of the image.
        image: its path below the set.
        sha256: of its file; empty where it was not written.
        reason: from `rejection`, or of the generator.
        match: path of the image that it repeats.
    """

    class_name: str
    image: str
    sha256: str
    reason: str
    match: str = ""


def rejection(image: Image.Image) -> str | None:
    """Return why a generated image is rejected; None for an accepted one."""
    if np.ptp(np.asarray(image.convert("RGB")), axis=(0, 1)).max() < _MIN_CONTRAST:
        return "one flat colour (safety checker or overflow)"
    return None
