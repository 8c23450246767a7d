"""The difference of two arms where every image is a test image once, in one of K folds.

Each image is tested by networks that were trained on the images of the other folds. Two things are then unlike a study
with one split. The images are training images too: another sample of them would train other networks, in all folds, as
any two training sets share (K - 2) / (K - 1) of their images. And each fold has runs of its own. The first cannot be
estimated from the folds, whose means hardly vary by it: no unbiased estimator of the variance of cross-validation
exists (Bengio, Y., Grandvalet, Y. (2004). JMLR 5, 1089-1105). Nadeau and Bengio's correction allows for it by a
factor: 1 / K + n_test / n_train in place of 1 / K. They apply it to the variance between folds, known by K - 1 degrees
of freedom; here it is applied to the variance between images, of which there are many, and to what the runs add to it.
"""

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import (
    CONFIDENCE,
    Difference,
    Estimate,
    MeanVariance,
    VarianceComponent,
    added_image,
    difference_around,
    effective_wilson,
    wilson,
)


def fold_difference(
    differences: NDArray[np.float64], folds: NDArray[np.int64], confidence: float = CONFIDENCE, reach: float = 1.0
) -> Difference:
    """Estimate the mean difference over images, runs and training sets of (K - 1) / K of the images.

    Its `seeds` are the runs of each arm, folds times seeds: with one seed, the folds tell how much runs differ, if each
    has weights and order of its own (`folds_mean_variance`).

    Nadeau, C., Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52(3), 239-281.

    Args:
        differences: (seeds, images), right answers of an arm minus those of another that was trained on the same folds.
        folds: (images,), in which each image is tested; near duplicates in the same.
        confidence: of the interval.
        reach: the largest difference there could be.

    Raises:
        ValueError: there are fewer than two folds, or no image for one of the numbers.
    """
    centre, variance = folds_mean_variance(differences, folds, reach)
    runs = len(differences) * len(np.unique(folds))
    return difference_around(float(differences.mean()), float(centre), variance, runs, confidence, reach)


def fold_accuracy(correct: NDArray[np.float64], folds: NDArray[np.int64], confidence: float = CONFIDENCE) -> Estimate:
    """Estimate an arm's accuracy over images, runs and training sets of (K - 1) / K of the images.

    Wilson's interval with the number of images that a simple random sample would need for the width, as
    `intervals.accuracy_over_seeds`; its end towards 1/2 is no nearer than with as many images as the factor leaves.

    Args:
        correct: (seeds, images), 1 for a right answer; or means of clusters, see `intervals.cluster_means`.
        folds: (images,), in which each image is tested.
        confidence: of the interval.
    """
    p = float(correct.mean())
    images = max(1.0, correct.shape[1] / _overlap(folds))
    if p in (0.0, 1.0):
        return wilson(p * images, images, confidence)
    half = float(_variance(correct, folds, np.zeros(())).half_width(1 - confidence))
    return effective_wilson(p, half, images, float(correct.size), confidence)


def cluster_folds(folds: NDArray[np.int64], clusters: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the fold of each cluster of near duplicates, in the order of `intervals.cluster_means`.

    Args:
        folds: (images,), in which each image is tested.
        clusters: number of each image's cluster; None: each is one of its own.

    Raises:
        ValueError: a cluster has images in several folds, so that networks are tested on what they were trained on.
    """
    if clusters is None:
        return folds
    numbers, first, members = np.unique(clusters, return_index=True, return_inverse=True)
    if (folds[first][members] != folds).any():
        raise ValueError("near duplicates are in different folds: one fold must have all images of a cluster")
    return folds if len(numbers) == len(folds) else np.asarray(folds[first])


def folds_mean_variance(
    differences: NDArray[np.float64], folds: NDArray[np.int64], reach: float = 1.0
) -> tuple[NDArray[np.float64], MeanVariance]:
    """Compute the centre of `fold_difference` and its variance, for one table or for many at once.

    Components: the images within folds, with Nadeau and Bengio's factor; and the runs. Of several seeds, runs are known
    by K (S - 1) degrees of freedom, the variance between seeds within folds, or by that of the seeds' means where it is
    larger (a seed that is bad in all folds); of one seed by K - 1, what folds vary by more than their images explain.

    Args:
        differences: (..., seeds, images).
        folds: (images,).
        reach: the largest difference there could be.
    """
    seeds, images = differences.shape[-2:]
    centre = differences.sum(axis=(-2, -1)) / seeds / (images + 2)
    return centre, _variance(differences, folds, added_image(differences, reach))


def _variance(tables: NDArray[np.float64], folds: NDArray[np.int64], added: NDArray[np.float64]) -> MeanVariance:
    """Of the mean of tables (..., seeds, images) and two images of plus and minus `added`."""
    numbers, of_image = np.unique(folds, return_inverse=True)
    seeds, images = tables.shape[-2:]
    count = len(numbers)
    if count < 2 or of_image.shape != (images,):
        raise ValueError(f"need two folds or more and the fold of each of {images} images, got {folds}")
    indicator = (of_image == np.arange(count)[:, None]).astype(np.float64)
    means = tables @ (indicator / indicator.sum(axis=1, keepdims=True)).T  # (..., seeds, folds)
    deviations = tables.mean(axis=-2) - means.mean(axis=-2)[..., of_image]
    within = np.square(deviations).sum(axis=-1) * images / max(images - count, 1) + 2 * np.square(added)
    single = within / (images + (2 if added.any() else 0)) ** 2
    if seeds > 1:
        of_runs = means.var(axis=-2, ddof=1).mean(axis=-1) / count
        of_seeds = means.mean(axis=-1).var(axis=-1, ddof=1)
        runs = VarianceComponent(np.maximum(of_runs, of_seeds) / seeds, count * (seeds - 1))
    else:
        of_folds = means[..., 0, :].var(axis=-1, ddof=1) / count
        runs = VarianceComponent(np.maximum(of_folds - single, 0) * _overlap(folds), count - 1)
    return MeanVariance(VarianceComponent(single), (runs, VarianceComponent(_overlap(folds) * single)))


def _overlap(folds: NDArray[np.int64]) -> float:
    """Return K (1 / K + n_test / n_train), the factor of the images' variance."""
    count = len(np.unique(folds))
    return 1 + count / (count - 1)
