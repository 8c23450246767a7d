"""The same picture among training and test images: with the same pixels, or re-encoded, resized, brightened.

A near copy has a perceptual hash that differs in at most `MAX_BITS` of 64 bits and, at 32×32 in grey, a correlation of
`MIN_CORRELATION` or more. The hash alone would not do: of 1,500 handwritten digits, 1,031 have another one within 8
bits, and none has one that also correlates as much. Copies that are mirrored, or cropped by a few per cent, are missed.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from synthaug import files
from synthaug.data import fingerprints
from synthaug.data.fingerprints import SHORT_SIDE, Fingerprint
from synthaug.data.pixels import large_photographs, try_decode

MAX_BITS = 8
MIN_CORRELATION = 0.98
_SIDE = 32
_ROWS = 512  # of the table of distances that are held in memory at once


@dataclass(frozen=True)
class ListedImage:
    """An image in a list of a run: its path as written there, its class, and where the file is now."""

    path: str
    label: str
    file: Path


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        listed: where it is listed.
        sha256: of its file.
        fingerprint: of its pixels.
        grey: 32×32 grey values in one row, centred and of unit length.
    """

    listed: ListedImage
    sha256: str
    fingerprint: Fingerprint
    grey: NDArray[np.float32]


@dataclass(frozen=True)
class Copy:
    """A training image and the test image that it is a copy of; exact: pixel by pixel."""

    train: ListedImage
    test: ListedImage
    exact: bool


def read_pictures(images: Sequence[ListedImage]) -> tuple[list[Picture], list[ListedImage]]:
    """Decode image files; return the pictures, and the images whose files are missing or damaged."""
    with (
        tqdm(total=len(images), desc="comparing", unit="image", disable=None, leave=False) as bar,
        large_photographs(),
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        pictures = []
        for picture in threads.map(_picture, images):
            pictures.append(picture)
            bar.update()
    missing = [listed for listed, picture in zip(images, pictures, strict=True) if picture is None]
    return [picture for picture in pictures if picture is not None], missing


def _picture(listed: ListedImage) -> Picture | None:
    try:
        sha256 = files.sha256(listed.file)
    except OSError:
        return None
    pixels = try_decode(sha256, listed.file, SHORT_SIDE)
    if isinstance(pixels, str):
        return None
    small = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32).ravel()
    centred = grey - grey.mean()
    length = float(np.linalg.norm(centred))
    return Picture(listed, sha256, fingerprints.fingerprint(pixels), centred / length if length else centred)


def find_copies(train: Sequence[Picture], test: Sequence[Picture]) -> list[Copy]:
    """Return every pair of a training and a test image that show the same, exact copies first.

    Args:
        train: training images.
        test: test images.
    """
    if not train or not test:
        return []
    hashes = [picture.fingerprint.phash for picture in train]
    grey = np.stack([picture.grey for picture in train])
    copies = []
    for start in range(0, len(test), _ROWS):
        block = test[start : start + _ROWS]
        distances = fingerprints.distances([picture.fingerprint.phash for picture in block], hashes)
        correlations = np.stack([picture.grey for picture in block]) @ grey.T
        for row, column in np.argwhere((distances <= MAX_BITS) & (correlations >= MIN_CORRELATION)):
            copies.append(_copy(train[column], block[row]))
    by_pixels: dict[str, list[Picture]] = {}
    for picture in train:
        by_pixels.setdefault(picture.fingerprint.pixels, []).append(picture)
    near = {(copy.train.path, copy.test.path) for copy in copies}
    # An image of one colour correlates with nothing.
    copies += [
        _copy(same_pixels, picture)
        for picture in test
        for same_pixels in by_pixels.get(picture.fingerprint.pixels, [])
        if (same_pixels.listed.path, picture.listed.path) not in near
    ]
    return sorted(copies, key=lambda copy: (not copy.exact, copy.test.path, copy.train.path))


def _copy(train: Picture, test: Picture) -> Copy:
    return Copy(train.listed, test.listed, train.fingerprint.pixels == test.fingerprint.pixels)
