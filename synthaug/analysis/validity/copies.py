"""The same picture among training and test images: with the same pixels, or re-encoded, resized, cropped, flipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug import files
from synthaug.data import fingerprints
from synthaug.data.decoding import try_decode
from synthaug.data.fingerprints import SHORT_SIDE, Fingerprint
from synthaug.data.parallel import map_images
from synthaug.image_files import is_image_file


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
    """

    listed: ListedImage
    sha256: str
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Copy:
    """A training image and the test image that it is a copy of; exact: pixel by pixel."""

    train: ListedImage
    test: ListedImage
    exact: bool


def read_pictures(images: Sequence[ListedImage]) -> tuple[list[Picture], list[ListedImage]]:
    """Decode image files; return the pictures, and the images whose files are missing or damaged."""
    pictures = map_images(_picture, images, "comparing")
    missing = [listed for listed, picture in zip(images, pictures, strict=True) if picture is None]
    return [picture for picture in pictures if picture is not None], missing


def _picture(listed: ListedImage) -> Picture | None:
    try:
        sha256 = files.sha256(listed.file) if is_image_file(listed.file) else ""
    except OSError:
        return None
    if not sha256:
        return None
    pixels = try_decode(sha256, listed.file, SHORT_SIDE)
    if isinstance(pixels, str):
        return None
    return Picture(listed, sha256, fingerprints.fingerprint(pixels))


def find_copies(train: Sequence[Picture], test: Sequence[Picture]) -> list[Copy]:
    """Return every pair of a training and a test image that show the same, exact copies first.

    Where the images of the dataset resemble one another by nature, these are the exact copies alone.

    Args:
        train: training images.
        test: test images.
    """
    prints, test_prints = ([picture.fingerprint for picture in side] for side in (train, test))
    copies = [_copy(train[i], test[j]) for i, j in fingerprints.copies(prints, test_prints)]
    return sorted(copies, key=lambda copy: (not copy.exact, copy.test.path, copy.train.path))


def _copy(train: Picture, test: Picture) -> Copy:
    return Copy(train.listed, test.listed, train.fingerprint.pixels == test.fingerprint.pixels)
