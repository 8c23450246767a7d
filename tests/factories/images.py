"""Images and image folders made up for tests: small, all different, the same every time."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError

SPLIT_FOLDERS = {"train": "train", "val": "val", "test": "test"}


def image(seed: int, size: tuple[int, int] = (20, 16), mode: str = "RGB") -> Image.Image:
    """A smooth random picture of (width, height); no two seeds give the same one."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def write_dataset(
    root: Path,
    classes: Sequence[str] = ("cat", "dog"),
    train: int = 6,
    val: int = 3,
    test: int = 4,
    size: tuple[int, int] = (20, 16),
) -> Path:
    """Write `<root>/<split>/<class>/<number>.png`, every image another, and return `root`."""
    seed = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image(seed, size).save(folder / f"{number:03d}.png")
                seed += 1
    return root


def write_flat(root: Path, counts: Mapping[str, int], seed: int = 1000) -> Path:
    """Write `<root>/<class>/<number>.png`, every image another, and return `root`.

    Args:
        root: of the dataset.
        counts: class → images.
        seed: of the first image.
    """
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            image(seed, (64, 48)).save(root / name / f"{number:03d}.png")
            seed += 1
    return root


def stop(bad: Mapping[Path, str]) -> None:
    """Refuse files that are not whole images."""
    if bad:
        raise UserError(f"not whole: {sorted(path.name for path in bad)}")


def skip(bad: Mapping[Path, str]) -> None:
    """Leave files out that are not whole images."""


def sample(
    number: int, class_name: str = "cat", label: int = 0, origin: str = REAL, order: int | None = None
) -> Sample:
    """A sample without a file; no two numbers have the same content."""
    sha256 = hashlib.sha256(f"{origin} {number}".encode()).hexdigest()
    return Sample(Path(f"{origin}/{class_name}/{number:04d}.png"), label, class_name, origin, sha256, order)
