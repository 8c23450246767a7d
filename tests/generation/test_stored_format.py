"""The kind of file that an image is, read from one image and given to another."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthaug.data.decoding import decode
from synthaug.generation.stored_format import MOST_ENLARGED, StoredFormat, encode, fitted, read_format
from tests.factories.images import image

RGB = image(1, (48, 32))
GREY = RGB.convert("L")
LARGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8))
DEEP = Image.fromarray(np.asarray(GREY, dtype=np.uint16) * 257)
FLOAT = Image.fromarray(np.asarray(GREY, dtype=np.float32) / 255)
# Real image, arguments it is saved with, largest mean difference in levels that the format itself makes.
REAL: dict[str, tuple[Image.Image, dict[str, Any], float]] = {
    "jpeg": (RGB, {"format": "JPEG", "quality": 60, "subsampling": 0}, 30),
    "progressive grey jpeg": (GREY, {"format": "JPEG", "quality": 85, "progressive": True}, 30),
    "4:2:2 jpeg": (RGB, {"format": "JPEG", "quality": 93, "subsampling": 1}, 40),
    "cmyk jpeg": (RGB.convert("CMYK"), {"format": "JPEG"}, 30),
    "png": (RGB, {"format": "PNG"}, 0),
    "grey png": (GREY, {"format": "PNG"}, 0),
    "16-bit png": (DEEP, {"format": "PNG"}, 0),
    "palette png": (RGB.quantize(16), {"format": "PNG"}, 60),
    "bitonal png": (GREY.convert("1"), {"format": "PNG"}, 128),
    "transparent png": (RGB.convert("RGBA"), {"format": "PNG"}, 0),
    "grey with alpha": (GREY.convert("LA"), {"format": "PNG"}, 0),
    "webp": (LARGE, {"format": "WEBP", "quality": 40}, 40),
    "lossless webp": (RGB, {"format": "WEBP", "lossless": True}, 0),
    "avif": (LARGE, {"format": "AVIF", "quality": 50}, 40),
    "gif": (RGB, {"format": "GIF"}, 60),
    "bmp": (RGB, {"format": "BMP"}, 0),
    "tiff": (RGB, {"format": "TIFF"}, 0),
    "lzw tiff": (RGB, {"format": "TIFF", "compression": "tiff_lzw"}, 0),
    "jpeg tiff": (RGB, {"format": "TIFF", "compression": "jpeg"}, 60),
    "16-bit tiff": (DEEP, {"format": "TIFF"}, 0),
    "float tiff": (FLOAT, {"format": "TIFF"}, 0),
    "cmyk tiff": (RGB.convert("CMYK"), {"format": "TIFF"}, 30),
}  # fmt: skip
METADATA = b"<x:xmpmeta>tale of the image</x:xmpmeta>"


@pytest.mark.parametrize("name", REAL)
def test_a_file_has_the_format_of_the_real_one(tmp_path: Path, name: str) -> None:
    real, options, most = REAL[name]
    path = tmp_path / "real"
    real.save(path, **options)
    stored = read_format(path)
    synthetic = image(2, (stored.width, stored.height))
    again = tmp_path / "synthetic"
    again.write_bytes(encode(synthetic, stored, METADATA))
    result = read_format(again)
    if stored.quality >= 0:  # an estimate, see below
        result = StoredFormat(**{**vars(result), "quality": stored.quality})
    if stored.mode == "P":
        assert result.colours <= stored.colours
        result = StoredFormat(**{**vars(result), "colours": stored.colours})
    assert result == stored
    expected = np.asarray(synthetic.convert("L").convert("RGB") if real.mode in "1 L LA I;16 F" else synthetic)
    difference = np.abs(decode(again, None).astype(int) - expected)
    assert difference.mean() <= most
    if stored.format != "BMP":
        assert METADATA in again.read_bytes()
        without = encode(synthetic, stored)
        assert (decode(without, None) == decode(again, None)).all(), "metadata changes no pixel"


@pytest.mark.parametrize("codec", ["WEBP", "AVIF"])
def test_the_quality_that_a_file_does_not_name_is_estimated_whatever_its_metadata(tmp_path: Path, codec: str) -> None:
    smooth = Image.fromarray((np.asarray(LARGE) // 8 + np.asarray(image(5, LARGE.size)) // 2).astype(np.uint8))
    for quality in (60, 90):
        smooth.save(tmp_path / "plain", format=codec, quality=quality)
        smooth.save(tmp_path / "described", format=codec, quality=quality, xmp=METADATA * 100)
        estimate = read_format(tmp_path / "plain").quality
        assert abs(estimate - quality) <= 20
        assert abs(read_format(tmp_path / "described").quality - estimate) <= 8


def test_the_tables_of_a_jpeg_are_those_of_the_real_one(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.jpg", quality=37, progressive=True)
    stored = read_format(tmp_path / "a.jpg")
    with (
        Image.open(io.BytesIO(encode(image(3, (64, 64)), stored))) as again,
        Image.open(tmp_path / "a.jpg") as real,
    ):
        assert again.quantization == real.quantization  # type: ignore[attr-defined]
        assert again.info["progressive"] == 1


def test_a_photograph_that_is_turned_has_its_upright_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    RGB.save(tmp_path / "turned.jpg", exif=exif)
    stored = read_format(tmp_path / "turned.jpg")
    assert (stored.width, stored.height) == (32, 48)


@given(*[st.integers(1, 60)] * 4)
def test_images_are_cut_and_resized_but_never_distorted_or_enlarged_by_much(
    width: int, height: int, real_width: int, real_height: int
) -> None:
    result = fitted(Image.new("RGB", (width, height)), real_width, real_height)
    scale = MOST_ENLARGED * min(width / real_width, height / real_height)
    if scale >= 1:
        assert result.size == (real_width, real_height)
    else:  # the shape of the real image, to half a pixel
        assert abs(result.width - scale * real_width) <= 1
        assert abs(result.height - scale * real_height) <= 1


def test_the_middle_of_an_image_is_kept() -> None:
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 10:30] = 200
    shrunk = np.asarray(fitted(Image.fromarray(pixels), 10, 10)).astype(int)
    assert abs(shrunk - 200).max() <= 15, "the filter reaches beyond the edge by a pixel"
    assert (np.asarray(fitted(Image.fromarray(pixels), 20, 20)) == 200).all(), "cut without any filter"
    assert fitted(Image.fromarray(pixels), 60, 30).size == (60, 30)
    assert fitted(Image.fromarray(pixels), 80, 40).size == (60, 30)


def test_a_size_that_fits_changes_no_pixel() -> None:
    assert (np.asarray(fitted(RGB, *RGB.size)) == np.asarray(RGB)).all()


def test_no_image_is_no_format(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    with pytest.raises(OSError, match="identify"):
        read_format(tmp_path / "text.png")
