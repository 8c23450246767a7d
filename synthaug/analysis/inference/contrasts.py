"""From the answers of two arms to what can be said about their difference."""

import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.folds import cluster_folds, fold_difference
from synthaug.analysis.inference.hypothesis_tests import holm
from synthaug.analysis.inference.intervals import Difference, cluster_means, paired_difference, unpaired_difference
from synthaug.analysis.inference.shared_seeds import SharedSeedVariance, borrowed_difference, shared_seed_variance

# Seed -> one number per test image: 1 for a right answer, or an image's part in a metric.
Values = Mapping[int, NDArray[np.float64]]


def right(predicted: Mapping[int, NDArray[np.int64]], labels: NDArray[np.int64]) -> Values:
    """Mark correct predictions by 1 and wrong ones by 0: their mean is the accuracy.

    Args:
        predicted: seed -> class numbers, (images,).
        labels: true class numbers, (images,).
    """
    return {seed: (of_seed == labels).astype(np.float64) for seed, of_seed in predicted.items()}


def macro_f1_parts(predicted: Mapping[int, NDArray[np.int64]], labels: NDArray[np.int64], classes: int) -> Values:
    """Compute each test image's part in the macro F1: jackknife pseudo-values, shifted to have it as their mean.

    n F - (n - 1) F without the image: as Dorfman, Berbaum and Metz (see `intervals.paired_difference`) treat any metric
    of cases. Classes that are neither labels nor predictions do not count, as in torchmetrics.

    Args:
        predicted: seed -> class numbers, (images,).
        labels: true class numbers, (images,).
        classes: number of classes.
    """
    return {seed: _f1_parts(of_seed, labels, classes) for seed, of_seed in predicted.items()}


def _f1_parts(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    hit = predicted == labels
    hits = np.bincount(labels[hit], minlength=classes)
    size = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    f1 = 2 * hits / np.maximum(size, 1)
    total, counted, n = float(f1.sum()), int((size > 0).sum()), len(labels)
    if n == 1:
        return np.array([total / counted])
    # Without a correct image its class loses two of its size and one hit; without a wrong one, two classes lose one.
    for index in (labels, predicted):
        left = size[index] - 1 - hit
        changed = 2 * (hits[index] - hit) / np.maximum(left, 1) - f1[index]
        part = np.where(hit, 0.5, 1.0)  # a correct image is met in both passes
        total = total + part * changed
        counted = counted - part * (left == 0)
    parts = n * f1.sum() / (size > 0).sum() - (n - 1) * total / counted
    return np.asarray(parts - parts.mean() + f1.sum() / (size > 0).sum())


def difference(
    first: Values,
    second: Values,
    rows: NDArray[np.int64] | None = None,
    clusters: NDArray[np.int64] | None = None,
    folds: NDArray[np.int64] | None = None,
) -> Difference:
    """Estimate first minus second, over the seeds that both have, or over all seeds of each where they share none.

    Args:
        first: values of at least one seed.
        second: values of at least one seed.
        rows: the test images that count; all of them by default.
        clusters: of near duplicates among all test images, see `intervals.cluster_means`.
        folds: of all test images, where each was tested in one of several folds, see `folds.fold_difference`.
    """
    kept = slice(None) if rows is None else rows
    clusters = None if clusters is None else clusters[kept]
    shared = sorted(set(first) & set(second))
    if not shared and folds is None:
        table, reference = (
            cluster_means(np.stack([arm[seed][kept] for seed in sorted(arm)]), clusters) for arm in (first, second)
        )
        return unpaired_difference(table, reference)
    if shared:
        values = np.stack([first[seed][kept] - second[seed][kept] for seed in shared])
    else:  # what runs of other seeds vary by is seen between the folds
        means = [np.mean([*arm.values()], axis=0)[kept] for arm in (first, second)]
        values = np.asarray(means[0] - means[1])[None]
    if folds is None:
        return paired_difference(cluster_means(values, clusters))
    return fold_difference(cluster_means(values, clusters), cluster_folds(folds[kept], clusters))


def borrowed_differences(
    pairs: Sequence[tuple[Values, Values]], arms: Sequence[Values], clusters: NDArray[np.int64] | None = None
) -> tuple[SharedSeedVariance | None, list[Difference | None]]:
    """Estimate first minus second of each pair with the seeds' variance of all arms, from the seeds that all have.

    Args:
        pairs: of values, each of one of the arms.
        arms: all of the study; none twice.
        clusters: of near duplicates among the test images.

    Returns:
        The shared variance, None where there are too few arms or seeds in common, and the differences over the seeds of
        each pair: None where there is no shared variance, or the arms do not vary alike.
    """
    seeds = sorted(set.intersection(*map(set, arms))) if arms else []
    shared = None
    if len(seeds) > 1:
        answers = np.stack([[arm[seed] for seed in seeds] for arm in arms])
        shared = shared_seed_variance(cluster_means(answers, clusters))
    if shared is None or shared.homogeneity.is_rejected:
        return shared, [None] * len(pairs)
    tables = [
        np.stack([first[seed] - second[seed] for seed in sorted(set(first) & set(second))]) for first, second in pairs
    ]
    return shared, [borrowed_difference(cluster_means(table, clusters), shared) for table in tables]


def class_differences(
    first: Values,
    second: Values,
    labels: NDArray[np.int64],
    classes: int,
    clusters: NDArray[np.int64] | None = None,
    folds: NDArray[np.int64] | None = None,
) -> list[Difference | None]:
    """Estimate first minus second on the test images of each class, p values adjusted by Holm over the classes.

    Args:
        first: values of at least one seed.
        second: values of at least one seed.
        labels: true class numbers, (images,).
        classes: number of classes; None in the result for one without a test image, or with all of them in one fold.
        clusters: of near duplicates among the test images.
        folds: in which each image was tested.
    """
    rows = [np.flatnonzero(labels == label) for label in range(classes)]
    tested = [len(of_class) > 0 and (folds is None or len(set(folds[of_class])) > 1) for of_class in rows]
    return adjusted(
        difference(first, second, of_class, clusters, folds) if is_tested else None
        for of_class, is_tested in zip(rows, tested, strict=True)
    )


def contrast(
    weights: Sequence[float],
    arms: Sequence[Values],
    clusters: NDArray[np.int64] | None = None,
    folds: NDArray[np.int64] | None = None,
) -> Difference | None:
    """Estimate the weighted sum of arms' means, paired by test image and seed; None where no seed is in all arms.

    Args:
        weights: of each arm; they add up to 0.
        arms: values of each, in the same order.
        clusters: of near duplicates among the test images.
        folds: in which each image was tested.
    """
    seeds = sorted(set.intersection(*map(set, arms))) if arms else []
    if not seeds:
        return None
    values = np.stack([sum(w * arm[seed] for w, arm in zip(weights, arms, strict=True)) for seed in seeds])
    reach = sum(weight for weight in weights if weight > 0)
    if folds is not None:
        return fold_difference(cluster_means(values, clusters), cluster_folds(folds, clusters), reach=reach)
    return paired_difference(cluster_means(values, clusters), reach=reach)


@dataclasses.dataclass(frozen=True)
class MainEffect:
    """A level of a factor against another, averaged over everything else that varies in a study.

    Attributes:
        first, second: levels; the difference is first minus second.
        cells: settings of everything else in which there are both, each of which counts alike.
        difference: p value adjusted over the levels' pairs.
    """

    first: Hashable
    second: Hashable
    cells: int
    difference: Difference


def main_effects(
    levels: Sequence[Hashable],
    cells: Sequence[Hashable],
    arms: Sequence[Values],
    clusters: NDArray[np.int64] | None = None,
    looks: int = 1,
    folds: NDArray[np.int64] | None = None,
) -> list[MainEffect]:
    """Estimate the main effects of a factor: every pair of levels that at least two cells have, in their order.

    Args:
        levels: of the factor, of each arm.
        cells: setting of everything else, of each arm; no two arms have both in common.
        arms: values of each.
        clusters: of near duplicates among the test images.
        looks: see `adjusted`.
        folds: in which each image was tested.

    Raises:
        ValueError: two arms have one level and one cell.
    """
    places = dict(zip(zip(levels, cells, strict=True), arms, strict=True))
    if len(places) < len(arms):
        raise ValueError("two arms have the same level and the same cell: something else differs between them")
    effects = []
    for first, second in itertools.combinations(dict.fromkeys(levels), 2):
        shared = [cell for cell in dict.fromkeys(cells) if (first, cell) in places and (second, cell) in places]
        if len(shared) < 2:
            continue
        pairs = [places[level, cell] for level in (first, second) for cell in shared]
        weights = [1 / len(shared)] * len(shared) + [-1 / len(shared)] * len(shared)
        difference = contrast(weights, pairs, clusters, folds)
        if difference is not None:
            effects.append(MainEffect(first, second, len(shared), difference))
    corrected = adjusted([effect.difference for effect in effects], looks)
    return [
        dataclasses.replace(effect, difference=item)
        for effect, item in zip(effects, corrected, strict=True)
        if item is not None
    ]


def slope(
    shares: Sequence[float],
    arms: Sequence[Values],
    per: float,
    clusters: NDArray[np.int64] | None = None,
    folds: NDArray[np.int64] | None = None,
) -> Difference | None:
    """Estimate the least squares slope of arms' means over their synthetic shares, as a contrast.

    None where there are fewer than three distinct shares, or no seed that all arms have.

    Args:
        shares: synthetic share of each arm.
        arms: values of each, in the same order.
        per: the slope is per this difference of shares.
        clusters: of near duplicates among the test images.
        folds: in which each image was tested.
    """
    if len(set(shares)) < 3:
        return None
    x = np.asarray(shares) - np.mean(shares)
    return contrast((per * x / np.square(x).sum()).tolist(), arms, clusters, folds)


def adjusted(differences: Iterable[Difference | None], looks: int = 1) -> list[Difference | None]:
    """Return the differences with p values corrected for their number and for the looks at the study.

    Holm's correction over those that have a p value, times the number of looks (Bonferroni): whoever reports after
    every further seed, until something shows, otherwise finds something in a study without any difference.

    Args:
        differences: one family; None stays None.
        looks: at numbers of seeds that the study was reported with.
    """
    listed = list(differences)
    p_values = iter(holm([item.p_value for item in listed if item is not None and item.p_value is not None]))
    return [
        item
        if item is None or item.p_value is None
        else dataclasses.replace(item, adjusted_p=min(1.0, looks * next(p_values)))
        for item in listed
    ]
