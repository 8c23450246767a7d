"""The kind of file that an image is: codec, compression, colour mode and size, read from one image, given to another.

What a JPEG file says of its compression is taken over exactly (tables, subsampling, progressive); of lossy WebP and
AVIF, whose files do not name their quality, it is the one at which the real image takes as many bytes again.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.JpegImagePlugin import get_sampling

from synthaug.data.decoding import as_rgb, decode, open_image, upright_size
from synthaug.data.payload import payload_size, webp_chunks

_SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
}
_LOSSY = ("WEBP", "AVIF")  # whose quality is looked for
_QUALITY_STEPS = 6  # halvings of 0…100
# Real images are mostly larger than those of a model. Measured on photographs: left small, synthetic ones are told by
# their size (AUC 0.92; before 0.98); enlarged, hardly by size (0.60) and no more easily by pixels (0.76; before 0.80).
MOST_ENLARGED = 1.5
_XMP_TAG = 700  # of a TIFF file
_EXACT_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd")


@dataclass(frozen=True)
class StoredFormat:
    """How an image is stored.

    Attributes:
        format: Pillow's name of the codec.
        mode: Pillow's name of the colour mode.
        width, height: in pixels, upright.
        tables: quantisation tables of a JPEG.
        sampling: Pillow's number of a JPEG's chroma subsampling; -1 where it has none that Pillow can write.
        progressive: whether a JPEG is.
        quality: of lossy WebP or AVIF, 0 to 100; -1 for other files and lossless ones.
        colours: of a palette.
        compression: of a TIFF file, in Pillow's words.
    """

    format: str = "PNG"
    mode: str = "RGB"
    width: int = 0
    height: int = 0
    tables: tuple[tuple[int, ...], ...] = ()
    sampling: int = -1
    progressive: bool = False
    quality: int = -1
    colours: int = 256
    compression: str = ""

    @property
    def suffix(self) -> str:
        """Of the file's name."""
        return _SUFFIXES[self.format]


def read_format(path: Path) -> StoredFormat:
    """Read how an image file is stored; pixels are decoded only where nothing else tells the quality.

    Args:
        path: of the file.

    Raises:
        Exception: not a whole image; Pillow's plugins raise what they like on damaged ones.
    """
    content = path.read_bytes()
    with open_image(io.BytesIO(content)) as opened:
        name = {"MPO": "JPEG"}.get(str(opened.format), str(opened.format))
        stored = StoredFormat(name, opened.mode, *upright_size(opened))
        if name == "JPEG":
            tables = tuple(tuple(table) for _, table in sorted(getattr(opened, "quantization", {}).items()))
            progressive = bool(opened.info.get("progressive"))
            return replace(stored, tables=tables, sampling=get_sampling(opened), progressive=progressive)
        if name == "TIFF":
            return replace(stored, compression=str(opened.info.get("compression", "raw")))
        if opened.mode == "P" and opened.palette is not None:
            opened.load()
            return replace(stored, colours=max(2, len(opened.getcolors(maxcolors=256) or range(256))))
    is_lossless = name == "WEBP" and any(kind == b"VP8L" for kind, _ in webp_chunks(content))
    if name in _LOSSY and not is_lossless:
        return replace(stored, quality=_quality(content, stored))
    return stored


def _quality(content: bytes, stored: StoredFormat) -> int:
    """Return the quality at which a lossy image, encoded again, takes as many bytes as it does."""
    image = Image.fromarray(decode(content, None))
    size, (low, high) = payload_size(content), (0, 100)
    for _ in range(_QUALITY_STEPS):
        quality = (low + high) // 2
        if len(encode(image, replace(stored, quality=quality))) < size:
            low = quality
        else:
            high = quality
    return high


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the middle of an image in a shape and a size; never distorted, and enlarged to `MOST_ENLARGED` at most.

    Args:
        image: of any size.
        width: of the result in pixels; where the image is too small, in proportion to `height`.
        height: likewise.
    """
    cut = min(image.width / width, image.height / height)  # of the image, in multiples of the wanted size
    scale = min(1, cut * MOST_ENLARGED)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = max(0, image.width - width * cut) / 2, max(0, image.height - height * cut) / 2  # rounding may go below 0
    return image.resize(size, Image.Resampling.BICUBIC, (x, y, image.width - x, image.height - y))


def encode(image: Image.Image, stored: StoredFormat, xmp: bytes = b"") -> bytes:
    """Return an image file of a format; the image's size is not changed.

    Args:
        image: to be stored.
        stored: the format.
        xmp: metadata; left out of BMP files, which have no place for any, and a comment in GIF files.
    """
    stream = io.BytesIO()
    _in_mode(image, stored).save(stream, format=stored.format, **_options(stored, xmp))
    return stream.getvalue()


def _options(stored: StoredFormat, xmp: bytes) -> dict[str, Any]:
    """Return arguments of Pillow's `save`."""
    options: dict[str, Any] = {"xmp": xmp} if xmp and stored.format in ("JPEG", "WEBP", "AVIF") else {}
    if stored.format == "JPEG":
        options |= {"progressive": stored.progressive} | ({"qtables": list(stored.tables)} if stored.tables else {})
        return options | ({"subsampling": stored.sampling} if stored.sampling >= 0 else {})
    if stored.format == "WEBP":
        return options | ({"lossless": True} if stored.quality < 0 else {"quality": stored.quality})
    if stored.format == "AVIF":
        return options | {"quality": 100 if stored.quality < 0 else stored.quality}
    if stored.format == "TIFF":
        known_exact = stored.compression in (*_EXACT_COMPRESSIONS, "jpeg")
        options["compression"] = stored.compression if known_exact else "tiff_lzw"
        return options | ({"tiffinfo": _tiff_metadata(xmp)} if xmp else {})
    if stored.format == "PNG" and xmp:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": info}
    return {"comment": xmp} if stored.format == "GIF" and xmp else options


def _tiff_metadata(xmp: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[_XMP_TAG] = 1  # bytes
    directory[_XMP_TAG] = xmp
    return directory


def _deep(scale: float, kind: type[Any]) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.fromarray((np.asarray(image.convert("L"), dtype=np.float64) * scale).astype(kind))


# Modes that are written otherwise than by `convert`; grey of more bits in the scale that decoding takes it for.
_CONVERTED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "1": lambda image: image.convert("1", dither=Image.Dither.NONE),
    **dict.fromkeys(("I;16", "I;16B", "I;16L"), _deep(257, np.uint16)),
    "I": _deep(257, np.int32),
    "F": _deep(1 / 255, np.float32),
}
_PLAIN = ("L", "LA", "RGB", "RGBA", "CMYK")


def _in_mode(image: Image.Image, stored: StoredFormat) -> Image.Image:
    """Convert to the mode of a format; to RGB where nothing can be converted to it (CIELAB)."""
    plain = image if image.mode in ("L", "RGB") else as_rgb(image)
    if stored.mode == "P":
        return plain.convert("RGB").quantize(stored.colours)
    if stored.mode in _CONVERTED:
        return _CONVERTED[stored.mode](plain)
    mode = stored.mode if stored.mode in _PLAIN else "RGB"
    return plain if plain.mode == mode else plain.convert(mode)
