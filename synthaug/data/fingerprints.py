"""Fingerprints of images: equal for the same pixels, close for copies that were resized or re-saved.

The perceptual hash is `phash` of the package ImageHash: the signs of the 8×8 lowest frequencies of a cosine transform
of the grey image at 32×32, about their median. Of two unrelated photographs about half of its 64 bits differ.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from synthaug.data.pixels import large_photographs, try_decode

BITS = 64
# Images are compared at this short side in pixels: enough to tell any two photographs apart, and fast.
SHORT_SIDE = 256
_ROWS = 1024  # of the table of distances that are held in memory at once


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint of an image.

    Attributes:
        pixels: hex hash of the upright RGB pixels and their shape.
        phash: hex perceptual hash, 16 digits.
    """

    pixels: str
    phash: str


def fingerprint_files(images: Mapping[str, Path]) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """Compute the fingerprints of image files.

    Args:
        images: file hash → path.

    Returns:
        File hash → fingerprint, and file hash → reason for the files that are no whole images.
    """
    prints: dict[str, Fingerprint] = {}
    bad: dict[str, str] = {}

    def compute(item: tuple[str, Path]) -> Fingerprint | str:
        image = try_decode(*item, SHORT_SIDE)
        return image if isinstance(image, str) else fingerprint(image)

    with (
        tqdm(total=len(images), desc="comparing", unit="image", disable=None, leave=False) as bar,
        large_photographs(),
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        for key, result in zip(images, threads.map(compute, images.items()), strict=True):
            if isinstance(result, str):
                bad[key] = result
            else:
                prints[key] = result
            bar.update()
    return prints, bad


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of RGB pixels (H, W, 3)."""
    import imagehash

    height, width, _ = image.shape
    pixels = hashlib.sha256(image.tobytes() + f"{height}x{width}".encode()).hexdigest()
    return Fingerprint(pixels, str(imagehash.phash(Image.fromarray(image))))


def groups(fingerprints: Sequence[Fingerprint], near: int | None) -> list[int]:
    """Group images that are copies of one another, directly or by way of others.

    Args:
        fingerprints: of the images.
        near: most bits in which the perceptual hashes of copies differ; None takes only the same pixels for copies.

    Returns:
        For each image the least index of its group.
    """
    labels = np.arange(len(fingerprints))
    first: dict[str, int] = {}
    for index, item in enumerate(fingerprints):
        labels[index] = first.setdefault(item.pixels, index)
    if near is not None and fingerprints:
        hashes = [item.phash for item in fingerprints]
        _join(labels, _distinct(labels, hashes), hashes, near)
    return [int(label) for label in labels]


def distances(first: Sequence[str], second: Sequence[str]) -> NDArray[np.int64]:
    """Count the bits in which hex hashes differ, by a product of matrices of ±1.

    Args:
        first: N hashes of 16 digits.
        second: M hashes.

    Returns:
        (N, M).
    """
    product = _signs(first) @ _signs(second).T
    return ((BITS - product) / 2).astype(np.int64)


def _distinct(labels: NDArray[np.int64], hashes: Sequence[str]) -> list[int]:
    """Join images of the same perceptual hash, and return one index of each hash."""
    first: dict[str, int] = {}
    for index, text in enumerate(hashes):
        _unite(labels, np.array([first.setdefault(text, index), index]))
    return list(first.values())


def _join(labels: NDArray[np.int64], indices: Sequence[int], hashes: Sequence[str], near: int) -> None:
    """Join the images at `indices` whose hashes differ in at most `near` bits, a block of rows at a time."""
    ordered = np.array(indices)
    texts = [hashes[index] for index in indices]
    for start in range(0, len(texts), _ROWS):
        block = distances(texts[start : start + _ROWS], texts[start:]) <= near
        for close in block:
            members = ordered[start + np.flatnonzero(close)]  # the row's own image among them
            if len(members) > 1:
                _unite(labels, members)


def _unite(labels: NDArray[np.int64], members: NDArray[np.int64]) -> None:
    """Give the groups of all members the least of their labels."""
    least, *others = np.unique(labels[members])
    if others:
        labels[np.isin(labels, others)] = least


def _signs(hashes: Sequence[str]) -> NDArray[np.float32]:
    """Return ±1 for each bit of hex hashes, (N, 64)."""
    octets = np.frombuffer(b"".join(bytes.fromhex(text) for text in hashes), dtype=np.uint8)
    return np.unpackbits(octets.reshape(len(hashes), BITS // 8), axis=1).astype(np.float32) * 2 - 1
