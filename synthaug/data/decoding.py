"""Image files to RGB pixels: by Pillow alone, in full, once, within limits of bytes and pixels.

Only the formats in `FORMATS` are opened. Pillow knows others that start programs (PostScript) or draw (WMF), and it
goes by a file's content, whatever its name.
"""

import contextlib
import hashlib
import io
import stat
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, PngImagePlugin, UnidentifiedImageError

from synthaug.image_files import Member, image_bytes, open_image_file
from synthaug.messages import join_words

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_NAMES = [name.replace("WEBP", "WebP") for name in FORMATS]

# Pillow warns of images above its limit, which might be made to fill the memory, and refuses those of twice as many
# pixels. Its own limit refuses panoramas of 180 megapixels.
MOST_PIXELS = 1_000_000_000
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
MOST_FILE_BYTES = 2**30
# Memory in which all threads together decode, and so the most that one image may take: small files may be many pixels.
MOST_MEMORY = 2**31
# Beyond this number of pixels (Pillow's own limit), images are decoded one at a time, and coarser where they will be
# shrunk anyway. Those below are decoded in full, so that a photograph has the same bits on every machine.
HUGE = 89_478_485
_LARGE_FILE = 2**26  # bytes; larger files are read one at a time
_one_huge_image, _one_large_file = threading.Lock(), threading.Lock()
MOST_SECONDS = 60  # of computing for an image, where it is read piece by piece
_PIECE = 2**12  # bytes of a JPEG, GIF or PNG that are decoded at once
_BAND = 2**22  # pixels that are converted at once
_ENDLESS = 2**31  # a side that no image has

# Drawing programs keep a workflow or a thumbnail beside the pixels; a megabyte is Pillow's own limit.
PngImagePlugin.MAX_TEXT_CHUNK = 2**24
_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")  # what telephones write unless told not to
_LFS_POINTER, _ANNEX_POINTER = b"version https://git-lfs", b"/annex/objects/"

_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # that Pillow holds per pixel; of other modes 4
_AVERAGED = ("L", "RGB", "CMYK")  # modes that are reduced as they are
_WHITE_IS_ZERO = 0  # PhotometricInterpretation of a TIFF

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


Shrink = Callable[[Image.Image, tuple[int, int]], NDArray[np.uint8]]  # RGB to a smaller (width, height)


class RefusedImageError(ValueError):
    """A whole image that is not decoded; the message is the reason."""


class _Memory:
    """Bytes that threads share: whoever wants some waits until they are free.

    Args:
        total: bytes.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes, at most the total, within the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._used + size <= self.total)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()


_memory = _Memory(MOST_MEMORY)


def open_image(stream: BinaryIO) -> Image.Image:
    """Open an image of one of the `FORMATS`, without decoding it.

    Args:
        stream: of the file. By a path, Pillow would map a TIFF file, and rotated ones wrongly.

    Raises:
        UnidentifiedImageError: no such image.
    """
    return Image.open(stream, formats=FORMATS)


class _TimedContent(io.BytesIO):
    """The content of an image file, which yields no more once a thread has computed on it for too long.

    Pillow reads JPEG, PNG, GIF and BMP piece by piece while it decodes, so that they end there. A file of few bytes may
    take hours: a progressive JPEG goes through all pixels again for every hundred bytes.

    Args:
        content: of the file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._end = time.thread_time() + MOST_SECONDS

    def read(self, size: int | None = -1) -> bytes:
        if time.thread_time() > self._end:
            raise RefusedImageError(f"takes too long to decode (more than {MOST_SECONDS} seconds of computing)")
        return super().read(size)


def by_pillow(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink an image, bicubic and antialiased.

    Args:
        image: RGB.
        size: width and height.
    """
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def by_torch(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink an image as Pillow does, in a fifth of its time; a few values in a thousand differ, by 1 and seldom more.

    PyTorch's kernel for bytes computes with integers, so that the bits are the same on every processor.

    Args:
        image: RGB.
        size: width and height.
    """
    import torch  # a second, and most commands shrink nothing

    pixels = torch.from_numpy(_pixels(image))[None].permute(0, 3, 1, 2)
    shrunk = torch.nn.functional.interpolate(pixels, size[::-1], mode="bicubic", antialias=True)
    return np.ascontiguousarray(shrunk[0].permute(1, 2, 0).numpy())  # as it is


Size = tuple[int | None, Shrink]  # longest short side in pixels, None for any; and how larger images are shrunk


def decode(source: Path | bytes, short_side: int | None, shrink: Shrink = by_pillow) -> NDArray[np.uint8]:
    """Decode an image file as `decode_sizes` does, to one size.

    Args:
        source: the file, or its content.
        short_side: in pixels; None: the image is not shrunk.
        shrink: how it is shrunk, `by_pillow` or `by_torch`.
    """
    return decode_sizes(source, [(short_side, shrink)])[0]


def decode_sizes(source: Path | bytes, sizes: Sequence[Size]) -> list[NDArray[np.uint8]]:
    """Decode an image file once to upright RGB (H, W, 3), and shrink it to each of several sizes.

    Pillow decodes, and fully: torchvision's decoder crashes the process on some damaged files, and the header alone
    does not show that a file is truncated. Of an animation the first frame is decoded.

    Args:
        source: the file, or its content.
        sizes: to each of which it is shrunk where it is larger. Huge images are decoded for each.

    Raises:
        RefusedImageError: too large, too slow, or of values whose scale cannot be known.
        Exception: not a whole image; Pillow's plugins raise what they like on damaged ones.
    """
    content = image_bytes(source) if isinstance(source, Path) else source
    try:
        return _decode(content, sizes)
    except RefusedImageError:
        raise
    except ValueError:  # what Pillow raises where the text of a PNG exceeds its limits
        pixels_alone = _without_metadata(content)
        if pixels_alone == content:
            raise
        return _decode(pixels_alone, sizes)


def _decode(content: bytes, sizes: Sequence[Size]) -> list[NDArray[np.uint8]]:
    with open_image(_TimedContent(content)) as opened:
        huge = opened.width * opened.height > HUGE
        if huge and len(sizes) > 1:
            return [image for size in sizes for image in _decode(content, [size])]
        with _one_huge_image if huge else contextlib.nullcontext():
            if huge:
                return [_decode_huge(opened, *sizes[0])]
            with _memory.hold(_needed(opened)):
                image = _in_bands(_load(opened), _white_is_zero(opened))
                return [_shrunk(image, image.size, *size) for size in sizes]


def _shrunk(image: Image.Image, original: tuple[int, int], short_side: int | None, shrink: Shrink) -> NDArray[np.uint8]:
    """Return the pixels of an image whose short side is at most `short_side`.

    Args:
        image: RGB.
        original: width and height before it was decoded coarsely.
        short_side: in pixels.
        shrink: how it is shrunk.
    """
    width, height = original
    shortest = min(width, height)
    if short_side is not None and shortest > short_side:
        scale = short_side / shortest
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return shrink(image, size)
    return _pixels(image)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an RGB image that may be written to; of a large one without Pillow's copy of all of them."""
    bands = list(_bands(image))
    if len(bands) == 1:
        return np.array(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for band in bands:
        pixels[band[1] : band[3]] = np.asarray(image.crop(band))
    return pixels


def _load(opened: Image.Image) -> Image.Image:
    """Decode an image and turn it upright.

    Pillow's `exif_transpose` writes the EXIF data anew, which fails for odd ones.
    """
    if isinstance(opened, ImageFile.ImageFile):
        opened.decodermaxblock = _PIECE
    opened.load()
    turn = _TURNS.get(_orientation(opened))
    return opened if turn is None else opened.transpose(turn)


def _orientation(opened: Image.Image) -> int:
    try:
        return int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data, which says nothing of the pixels
        return 1


def upright_size(opened: Image.Image) -> tuple[int, int]:
    """Return width and height of an image as it is decoded, which may be turned by its EXIF data.

    Args:
        opened: from `open_image`.
    """
    width, height = opened.size
    return (height, width) if _orientation(opened) >= 5 else (width, height)


def stored_bytes(path: Path, short_side: int) -> int:
    """Return how many bytes an image takes once it is decoded, by its header alone; 0 for what is not an image.

    Args:
        path: of the file.
        short_side: as for `decode`.
    """
    try:
        with open_image_file(path) as stream, open_image(stream) as opened:
            scale = min(1.0, short_side / min(opened.size))
            return 3 * round(opened.width * scale) * round(opened.height * scale)
    except Exception:  # as `decode` raises, whose reasons are told later
        return 0


def _decode_huge(opened: Image.Image, short_side: int | None, shrink: Shrink) -> NDArray[np.uint8]:
    """Return the pixels of a huge image, shrunk to no less than twice the final size before `shrink` has it.

    No second copy of the pixels is held, unless they must be turned or converted.

    Args:
        opened: not yet decoded.
        short_side: as for `decode`.
        shrink: likewise.
    """
    width, height = opened.size
    finest = 2 * (short_side or _ENDLESS)
    scans = width * height * 6 if opened.info.get("progressive") else 0  # coefficients, which libjpeg holds in full
    if min(width, height) > finest:  # a JPEG's decoder can leave out what is too fine; other formats ignore this
        shortest = min(width, height)
        opened.draft(None, (width * finest // shortest, height * finest // shortest))
    times = min(opened.size) // finest
    with _memory.hold(_needed(opened, times, scans)):
        image = _load(opened)
        if (image.width < image.height) != (width < height):
            width, height = height, width
        white_is_zero = _white_is_zero(opened)
        # Of other modes, the means of values are not means of colours (palettes), or Pillow cannot take them.
        if image.mode in _AVERAGED:
            image = _in_bands(_reduced(image, times), white_is_zero)
        else:
            image = _reduced(_in_bands(image, white_is_zero), times)
        return _shrunk(image, (width, height), short_side, shrink)


def _reduced(image: Image.Image, times: int) -> Image.Image:
    return image.reduce(times) if times > 1 else image


def _needed(opened: Image.Image, times: int = 1, scans: int = 0) -> int:
    """Return the bytes that decoding takes at most.

    Args:
        opened: not yet decoded.
        times: by which it is reduced before it becomes an array.
        scans: bytes that the decoder needs beside the pixels.

    Raises:
        RefusedImageError: more than `MOST_MEMORY`.
    """
    per_pixel = 2 * _BYTES.get(opened.mode, 4)  # it may have to be turned
    if opened.mode != "RGB" or opened.has_transparency_data:
        per_pixel += 0 if times > 1 and opened.mode in _AVERAGED else 4  # once more as RGB
    if times <= 1:
        per_pixel += 3  # the array
    if opened.format in ("WEBP", "AVIF"):
        per_pixel += 8  # the decoder's own copies
    needed = opened.width * opened.height * per_pixel + scans
    if needed > MOST_MEMORY:
        size = f"{opened.width:,} × {opened.height:,} pixels"
        raise RefusedImageError(
            f"too large ({size} take {needed / 2**30:.1f} GiB to decode, at most {MOST_MEMORY >> 30})"
        )
    return needed


def _without_metadata(content: bytes) -> bytes:
    """Return a PNG file without text and colour profile, which Pillow does not apply; other content as it is."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    kept, start = [content[:8]], 8
    while start + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        if kind not in _METADATA:
            kept.append(content[start : start + length + 12])
        start += length + 12
    return b"".join(kept)


def _white_is_zero(opened: Image.Image) -> bool:
    """Whether a TIFF file of deep grey has black as its largest value; Pillow turns those of 8 bits alone."""
    tags = getattr(opened, "tag_v2", {})
    return bool(tags.get(262) == _WHITE_IS_ZERO) and _is_deep(opened)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _in_bands(image: Image.Image, white_is_zero: bool) -> Image.Image:
    """Convert to RGB as `as_rgb` does, a band at a time where the image is large."""
    if _is_deep(image):
        return _deep_grey(image, white_is_zero)
    if image.mode in ("RGB", "LAB", "CMYK") and not image.has_transparency_data:
        return as_rgb(image)
    bands = list(_bands(image))
    if len(bands) == 1:
        return as_rgb(image)
    converted = Image.new("RGB", image.size)
    for band in bands:
        converted.paste(as_rgb(image.crop(band)), band[:2])
    return converted


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Return boxes (left, top, right, bottom) of rows, of few pixels each."""
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to 8-bit RGB, where `convert` alone would show 16-bit grey as white.

    16-bit grey is scaled to 8 bits; for 32-bit and float grey see `_deep_grey`. Transparent parts become white instead
    of showing the colour hidden under them. CIELAB, and CMYK with the profile of the press it was made for, are
    converted by their definition.

    Raises:
        RefusedImageError: grey of values whose scale cannot be known.
    """
    managed = _by_profile(image)
    if managed is not None:
        return managed
    if _is_deep(image):
        return _deep_grey(image, white_is_zero=False)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_grey(image: Image.Image, white_is_zero: bool) -> Image.Image:
    """Scale grey of 16 or 32 bits, or float, to 8 bits.

    32-bit grey may hold 8 or 16 bits, float grey 0…1 or 0…255 (holes, which are not numbers, are black).

    Args:
        image: of such a mode.
        white_is_zero: whether the largest value is black.

    Raises:
        RefusedImageError: values whose scale cannot be known.
    """
    scale = 1 / 257 if image.mode.startswith("I;16") else _scale(image, white_is_zero)
    converted = Image.new("L", image.size)
    for band in _bands(image):
        grey = (_values(image, band) * scale).round().clip(0, 255).astype(np.uint8)
        converted.paste(Image.fromarray(255 - grey if white_is_zero else grey), band[:2])
    return converted.convert("RGB")


def _scale(image: Image.Image, white_is_zero: bool) -> float:
    """Return what makes 0…255 of 32-bit or float grey."""
    extremes = [(values.min(), values.max()) for values in (_values(image, band) for band in _bands(image))]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    if image.mode == "F":
        if low >= 0 and high <= 1:
            return 255.0
        if low >= 0 and 1.25 <= high <= 255:
            return 1.0
        what = f"float grey from {low:.4g} to {high:.4g}, neither 0…1 nor 0…255"
    elif white_is_zero:
        what = "32-bit grey with white as 0"
    elif low >= 0 and high <= 65535:
        return 1 / 257 if high > 255 else 1.0
    else:
        what = f"32-bit grey from {low:.0f} to {high:.0f}, neither 0…255 nor 0…65535"
    raise RefusedImageError(f"{what}: save it with 8 or 16 bits")


def _values(image: Image.Image, band: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Return a band of a grey image, its holes black."""
    return np.nan_to_num(np.asarray(image.crop(band)).astype(np.float64), posinf=np.inf, neginf=-np.inf)


def _by_profile(image: Image.Image) -> Image.Image | None:
    """Convert CIELAB or profiled CMYK to sRGB by colour management; None for other modes and damaged profiles.

    RGB stays as it is: a camera's profile moves its colours little, and every photograph would change.
    """
    if image.mode == "LAB":
        profile: Any = ImageCms.createProfile("LAB")
    elif image.mode == "CMYK" and image.info.get("icc_profile"):
        profile = io.BytesIO(image.info["icc_profile"])
    else:
        return None
    try:
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        return None


def try_decode(key: str | None, path: Path, short_side: int, shrink: Shrink = by_pillow) -> NDArray[np.uint8] | str:
    """Return the decoded image, or the reason why there is none.

    Args:
        key: file hash; None: of a file that nobody has listed.
        path: of the file.
        short_side: as for `decode`.
        shrink: likewise.
    """
    images = try_decode_sizes(key, path, [(short_side, shrink)])
    return images if isinstance(images, str) else images[0]


def try_decode_sizes(key: str | None, path: Path, sizes: Sequence[Size]) -> list[NDArray[np.uint8]] | str:
    """Return the image in several sizes, or the reason why there is none.

    Args:
        key: file hash; None: of a file that nobody has listed.
        path: of the file.
        sizes: as for `decode_sizes`.
    """
    content = b""
    try:
        member = Member.of(path)
        status = Path(member.tar).stat() if member else path.stat()
        size = member.size if member else status.st_size
        if not stat.S_ISREG(status.st_mode):
            return "cannot be read (Permission denied)" if path.is_dir() else "not a regular file"
        if size > MOST_FILE_BYTES:
            return f"too large ({size / 2**30:.1f} GiB, at most {MOST_FILE_BYTES / 2**30:.1f})"
        with _one_large_file if size > _LARGE_FILE else contextlib.nullcontext():
            with open_image_file(path) as stream:
                content = stream.read(size + 1)  # of a larger number, Python reserves all at once
            if not content:
                return "the file is empty (0 bytes)"
            # The file may have been replaced since: under its old hash, the other pixels would stay for good.
            if key is not None and (current := hashlib.sha256(content).hexdigest()) != key:
                return f"its content is not what was listed (sha256 {current[:12]} instead of {key[:12]})"
            return decode_sizes(content, sizes)
    except UnidentifiedImageError:
        return _explain_unidentified(content)
    except RefusedImageError as error:
        return str(error)
    except Image.DecompressionBombError as error:
        return f"too large ({error})"
    except MemoryError:
        raise
    except Exception as error:
        if path.is_symlink() and isinstance(error, FileNotFoundError | RuntimeError):
            return f"a link to {path.readlink()}, which does not exist"
        if isinstance(error, OSError) and error.errno:
            return f"cannot be read ({error.strerror})"
        return f"damaged ({str(error) or type(error).__name__})"


def _explain_unidentified(content: bytes) -> str:
    if content.startswith(_LFS_POINTER):
        return "a pointer of Git LFS in the place of the image: git lfs pull fetches it"
    if content.startswith(_ANNEX_POINTER):
        return "a pointer of git-annex in the place of the image: git annex get fetches it"
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC:
        return "HEIC, which Pillow cannot read: convert it to JPEG"
    return f"not a {join_words(_NAMES, 'or')} image"


@contextlib.contextmanager
def large_photographs() -> Iterator[None]:
    """Silence Pillow's warnings: of damaged metadata, and of images of half `MOST_PIXELS`, of which larger ones raise.

    Held around all threads at once: `catch_warnings` swaps a list that they share.
    """
    with warnings.catch_warnings():
        silence_large_photographs()
        yield


def silence_large_photographs() -> None:
    """Silence what `large_photographs` does, from here on."""
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
