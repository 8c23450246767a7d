"""Images and what they are copies of, side by side in one picture."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from synthaug.data.decoding import try_decode
from synthaug.files import whole_file
from synthaug.image_files import is_image_file

_SIDE, _GAP, _MOST = 160, 8, 40  # pixels, pixels, pairs


def write(path: Path, pairs: Sequence[tuple[Path, Path]]) -> None:
    """Write a picture with a row for each pair of images, two pairs side by side.

    Args:
        path: of the picture.
        pairs: files; one that cannot be read is left blank.
    """
    shown = pairs[:_MOST]
    rows = -(-len(shown) // 2)
    width, height = 4 * _SIDE + 5 * _GAP, rows * (_SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    canvas = ImageDraw.Draw(sheet)
    for number, pair in enumerate(shown):
        for column, file in enumerate(pair):
            left = _GAP + (2 * (number % 2) + column) * (_SIDE + _GAP)
            top = _GAP + number // 2 * (_SIDE + _GAP)
            pixels = try_decode("", file, _SIDE) if is_image_file(file) else "gone"
            if isinstance(pixels, str):
                canvas.text((left, top), pixels[:24], fill="black")
                continue
            image = Image.fromarray(pixels)
            image.thumbnail((_SIDE, _SIDE))
            sheet.paste(image, (left, top))
    with whole_file(path) as temporary:
        sheet.save(temporary)
