"""How sure a classifier is, and whether that is as sure as it may be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import CONFIDENCE, Estimate, paired_difference

BINS = 15  # as in the metrics of a run


@dataclass(frozen=True)
class Calibration:
    """Confidence is the probability of the answer given, right or wrong.

    Attributes:
        confidence: its mean.
        overconfidence: its mean minus the accuracy; below 0 where a classifier is better than it believes.
        error: expected calibration error.
    """

    confidence: Estimate
    overconfidence: Estimate
    error: Estimate


def calibration(
    confidence: NDArray[np.float64], correct: NDArray[np.float64], level: float = CONFIDENCE
) -> Calibration:
    """Confidence and calibration over seeds and test images, with the intervals of `intervals.paired_difference`.

    Mean and overconfidence are means over images. The calibration error is one once the bins are given, see
    `error_parts`: its interval is that of the delta method. As an estimate it is too high where bins hold few images,
    which no interval shows (Kumar, A., Liang, P. S., Ma, T. (2019). Verified uncertainty calibration. NeurIPS); arms
    judged on the same images share that.

    Args:
        confidence: (seeds, images), each in [0, 1].
        correct: (seeds, images), 1 for a right answer.
        level: of the intervals.
    """
    # Around one half, so that the images that `paired_difference` adds have confidence 0 and 1.
    mean = paired_difference(confidence - 0.5, level, reach=0.5)
    parts = np.stack([error_parts(*seed) for seed in zip(confidence, correct, strict=True)])
    error = paired_difference(parts, level)
    return Calibration(
        Estimate(mean.value + 0.5, mean.low + 0.5, mean.high + 0.5),
        paired_difference(confidence - correct, level),
        Estimate(error.value, max(0.0, error.low), error.high),
    )


def error_parts(confidence: NDArray[np.float64], correct: NDArray[np.float64], bins: int = BINS) -> NDArray[np.float64]:
    """Each image's part in the expected calibration error, which is their mean.

    The error is the sum over bins of equal width of |sum of (confidence - correct)| / images (Guo, C., Pleiss, G., Sun,
    Y., Weinberger, K. Q. (2017). On calibration of modern neural networks. ICML), so an image's part is its confidence
    - correct, with the sign of its bin's sum. Bins are closed below, as in torchmetrics.

    Args:
        confidence: (images,) in [0, 1].
        correct: (images,), 1 for a right answer.
        bins: between 0 and 1.
    """
    gap = confidence - correct
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1))
    signs = np.sign(np.bincount(place, weights=gap, minlength=bins + 2))
    return np.asarray(signs[place] * gap, dtype=np.float64)
