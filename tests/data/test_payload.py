"""Bytes of an image file that are not metadata."""

import io
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from synthaug.data.payload import payload_size, without_metadata
from tests.factories.images import image

TEXT = b"<x:xmpmeta>" + b"t" * 1000


def size(codec: str, **options: Any) -> int:
    stream = io.BytesIO()
    image(1, (64, 48)).save(stream, format=codec, **options)
    return payload_size(stream.getvalue())


def info() -> PngInfo:
    metadata = PngInfo()
    metadata.add_itxt("prompt", TEXT.decode())
    metadata.add_text("parameters", TEXT.decode(), zip=True)
    return metadata


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x010E] = TEXT.decode()
    return tags.tobytes()


@pytest.mark.parametrize(
    ("codec", "metadata", "container"),
    [
        ("PNG", {"pnginfo": info(), "exif": exif()}, 0),
        ("JPEG", {"xmp": TEXT, "exif": exif(), "comment": TEXT}, 0),
        ("WEBP", {"xmp": TEXT, "exif": exif()}, 18),  # its chunk VP8X, which files with metadata have
        ("AVIF", {"xmp": TEXT}, 200),  # its list of items
        ("GIF", {"comment": TEXT}, 20),
    ],
)
def test_metadata_does_not_count(codec: str, metadata: dict[str, Any], container: int) -> None:
    plain = size(codec)
    assert plain <= size(codec, **metadata) <= plain + container


@pytest.mark.parametrize(
    ("codec", "metadata"),
    [
        ("PNG", {"pnginfo": info(), "exif": exif()}),
        ("JPEG", {"xmp": TEXT, "exif": exif(), "comment": TEXT}),
        ("BMP", {}),
    ],
)
def test_what_is_left_is_the_file_as_it_is_without_metadata(codec: str, metadata: dict[str, Any]) -> None:
    plain, described = io.BytesIO(), io.BytesIO()
    image(1, (64, 48)).save(plain, format=codec)
    image(1, (64, 48)).save(described, format=codec, **metadata)
    assert without_metadata(described.getvalue()) == without_metadata(plain.getvalue()) == plain.getvalue()


def test_pixels_count() -> None:
    assert size("JPEG", quality=95) > size("JPEG", quality=20)
    assert size("BMP") == 64 * 48 * 3 + 54
