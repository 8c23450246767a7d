"""Variance components of the difference of two arms, and the power of its interval over seeds and images.

The difference D[s, i] of seed s on image i (correct predictions of arm minus baseline: -1, 0 or 1) is modelled as the
sum of the true difference, a part of the seed, one of the image, and the rest, which belongs to both:

    variance of the mean over S seeds and n images = seed / S + image / n + rest / (S n)

More images leave the first part as it is, more seeds the second. It is the model of `intervals.paired_difference`;
used for planning by Hillis, S. L., Obuchowski, N. A., Berbaum, K. S. (2011). Power estimation for multireader ROC
methods: an updated and unified approach. Academic Radiology 18(2), 129-142.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded at their first use
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.inference.sample_size import bonett_price_power

STEPS = 64  # draws of the seeds' mean square, equally likely, over which power is averaged


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of the difference of two arms on one image, and how often disagreement repeats itself.

    Attributes:
        seed: between seeds, had the test set no end.
        image: between images, had the study no end of seeds.
        rest: what belongs to neither alone.
        repeated: on an image on which the arms disagree in one seed, the chance that they do in another.
    """

    seed: float
    image: float
    rest: float
    repeated: float

    def discordant(self, difference: float) -> float:
        """Return the share of the images that exactly one of two runs gets right, at this difference of the arms."""
        return self.seed + self.image + self.rest + difference * difference

    @property
    def image_share(self) -> float:
        """How much of the variance on images belongs to them whatever the seed, from 0 to 1."""
        both = self.image + self.rest
        return self.image / both if both else 0.0

    def at(self, difference: float) -> "VarianceComponents":
        """Return the components at this difference of the arms, who then disagree at least as often.

        What is missing to that is given to the images: the arm would lose the same ones in every seed.
        """
        missing = abs(difference) - self.discordant(difference)
        if missing <= 0:
            return self
        return VarianceComponents(self.seed, self.image + missing, self.rest, self.repeated)


def estimate_components(differences: NDArray[np.float64], repeated: float) -> VarianceComponents | None:
    """Estimate the components by analysis of variance, none below 0; None for one seed or one image.

    Args:
        differences: (seeds, images), each -1, 0 or 1.
        repeated: used where no image is discordant.
    """
    seeds, n = differences.shape
    if seeds < 2 or n < 2:
        return None
    of_seeds, of_images, mean = differences.mean(axis=1), differences.mean(axis=0), float(differences.mean())
    rest = float(np.square(differences - of_seeds[:, None] - of_images + mean).sum()) / ((seeds - 1) * (n - 1))
    discordant = np.square(differences).sum(axis=0)
    pairs = float((discordant * (discordant - 1)).sum()) / (seeds - 1)
    total = float(discordant.sum())
    return VarianceComponents(
        seed=max(float(np.var(of_seeds, ddof=1)) - rest / n, 0.0),
        image=max(float(np.var(of_images, ddof=1)) - rest / seeds, 0.0),
        rest=rest,
        repeated=pairs / total if total else repeated,
    )


def interval_power(
    difference: float, seeds: int, n: float, variances: VarianceComponents, alpha: float = ALPHA
) -> float:
    """Compute how often the interval of `intervals.paired_difference` leaves out 0.

    With one seed that is Bonett and Price's, added up exactly. With several, the mean is normal and the seeds' mean
    square chi-squared, over which the power is averaged. Two things make that true of answers that are right or wrong:
    the images that the interval adds, and that the variance which a study finds grows with the difference that it
    finds, as an arm that by chance loses more images disagrees more. Checked by simulation in the tests.

    Args:
        difference: true one, a fraction; its sign does not matter.
        seeds: of each arm.
        n: test images; may be infinite.
        variances: of the difference, at this difference.
        alpha: level of the test.
    """
    d = abs(difference)
    if seeds == 1:
        return bonett_price_power(min(1.0, max(variances.discordant(d), d)), d, int(n), alpha)
    spread = variances.image + variances.rest / seeds
    if math.isinf(n):  # only the seeds are left: a t test of their means
        mean, deviation = d, math.sqrt(variances.seed / seeds)
        of_seeds, fixed, of_images, with_seeds, with_images, least = variances.seed / seeds, 0.0, 0.0, 0.0, 0.0, 0.0
    else:
        longer = n + 2  # as paired_difference adds two images of +-sqrt(added)
        kept = n / longer
        added = spread / (variances.image + variances.rest) if spread else 1.0
        mean, deviation = kept * d, kept * math.sqrt(variances.seed / seeds + spread / n)
        fixed = kept * variances.rest / longer / seeds
        of_seeds = kept * kept * variances.seed / seeds + fixed
        least = 2 * added / longer / longer
        of_images = kept * (variances.image + (1 - kept) * d * d) / longer + least
        with_images, with_rest = _slopes(d, seeds, variances)
        with_images, with_seeds = with_images / longer, with_rest / longer / seeds
    steps = (np.arange(STEPS) + 0.5) / STEPS
    # Squared quantile of each part of the interval; the seeds' times what their mean square may come out as.
    seed_quantile = scipy.special.stdtrit(seeds - 1, 1 - alpha / 2) ** 2
    seed_quantile = seed_quantile * scipy.special.chdtri(seeds - 1, 1 - steps) / (seeds - 1)
    image_quantile = scipy.special.ndtri(1 - alpha / 2) ** 2
    parts = _limits(
        seed_quantile * of_seeds + image_quantile * of_images,
        seed_quantile * with_seeds + image_quantile * with_images,
        mean,
        image_quantile * least,
    )
    # Never narrower than the interval over the images alone, with the seeds as they are.
    alone = _limits(
        np.asarray(image_quantile * (of_images + fixed)),
        np.asarray(image_quantile * (with_images + with_seeds)),
        mean,
        image_quantile * least,
    )
    low, high = np.minimum(parts[0], alone[0]), np.maximum(parts[1], alone[1])
    if deviation == 0:
        return float(np.mean(mean > high))
    return float(np.mean(scipy.special.ndtr((mean - high) / deviation) + scipy.special.ndtr((low - mean) / deviation)))


def _limits(
    base: NDArray[np.float64], slope: NDArray[np.float64], mean: float, least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which estimates x 0 stays in the interval: there, x^2 <= base + slope (x - mean).

    The slope is no steeper than x = 0 allows, which leaves `least`: the images that are added.
    """
    if mean > 1e-9:  # no difference is as small, and the quotient would overflow
        slope = np.minimum(slope, (base - least) / mean)
    half = np.sqrt(np.maximum(slope * slope / 4 + base - slope * mean, 0))
    return slope / 2 - half, slope / 2 + half


def _slopes(d: float, seeds: int, variances: VarianceComponents) -> tuple[float, float]:
    """Return by how much the estimated variances of images and rest grow with the estimated mean: their regression.

    Third moments decide, of which studies tell little: images on which the arms disagree are thought to do so with
    probability `repeated`, and the arms to differ on them by as much as the variance of images asks for.
    """
    image, rest = variances.image, variances.rest
    if d == 0 or image + rest == 0:
        return 0.0, 0.0
    repeated = max(variances.repeated, variances.discordant(d))
    apart = min(repeated, (image + d * d) / d)
    noise = d * (repeated - apart * apart)  # of an image, times its difference: the mean over the images
    spread = image + rest / seeds
    of_images = apart * apart * d + 2 * noise / seeds - d * (3 * image + d * d) - 2 * d * rest / seeds
    of_rest = noise - d * rest + d * (1 - 3 * repeated + 2 * apart * apart) / seeds
    return of_images / spread, of_rest / spread
