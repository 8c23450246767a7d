"""The bytes of an image file that are of the image itself, and not of metadata such as prompts, EXIF and profiles."""

import io
import struct
from collections.abc import Iterator

from synthaug.data.decoding import open_image

_PNG, _JPEG, _RIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF"
_KNOWN = (_PNG, _JPEG)
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
    payload = without_metadata(content)
    if len(payload) < len(content) or content.startswith(_KNOWN):
        return len(payload)
    with open_image(io.BytesIO(content)) as opened:
        metadata = (opened.info.get(name) for name in _IN_INFO)
        return len(content) - sum(len(text) for text in metadata if isinstance(text, bytes | str))


def without_metadata(content: bytes) -> bytes:
    """Return an image file without its metadata; of formats other than PNG, JPEG and WebP, all of it.

    What is left tells which image it is and nothing else: the sizes that a WebP file states stay those of all of it.

    Args:
        content: of the file.
    """
    parts: Iterator[tuple[int, int]] = iter(())
    if content.startswith(_PNG):
        parts = _png_metadata(content)
    elif content.startswith(_JPEG):
        parts = _jpeg_metadata(content)
    elif content[:4] == _RIFF and content[8:12] == b"WEBP":
        parts = _webp_metadata(content)
    kept, end = bytearray(), 0
    for start, length in parts:
        kept += content[end:start]
        end = start + length
    return bytes(kept + content[end:])


def _png_metadata(content: bytes) -> Iterator[tuple[int, int]]:
    start = len(_PNG)
    while start + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        if kind in _PNG_METADATA:
            yield start, length + 12
        start += length + 12


def _webp_metadata(content: bytes) -> Iterator[tuple[int, int]]:
    start = 12
    for kind, length in webp_chunks(content):
        if kind in _WEBP_METADATA:
            yield start, 8 + length
        start += 8 + length


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


def _jpeg_metadata(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and length of the segments of a JPEG file that hold metadata."""
    start = 2
    while start + 4 <= len(content) and content[start] == 0xFF:
        marker, length = content[start + 1], 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if marker == _START_OF_SCAN:
            return
        if _APP1 <= marker <= _APP15 or marker == _COMMENT:
            yield start, length
        start += length
