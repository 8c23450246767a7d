"""Screening: a frame without contrast is thrown away, anything drawn is kept."""

import numpy as np
import pytest
from PIL import Image

from synthaug.generation.screening import rejection


@pytest.mark.parametrize(
    ("mode", "colour"), [("RGB", (0, 0, 0)), ("RGB", (200, 30, 90)), ("L", 0), ("L", 255), ("L", 128)]
)
def test_one_colour_is_rejected(mode: str, colour: int | tuple[int, ...]) -> None:
    assert rejection(Image.new(mode, (16, 16), colour)) == "one flat colour (safety checker or overflow)"


def test_rounding_noise_on_black_is_still_flat() -> None:
    noise = np.random.default_rng(0).integers(0, 3, (16, 16, 3), dtype=np.uint8)
    assert rejection(Image.fromarray(noise)) is not None


@pytest.mark.parametrize(("contrast", "is_rejected"), [(3, True), (4, False)])
def test_four_grey_levels_of_contrast_are_enough(contrast: int, is_rejected: bool) -> None:
    picture = Image.new("RGB", (16, 16), (100, 100, 100))
    picture.putpixel((3, 4), (100, 100, 100 + contrast))
    assert (rejection(picture) is not None) == is_rejected


def test_the_plainest_drawing_is_kept() -> None:
    drawing = Image.new("L", (28, 28))
    drawing.putpixel((14, 14), 5)
    assert rejection(drawing) is None


def test_two_colours_of_one_brightness_are_no_flat_image() -> None:
    picture = Image.new("RGB", (16, 16), (100, 0, 0))
    picture.paste((0, 51, 0), (0, 0, 8, 16))
    assert len(set(picture.convert("L").tobytes())) == 1
    assert rejection(picture) is None
