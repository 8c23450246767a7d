"""How many bytes of an image file are of the image itself, and not of metadata such as prompts, EXIF and profiles."""

import io
import struct
from collections.abc import Iterator

from synthaug.data.decoding import open_image

_PNG_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tIME")
_WEBP_METADATA = (b"EXIF", b"XMP ", b"ICCP")
_IN_INFO = ("exif", "xmp", "icc_profile", "comment")  # where Pillow keeps the metadata of other formats
_APP1, _APP15, _COMMENT, _START_OF_SCAN = 0xE1, 0xEF, 0xFE, 0xDA


def payload_size(content: bytes) -> int:
    """Return the number of bytes of an image file without its metadata.

    Args:
        content: of the file.

    Raises:
        Exception: no image; Pillow's plugins raise what they like on damaged ones.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return len(content) - sum(length + 12 for kind, length in _png_chunks(content) if kind in _PNG_METADATA)
    if content.startswith(b"\xff\xd8"):
        return len(content) - sum(_jpeg_metadata(content))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return len(content) - sum(length + 8 for kind, length in webp_chunks(content) if kind in _WEBP_METADATA)
    with open_image(io.BytesIO(content)) as opened:
        metadata = (opened.info.get(name) for name in _IN_INFO)
        return len(content) - sum(len(text) for text in metadata if isinstance(text, bytes | str))


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    start = 8
    while start + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        yield kind, length
        start += length + 12


def webp_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length, as it lies in the file, of the chunks of a WebP file.

    Args:
        content: of the file.
    """
    start = 12
    while start + 8 <= len(content):
        kind, length = struct.unpack("<4sI", content[start : start + 8])
        length += length % 2
        yield kind, length
        start += 8 + length


def _jpeg_metadata(content: bytes) -> Iterator[int]:
    """Yield the lengths of the segments of a JPEG file that hold metadata."""
    start = 2
    while start + 4 <= len(content) and content[start] == 0xFF:
        marker, length = content[start + 1], 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if marker == _START_OF_SCAN:
            return
        if _APP1 <= marker <= _APP15 or marker == _COMMENT:
            yield length
        start += length
