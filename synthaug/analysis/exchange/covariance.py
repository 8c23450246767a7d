"""How the mean errors of arms vary together: over test images, which all arms answer, and over seeds.

The estimates are those of a crossed design of images and seeds. What is rare to see several times, the spread of one
arm's seeds, is pooled over arms; variances are functions of the error that the fitted curve gives, not of the one
measured, since else an arm that was lucky would count for more (Carroll, R. J., Ruppert, D. (1988). Transformation
and weighting in regression. Chapman and Hall).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.inference.intervals import cluster_means

Floats = NDArray[np.float64]

ROUNDING = 1e-9  # a deviation below it is none
VARIANCE_POWERS: Floats = np.linspace(0, 3, 13)  # a wide range: cut at the truth, the estimate would be biased


@dataclass(frozen=True)
class Variation:
    """What varies, estimated from all arms together.

    `seed_scale` and `seed_power` give the variance of a run's error: seed_scale * (error (1 - error)) ** seed_power;
    None where every arm has one seed.
    """

    n_images: float  # as many independent ones as there would be without near duplicates
    seeds: tuple[frozenset[int], ...]  # of each arm
    correlation: Floats  # (arms, arms) of the answers, over images
    within: float  # share of an answer's variance that is new with every seed
    seed_scale: float | None
    seed_power: float
    shared: float  # correlation of two arms' runs of the same seed
    seed_degrees: int  # of freedom behind `seed_scale`

    def covariance(self, error: Floats) -> Floats:
        """Compute the covariance of the arms' mean errors, if these are the true ones; positive definite."""
        least = 0.5 / (self.n_images + 1)  # an arm without a wrong answer is not known to be perfect
        error = np.clip(error, least, 1 - least)
        binomial = error * (1 - error)
        runs = np.array([len(seeds) for seeds in self.seeds], dtype=float)
        image = np.sqrt(binomial * (1 - self.within + self.within / runs) / self.n_images)
        of_images: Floats = self.correlation * np.outer(image, image)
        if self.seed_scale is None:
            return of_images
        run = self.seed_scale * binomial**self.seed_power
        # Those that are new with every seed are counted among the images already.
        single = np.maximum(run - self.within * binomial / self.n_images, 0.0) / runs
        together = [[len(first & second) / (len(first) * len(second)) for first in self.seeds] for second in self.seeds]
        common = self.shared * np.sqrt(np.outer(run, run)) * np.array(together)
        np.fill_diagonal(common, 0.0)
        # `single` may be smaller than what is shared: never let the sum lose its rank.
        diagonal = np.maximum(single, self.shared * run / runs)
        return np.asarray(of_images + common + np.diag(diagonal))


def errors(answers: Sequence[Values]) -> Floats:
    """Compute the mean error of each arm, over its seeds and images."""
    return np.array([1 - np.mean([right.mean() for right in arm.values()]) for arm in answers])


def variation(
    answers: Sequence[Values], clusters: NDArray[np.int64] | None = None, correlated: bool = True
) -> Variation:
    """Estimate what varies from the predictions of all arms on the same test images.

    Args:
        answers: for each arm, seed → right or wrong for each test image.
        clusters: of near duplicates among the test images, see `intervals.cluster_means`.
        correlated: whether the arms' correlation is estimated, which their variances do without.
    """
    images, answers = _independent(answers, clusters)
    means = np.array([1 - np.mean(list(arm.values()), axis=0) for arm in answers])
    binomial = means.mean(axis=1) * (1 - means.mean(axis=1)) * (means.shape[1] / images)
    several = [index for index, arm in enumerate(answers) if len(arm) > 1]
    new = sum(float(np.var(list(answers[index].values()), axis=0, ddof=1).mean()) for index in several)
    base = float(binomial[several].sum())
    within = min(max(new / base, 0.0), 1.0) if base > 0 else 0.0
    scale, power = _seed_variance(answers, several, means.mean(axis=1), images)
    return Variation(
        images,
        tuple(frozenset(arm) for arm in answers),
        _correlation(means) if correlated else np.eye(len(means)),
        within,
        scale,
        power,
        _shared(answers, several, means.mean(axis=1), scale, power, images),
        sum(len(answers[index]) - 1 for index in several),
    )


def _independent(answers: Sequence[Values], clusters: NDArray[np.int64] | None) -> tuple[float, Sequence[Values]]:
    """Return the number of independent images, and the answers by cluster.

    Clusters of different sizes weigh differently: their number is divided by how much more their answers vary than
    those of single images (the design effect of Kish, L. (1965). Survey sampling. Wiley).
    """
    images = len(next(iter(answers[0].values())))
    clustered = [{seed: cluster_means(right, clusters) for seed, right in arm.items()} for arm in answers]
    n_clusters = len(next(iter(clustered[0].values())))
    if n_clusters == images:
        return images, answers
    runs = [run for arm in clustered for run in arm.values()]
    variance = sum(float(np.var(run)) for run in runs)
    binomial = sum(float(run.mean() * (1 - run.mean())) for run in runs)
    return n_clusters / max(variance / binomial, 1.0) if binomial > 0 else n_clusters, clustered


def _correlation(means: Floats) -> Floats:
    """Correlation of arms over images, pulled towards one common correlation as far as few images demand.

    Ledoit, O., Wolf, M. (2004). Honey, I shrunk the sample covariance matrix. Journal of Portfolio Management 30(4),
    110-119; here as `towards_identity` in coordinates in which the common correlation is the identity.
    """
    arms = len(means)
    varying = np.flatnonzero(means.std(axis=1) > ROUNDING)
    centred = means[varying] - means[varying].mean(axis=1, keepdims=True)
    standard = centred / centred.std(axis=1, keepdims=True) if len(varying) else centred
    pairs = len(varying) * (len(varying) - 1)
    sample = standard @ standard.T / means.shape[1]
    common = float(np.clip((sample.sum() - np.trace(sample)) / pairs, 0.0, 0.98)) if pairs else 0.0
    target = np.full((arms, arms), common)
    np.fill_diagonal(target, 1.0)
    if not pairs:
        return target
    root = np.linalg.cholesky(target[np.ix_(varying, varying)])
    inner = root @ towards_identity(np.linalg.solve(root, standard)) @ root.T
    deviations = np.sqrt(np.diag(inner))
    # A little more of the target, for arms that few images cannot tell apart at all.
    kept = means.shape[1] / (means.shape[1] + arms)
    correlation = target.copy()
    correlation[np.ix_(varying, varying)] = inner / np.outer(deviations, deviations)
    return np.asarray(kept * correlation + (1 - kept) * target)


def towards_identity(centred: Floats) -> Floats:
    """Estimate a covariance, pulled towards a multiple of the identity.

    Ledoit, O., Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88(2), 365-411. As `sklearn.covariance.ledoit_wolf` has it, whose import takes a second of
    processor time, a third of a small report.

    Args:
        centred: (variables, observations).
    """
    variables, observations = centred.shape
    sample = centred @ centred.T / observations
    mean = float(np.trace(sample)) / variables
    apart = float(np.square(sample).sum()) - variables * mean**2
    noise = (
        float(np.square(np.square(centred).sum(axis=0)).sum()) / observations - float(np.square(sample).sum())
    ) / observations
    share = min(noise / apart, 1.0) if apart > 0 else 0.0
    return np.asarray((1 - share) * sample + share * mean * np.eye(variables))


def _seed_variance(
    answers: Sequence[Values], several: Sequence[int], error: Floats, images: float
) -> tuple[float | None, float]:
    """Scale and power of the variance of a run's error, by maximum likelihood of the arms' sample variances."""
    if not several:
        return None, 1.0
    least = 0.5 / (images + 1)
    mean = np.clip(error[several], least, 1 - least)
    binomial = mean * (1 - mean)
    sample = np.array([np.var([right.mean() for right in answers[i].values()], ddof=1) for i in several])
    degrees = np.array([len(answers[i]) - 1 for i in several])
    if sample.max() < ROUNDING**2:  # every run of an arm gets as many images right
        return 0.0, 1.0

    def scale(power: float) -> float:
        return float((degrees * sample / binomial**power).sum() / degrees.sum())

    def misfit(power: float) -> float:  # of scaled chi-squared variables, but for a constant
        expected = scale(power) * binomial**power
        return float((degrees * (np.log(expected) + sample / expected)).sum())

    power = min(map(float, VARIANCE_POWERS), key=misfit)
    return scale(power), power


def _shared(
    answers: Sequence[Values], several: Sequence[int], error: Floats, scale: float | None, power: float, images: float
) -> float:
    """Correlation of two arms' runs of the same seed, the mean over all pairs; at least 0."""
    if not scale:
        return 0.0
    seeds = sorted(set().union(*(answers[i] for i in several)))
    least = 0.5 / (images + 1)
    standard = np.full((len(several), len(seeds)), np.nan)
    for row, i in enumerate(several):
        mean = float(np.clip(error[i], least, 1 - least))
        deviation = np.sqrt(scale * (mean * (1 - mean)) ** power * (1 - 1 / len(answers[i])))
        for seed, right in answers[i].items():
            standard[row, seeds.index(seed)] = (1 - right.mean() - error[i]) / deviation
    present = np.isfinite(standard)
    filled = np.where(present, standard, 0.0)
    products = filled.sum(axis=0) ** 2 - (filled**2).sum(axis=0)
    pairs = present.sum(axis=0) * (present.sum(axis=0) - 1)
    return float(np.clip(products.sum() / pairs.sum(), 0.0, 0.9)) if pairs.sum() else 0.0
