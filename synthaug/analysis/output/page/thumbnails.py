"""Small versions of image files, to stand within a page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from synthaug.data.decoding import try_decode

SIDE = 96  # pixels at most
SMALL = 64  # up to here a picture is kept exactly and its pixels are shown as squares


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI."""

    source: str
    small: bool


def thumbnail(path: Path) -> Thumbnail | None:
    """Return the picture as training sees it, small enough for a page; None where there is none."""
    pixels = try_decode(None, path, SIDE)
    if isinstance(pixels, str):
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    small = max(image.size) <= SMALL
    stream = io.BytesIO()
    # Photographs as PNG would make the page ten times as large.
    image.save(stream, format="PNG" if small else "JPEG", quality=85, optimize=True)
    kind = "png" if small else "jpeg"
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}", small)
