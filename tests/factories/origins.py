"""Pictures of two origins in files, for the checks of images."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthaug.data.sample_list import Sample
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.files import sha256
from synthaug.runs import contents
from tests.factories.studies import MadeUp, make_study, run_folder

CLASSES = ("cat", "dog")
IMAGES = 60


def picture(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """Draw with as much detail as a photograph: a perceptual hash of less is decided by noise.

    Args:
        seed: of the pixels.
        size: width and height in pixels.
    """
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_images(
    folder: Path, origin: str, first: int = 0, suffix: str = ".png", size: tuple[int, int] = (48, 48), **save: Any
) -> list[Sample]:
    """Write 60 pictures of two classes, all different, and list them.

    Args:
        folder: that holds a folder per origin.
        origin: real or synthetic.
        first: seed of the first picture.
        suffix: of the files.
        size: width and height in pixels.
        save: options of `Image.save`.
    """
    rows = []
    for number in range(IMAGES):
        name = CLASSES[number % 2]
        path = folder / origin / name / f"{number:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(first + number, size).save(path, **save)
        rows.append(Sample(str(path), 0, name, origin, sha256(path)))
    return rows


def write_lists(folder: Path) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Write real and synthetic training images and test images, no two alike."""
    return (
        write_images(folder / "real", REAL),
        write_images(folder / "synthetic", SYNTHETIC, first=1000),
        write_images(folder / "test", REAL, first=2000),
    )


def make_pictured_study(folder: Path) -> Path:
    """Write a study with 60 images of each origin, JPEG and PNG, and 60 test images."""
    arms = {"real": (1.0, 0.0), "64": (0.4, 0.6), "real40": (0.4, 0.0)}
    study = make_study(folder / "study", MadeUp(arms=arms, classes=CLASSES, n_test=IMAGES))
    real = write_images(folder / "real", REAL, suffix=".jpg")
    synthetic = write_images(folder / "synthetic", SYNTHETIC, first=1000)
    test = write_images(folder / "test", REAL, first=2000, suffix=".jpg")
    for arm, rows in (("real", real), ("64", real[:24] + synthetic[:36]), ("real40", real[:24])):
        run = run_folder(study, arm)
        contents.write_mix(run, rows)
        labels = np.array([CLASSES.index(row.class_name) for row in test])
        old = contents.read_predictions(run)
        new = dataclasses.replace(old, paths=[row.file for row in test], labels=labels, predicted=labels)
        contents.write_predictions(run, new)
    return study
