"""Contact sheets: a picture per class with many images of a set side by side."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from synthaug.data.decoding import try_decode
from synthaug.data.folders import CONTACT_SHEETS
from synthaug.data.parallel import map_images
from synthaug.data.samples import Sample, per_class
from synthaug.files import whole_file

MAX_IMAGES = 100  # of a class
TILE = 96  # pixels; smaller images are enlarged by a whole number
GAP = 2


def write_contact_sheets(folder: Path, samples: Sequence[Sample], classes: Sequence[str]) -> dict[str, Path]:
    """Write `contact_sheets/<class>.jpg`, and remove the sheets of classes without images.

    Args:
        folder: of the set.
        samples: its images.
        classes: names.

    Returns:
        Class → file, for classes with images.
    """
    written: dict[str, Path] = {}
    chosen = {name: spread_evenly(members, MAX_IMAGES) for name, members in per_class(samples, classes).items()}
    listed = [sample for members in chosen.values() for sample in members]
    tiles = dict(zip(listed, map_images(_tile, listed, "contact sheets"), strict=True))
    for name, members in chosen.items():
        images = [tile for member in members if (tile := tiles[member]) is not None]
        path = folder / CONTACT_SHEETS / f"{name}.jpg"
        if not images:
            path.unlink(missing_ok=True)
            continue
        with whole_file(path) as temporary:
            contact_sheet(images).save(temporary, format="JPEG", quality=88, optimize=True)
        written[name] = path
    return written


def contact_sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    """Return tiles of `TILE` pixels in a square of rows, about as wide as high."""
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (TILE + GAP) - GAP, rows * (TILE + GAP) - GAP), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        spare = ((TILE - tile.width) // 2, (TILE - tile.height) // 2)
        sheet.paste(tile, (column * (TILE + GAP) + spare[0], row * (TILE + GAP) + spare[1]))
    return sheet


def spread_evenly(members: Sequence[Sample], limit: int) -> list[Sample]:
    """Return at most `limit` members, evenly from all.

    Args:
        members: of a class.
        limit: largest number.
    """
    count = min(len(members), limit)
    return [members[number * len(members) // count] for number in range(count)]


def _tile(sample: Sample) -> Image.Image | None:
    pixels = try_decode(sample.sha256, sample.path, TILE)
    if isinstance(pixels, str):
        return None
    image = Image.fromarray(pixels)
    if max(image.size) <= TILE // 2:
        times = TILE // max(image.size)
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((TILE, TILE))
    return image
