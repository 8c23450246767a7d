"""The pixel store: every distinct image file is decoded once, for all arms, seeds and epochs.

A store is a folder of two files: `pixels.bin`, the RGB bytes of all images one after the other, memory-mapped
when read; and `index.csv`, one row per image with its place. Images keep their shape; those whose short side
exceeds the store's are shrunk to it, none is enlarged. Several processes may share a store: writing holds a
lock, and readers use what the index told them when they opened it.
"""

import contextlib
import csv
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from synthaug.files import write_rows

# Pillow warns of images above its limit, which might be made to fill the memory, and refuses those of twice as many
# pixels. Its own limit refuses panoramas of 180 megapixels. One gigapixel takes 4 GB while it is decoded, 8 GB if it
# lies on its side: as much as a machine that trains on photographs has, and more than any camera's stitched panorama.
MOST_PIXELS = 1_000_000_000
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
# Beyond this number of pixels (Pillow's own limit), images are decoded one at a time, and coarser where they will be
# shrunk anyway. Those below are decoded in full, so that a photograph has the same bits on every machine.
HUGE = 89_478_485
_one_huge_image = threading.Lock()

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")  # what telephones write unless told not to

_CHUNK = 512  # images between two writings of the index: what a killed process loses at most


@dataclass(frozen=True)
class Place:
    """Where an image lies in `pixels.bin`, its shape, and the hash of its RGB bytes and shape."""

    offset: int
    height: int
    width: int
    content: str

    @property
    def stop(self) -> int:
        """Offset of the first byte behind the image."""
        return self.offset + self.height * self.width * 3


class Pixels(Protocol):
    """Source of batches of images, such as `PixelStore`; `short_side` is the longest short side, in pixels."""

    short_side: int

    def batch(self, keys: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images as one padded array (B, 3, H, W), zeros below and right of each, and their sizes (B, 2)."""
        ...


class PixelStore:
    """Decoded images by the SHA-256 of their files.

    Args:
        folder: of the store; created on the first `add`.
        short_side: longest short side kept, in pixels.
    """

    def __init__(self, folder: Path, short_side: int) -> None:
        self.folder = folder / f"short{short_side}"
        self.short_side = short_side
        self._places = self._read_index()
        self._bytes: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as the whole file: other processes open their own.
        return {**self.__dict__, "_bytes": None}

    def add(self, images: Mapping[str, Path]) -> dict[str, str]:
        """Decode the images that the store lacks.

        Args:
            images: file hash → path.

        Returns:
            File hash → reason, for the files that are no whole images or not those that were listed.
        """
        if all(key in self._places for key in images):
            return {}
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            self._places = self._read_index()
            missing = {key: path for key, path in images.items() if key not in self._places}
            bad: dict[str, str] = {}
            bar = tqdm(total=len(missing), desc="decoding", unit="image", disable=None, leave=False)
            with bar, large_photographs():
                for chunk in _chunks(missing.items(), _CHUNK):
                    bad |= self._add_chunk(chunk)
                    bar.update(len(chunk))
        self._bytes = None
        return bad

    def place(self, key: str) -> Place:
        """Return the place of the image with this file hash."""
        return self._places[key]

    def batch(self, keys: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images as one padded array (B, 3, H, W), zeros below and right of each, and their sizes (B, 2)."""
        return padded([self.image(key) for key in keys])

    def image(self, key: str) -> NDArray[np.uint8]:
        """Return the image with this file hash, (H, W, 3)."""
        if self._bytes is None:
            self._bytes = np.memmap(self.folder / "pixels.bin", dtype=np.uint8, mode="r")
        place = self._places[key]
        return self._bytes[place.offset : place.stop].reshape(place.height, place.width, 3)

    def _add_chunk(self, chunk: Sequence[tuple[str, Path]]) -> dict[str, str]:
        bad: dict[str, str] = {}
        added: dict[str, Place] = {}
        with ThreadPoolExecutor(os.cpu_count()) as threads, self._open_end() as stream:
            decoded = threads.map(lambda item: try_decode(item[0], item[1], self.short_side), chunk)
            for (key, _), image in zip(chunk, decoded, strict=True):
                if isinstance(image, str):
                    bad[key] = image
                    continue
                height, width, _ = image.shape
                content = hashlib.sha256(image.tobytes() + f"{height}x{width}".encode()).hexdigest()
                added[key] = Place(stream.tell(), height, width, content)
                stream.write(image.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        self._write_index(self._places | added)
        self._places |= added
        return bad

    def _open_end(self) -> Any:
        """Open `pixels.bin`, cut to the index's end: a killed process may have left half an image behind."""
        end = max((place.stop for place in self._places.values()), default=0)
        path = self.folder / "pixels.bin"
        path.touch()
        stream = path.open("r+b")
        stream.truncate(end)
        stream.seek(end)
        return stream

    def _read_index(self) -> dict[str, Place]:
        """Read the index up to the end of `pixels.bin`: lost bytes are decoded again, not read as black."""
        path, pixels = self.folder / "index.csv", self.folder / "pixels.bin"
        if not path.is_file() or not pixels.is_file():
            return {}
        with path.open(newline="", encoding="utf-8") as stream:
            places = {
                row["sha256"]: Place(int(row["offset"]), int(row["height"]), int(row["width"]), row["content"])
                for row in csv.DictReader(stream)
            }
        size = pixels.stat().st_size
        return {key: place for key, place in places.items() if place.stop <= size}

    def _write_index(self, places: Mapping[str, Place]) -> None:
        write_rows(
            self.folder / "index.csv",
            ["sha256", "offset", "height", "width", "content"],
            ([key, p.offset, p.height, p.width, p.content] for key, p in places.items()),
        )


def padded(images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (H, W, 3) as one array (B, 3, H, W), zeros below and right of each, and their sizes (B, 2)."""
    sizes = np.array([image.shape[:2] for image in images], dtype=np.int64)
    height, width = sizes.max(axis=0)
    pixels = np.zeros((len(images), 3, height, width), dtype=np.uint8)
    for row, image in enumerate(images):
        pixels[row, :, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
    return pixels, sizes


def decode(path: Path | BinaryIO, short_side: int) -> NDArray[np.uint8]:
    """Decode an image file to upright RGB (H, W, 3), shrunk so that its short side is at most `short_side`.

    Pillow decodes, and fully: torchvision's decoder crashes the process on some damaged files, and the header alone
    does not show that a file is truncated. Of an animation the first frame is decoded.

    Args:
        path: of the file, or an open one.
        short_side: in pixels.

    Raises:
        Exception: not a whole image; Pillow's plugins raise what they like on damaged ones.
    """
    if isinstance(path, Path):
        # By its name, Pillow would map a TIFF file, and rotated ones wrongly.
        with path.open("rb") as stream:
            return decode(stream, short_side)
    with Image.open(path) as opened:
        if opened.width * opened.height > HUGE:
            with _one_huge_image:
                image, (width, height) = _load_huge(opened, short_side)
        else:
            opened.load()
            image = as_rgb(ImageOps.exif_transpose(opened))
            width, height = image.size
    shortest = min(width, height)
    if shortest > short_side:
        scale = short_side / shortest
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)


def _load_huge(opened: Image.Image, short_side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return upright RGB, shrunk to no less than twice the final size, and the (width, height) it had before.

    No second copy of the pixels is held, unless they must be turned.
    """
    width, height = opened.size
    finest = 2 * short_side
    if min(width, height) > finest:  # a JPEG's decoder can leave out what is too fine; other formats ignore this
        shortest = min(width, height)
        opened.draft(None, (width * finest // shortest, height * finest // shortest))
    opened.load()
    ImageOps.exif_transpose(opened, in_place=True)
    if (opened.width < opened.height) != (width < height):
        width, height = height, width
    times = min(opened.size) // finest
    # Of other modes, the means of values are no means of colours (palettes), or Pillow cannot take them.
    image = opened.reduce(times) if times > 1 and opened.mode in ("L", "RGB", "CMYK") else opened
    return as_rgb(image), (width, height)


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to 8-bit RGB, where `convert` alone would show 16-bit grey as white.

    16-bit grey is scaled to 8 bits (so is 32-bit grey, unless it holds no more than 8), float grey is read as
    0…1 (or 0…255 where it exceeds 1), and transparent parts become white instead of showing the colour hidden
    under them. CIELAB, and CMYK with the profile of the press it was made for, are converted by their definition.
    """
    managed = _by_profile(image)
    if managed is not None:
        return managed
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        if image.mode == "F":
            scale = 255.0 if values.max() <= 1 else 1.0
        else:
            scale = 1 / 257 if image.mode != "I" or values.max() > 255 else 1.0
        return Image.fromarray((values * scale).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")


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


def try_decode(key: str | None, path: Path, short_side: int) -> NDArray[np.uint8] | str:
    """Return the decoded image, or the reason why there is none.

    Args:
        key: file hash; None: of a file that nobody has listed.
        path: of the file.
        short_side: as for `decode`.
    """
    try:
        content = path.read_bytes()
        if not content:
            return "the file is empty (0 bytes)"
        # The file may have been replaced since: under its old hash, the other pixels would stay for good.
        if key is not None and (current := hashlib.sha256(content).hexdigest()) != key:
            return f"its content is not what was listed (sha256 {current[:12]} instead of {key[:12]})"
        return decode(io.BytesIO(content), short_side)
    except UnidentifiedImageError:
        if content[4:8] == b"ftyp" and content[8:12] in _HEIC:
            return "HEIC, which Pillow cannot read: convert it to JPEG"
        return "not an image that Pillow can read"
    except Image.DecompressionBombError as error:
        return f"too large ({error})"
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            return f"cannot be read ({error.strerror})"
        return f"damaged ({str(error) or type(error).__name__})"


@contextlib.contextmanager
def large_photographs() -> Iterator[None]:
    """Silence Pillow's warning of images of half `MOST_PIXELS`; larger ones still raise.

    Held around all threads at once: `catch_warnings` swaps a list that they share.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _chunks(items: Iterable[tuple[str, Path]], size: int) -> Iterator[list[tuple[str, Path]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
