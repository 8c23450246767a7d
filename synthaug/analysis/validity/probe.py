"""Can a linear classifier tell real from synthetic training images by things that say nothing of their class?

Three probes: what kind of file an image is, how large it is, and what its pixels are like. Each is a logistic
regression on standardised features, judged on images that it was not fitted to (five folds, copies of an image in one
of them), among as many real as synthetic images of each class. So chance is 50 %, and class tells nothing.

A probe of this kind is the C2ST of Lopez-Paz, D., Oquab, M. (2017). Revisiting classifier two-sample tests. ICLR; that
compression and size alone may tell generated from real images: Grommelt, P., Weiss, L., Pfreundt, F.-J., Keuper, J.
(2024). Fake or JPEG? Revealing common biases in generated image detection datasets. ECCV workshops.
"""

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug.analysis.inference.intervals import Estimate, auc, wilson
from synthaug.data.decoding import open_image, try_decode, upright_size
from synthaug.data.payload import payload_size
from synthaug.image_files import image_bytes

FOLDS = 5
MIN_IMAGES = 4 * FOLDS  # images of an origin: with fewer the interval holds nearly everything
PROBES = ("format", "size", "pixels")
SIDE = 256  # pixels of the short side at which pixels are looked at, about as training does
THUMBNAIL, PATCH = 8, 64  # sides in pixels
BANDS = 8  # of the spectrum
# Inverse strength of the L2 penalty. Measured on digits and photographs: weaker or stronger, the probes see less.
PENALTY = 0.1

Features = Mapping[str, float | str]


@dataclass(frozen=True)
class Traits:
    """What an image file shows of its origin apart from its content.

    Attributes:
        format: file format, colour mode, and for a JPEG the mean of its quantisation table and whether it is
            progressive.
        size: logarithms of width, height (upright), bytes without metadata and bytes per pixel, and how far the shape
            is from a square.
        pixels: a small grey copy, means and deviations of the channels, logarithms of the power in bands of frequency.
        content: hash of the pixels: equal for copies.
    """

    format: Features
    size: Features
    pixels: Features
    content: str


def read_traits(path: Path) -> Traits | None:
    """Read the traits of an image file; None where it is missing or damaged."""
    rgb = try_decode(None, path, SIDE)
    if isinstance(rgb, str):
        return None
    try:
        content = image_bytes(path)
        with open_image(io.BytesIO(content)) as opened:
            kind = _format(opened)
            width, height = upright_size(opened)
        size = payload_size(content)
    except Exception:  # Pillow's plugins raise what they like
        return None
    measures = {
        "width": math.log(width),
        "height": math.log(height),
        "bytes": math.log(size),
        "bytes per pixel": math.log(size / (width * height)),
        "out of square": abs(math.log(width / height)),
    }
    pixels = hashlib.sha256(rgb.tobytes() + f"{rgb.shape}".encode()).hexdigest()
    return Traits(kind, measures, dict(zip(_PIXEL_NAMES, _pixels(rgb).tolist(), strict=True)), pixels)


def _format(opened: Image.Image) -> Features:
    tables = getattr(opened, "quantization", None) or {}
    coarse = float(np.mean(tables[0])) if 0 in tables else 0.0
    progressive = float(bool(opened.info.get("progressive")))
    return {"format": str(opened.format), "mode": opened.mode, "quantisation": coarse, "progressive": progressive}


_PIXEL_NAMES = (
    *(f"thumbnail {index}" for index in range(THUMBNAIL * THUMBNAIL)),
    *(f"{what} {channel}" for what in ("mean", "deviation") for channel in "RGB"),
    *(f"band {band}" for band in range(BANDS)),
)


def _pixels(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = Image.fromarray(rgb).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    values = rgb.reshape(-1, 3) / 255
    moments = np.concatenate([values.mean(axis=0), values.std(axis=0)])
    return np.concatenate([np.asarray(small, dtype=np.float64).ravel() / 255, moments, _spectrum(rgb)])


def _spectrum(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Logarithm of the mean power of the grey middle of an image in equal bands of frequency, without its mean."""
    grey = rgb.mean(axis=2) / 255
    top, left = ((side - min(side, PATCH)) // 2 for side in grey.shape)
    patch = grey[top : top + PATCH, left : left + PATCH]
    power = np.abs(np.fft.fft2(patch - patch.mean())) ** 2 / patch.size
    across = np.hypot(*np.meshgrid(np.fft.fftfreq(patch.shape[0]), np.fft.fftfreq(patch.shape[1]), indexing="ij"))
    band = np.minimum((across / 0.5 * BANDS).astype(int), BANDS - 1).ravel()
    counts = np.maximum(np.bincount(band, minlength=BANDS), 1)
    return np.asarray(np.log(np.bincount(band, power.ravel(), minlength=BANDS) / counts + 1e-6), dtype=np.float64)


@dataclass(frozen=True)
class OriginPrediction:
    """How well a linear classifier tells the origin of images that it was not fitted to.

    Attributes:
        accuracy: share of right answers; with as many synthetic as real images this is the balanced one. Its interval
            (Wilson) takes the answers of all folds for independent, which they nearly are.
        auc: how often a synthetic image gets a higher score than a real one. Scores of the folds' classifiers are taken
            together, which makes it a little too small where folds differ.
    """

    accuracy: Estimate
    auc: Estimate


def classify_origin(
    features: Sequence[Features], synthetic: Sequence[bool], groups: Sequence[object]
) -> OriginPrediction:
    """Estimate how well a linear classifier tells the origin of images that it was not fitted to.

    Args:
        features: of each image.
        synthetic: whether it is.
        groups: equal for images that must not be on both sides of a fold, such as copies.

    Raises:
        ValueError: the origins have not equally many images, or fewer than `MIN_IMAGES`.
    """
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    target = np.array(synthetic, dtype=np.int64)
    if 2 * target.sum() != len(target) or target.sum() < MIN_IMAGES:
        raise ValueError(f"need {MIN_IMAGES} or more images of each origin, as many of one as of the other")
    model = make_pipeline(DictVectorizer(sparse=False), StandardScaler(), LogisticRegression(C=PENALTY, max_iter=5000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    in_groups = [numbers[group] for group in groups]
    scores = cross_val_predict(model, list(features), target, groups=in_groups, cv=folds, method="decision_function")
    accuracy = wilson(int(((scores > 0) == target).sum()), len(target))
    return OriginPrediction(accuracy, auc(scores[target == 0], scores[target == 1]))
