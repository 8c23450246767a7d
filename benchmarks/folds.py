"""Simulate the interval of two arms in K folds, where training sets overlap: with classifiers that learn, and additive.

Images are points of two classes with two blocks of features, which tell as much; one arm sees the first block, the
other the second or half of it. Or they are handwritten digits, even or odd, of which an arm sees the left half or the
right. What two arms truly differ by at this number of training images is the mean over all studies of a cell. In the
additive truth, runs move accuracy, and each training image adds a part of its own to the networks trained on it.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import scipy
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.truth import Array
from synthaug.analysis.inference.folds import fold_accuracy, folds_mean_variance
from synthaug.analysis.inference.intervals import ALPHA, paired_mean_variance

STUDIES = 1000
CHUNK = 100
FEATURES = 10
DISTANCE = 1.2  # of each class's mean from the middle, in deviations: 88 % with infinitely many images
HIDDEN = 30
ACCURACY = 0.95
Folds = NDArray[np.int64]  # of each image
EFFECTS = ((0.0, 0.0, 0.0), (0.006, 0.0, 0.0), (0.006, 0.003, 0.0), (0.012, 0.003, 0.0), (0.006, 0.003, 0.006))
# Numbers of studies and images, random numbers -> what each of two arms sees (studies, images, features).
Points = Callable[[int, int, np.random.Generator], tuple[Array, Array]]
# Training points, their classes (-1, 1), test points (studies, images, features), random numbers -> predicted classes.
Learner = Callable[[Array, Array, Array, np.random.Generator], Array]


def ridge(train: Array, classes: Array, test: Array, _random: np.random.Generator) -> Array:
    """Classify by least squares with a ridge."""
    learnt, inputs = (np.concatenate([part, np.ones((*part.shape[:2], 1))], axis=2) for part in (train, test))
    products = learnt.transpose(0, 2, 1) @ learnt + np.eye(inputs.shape[2])
    weights = np.linalg.solve(products, learnt.transpose(0, 2, 1) @ classes[:, None])
    return np.asarray(np.sign((inputs @ weights)[..., 0]))


def random_features(train: Array, classes: Array, test: Array, random: np.random.Generator) -> Array:
    """Classify by least squares on a random hidden layer, another one in every run."""
    weights = random.standard_normal((len(train), train.shape[2], HIDDEN)) / np.sqrt(train.shape[2])
    biases = random.standard_normal((len(train), 1, HIDDEN))
    return ridge(np.maximum(train @ weights + biases, 0), classes, np.maximum(test @ weights + biases, 0), random)


def neighbours(train: Array, classes: Array, test: Array, _random: np.random.Generator) -> Array:
    """Classify by the three nearest training images."""
    distances = np.square(train).sum(axis=2)[:, None] - 2 * test @ train.transpose(0, 2, 1)
    nearest = np.argpartition(distances, 3, axis=2)[..., :3]
    return np.asarray(np.sign(classes[nearest].sum(axis=2)))


def best_feature(train: Array, classes: Array, test: Array, _random: np.random.Generator) -> Array:
    """Classify by the single feature that separates the classes best, an unstable choice."""
    apart = (train * classes[:, None]).mean(axis=1)
    chosen = np.abs(apart).argmax(axis=1)[:, None]
    values = np.take_along_axis(test, chosen[:, None], axis=2)[..., 0]
    middle = np.take_along_axis(train.mean(axis=1), chosen, axis=1)
    return np.asarray(np.sign((values - middle) * np.take_along_axis(apart, chosen, axis=1)))


LEARNERS: dict[str, tuple[Learner, tuple[int, ...]]] = {
    "ridge": (ridge, (1,)),
    "random features": (random_features, (1, 2, 3)),
    "three neighbours": (neighbours, (1,)),
    "best feature": (best_feature, (1,)),
}


def _classes(images: int) -> Array:
    return np.where(np.arange(images) % 2, 1.0, -1.0)


def blocks(features: int) -> Points:
    """Draw normal points, of which the first arm sees `FEATURES` features and the second as many others, or fewer."""

    def draw(studies: int, images: int, random: np.random.Generator) -> tuple[Array, Array]:
        points = random.standard_normal((studies, images, 2 * FEATURES))
        points += _classes(images)[:, None] * DISTANCE / np.sqrt(FEATURES)
        return points[..., :FEATURES], points[..., FEATURES : FEATURES + features]

    return draw


def digit_halves(studies: int, images: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Draw handwritten digits, even and odd by turns; the first arm sees the left half, the second the right.

    Args:
        studies: their number.
        images: of each study, no digit twice.
        random: source of random numbers.
    """
    pixels, digits = load_digits(return_X_y=True)
    squares = np.asarray(pixels / 8 - 1).reshape(-1, 8, 8)
    rows = np.empty((studies, images), dtype=np.int64)
    for rest in (0, 1):
        members = np.flatnonzero(digits % 2 == rest)
        rows[:, rest::2] = [random.permutation(members)[: images // 2] for _ in range(studies)]
    left, right = (half.reshape(len(squares), -1)[rows] for half in (squares[:, :, :4], squares[:, :, 4:]))
    return left, right


def learnt(
    learner: Learner, points: Points, folds: Folds, seeds: int, studies: int, random: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Yield correct answers (studies, arms, seeds, images) of two arms that learn.

    Args:
        learner: of both arms.
        points: what either arm sees.
        folds: (images,).
        seeds: of each arm.
        studies: their number.
        random: source of random numbers.
    """
    images = len(folds)
    classes = _classes(images)
    for start in range(0, studies, CHUNK):
        part = min(CHUNK, studies - start)
        seen = points(part, images, random)
        correct = np.empty((part, 2, seeds, images), dtype=bool)
        for seed, fold in itertools.product(range(seeds), np.unique(folds)):
            train, test = folds != fold, folds == fold
            for arm, block in enumerate(seen):
                predicted = learner(block[:, train], classes[train], block[:, test], random)
                correct[:, arm, seed, test] = predicted == classes[test]
        yield correct


def additive(
    folds: Folds, seeds: int, studies: int, effects: tuple[float, float, float], random: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Yield correct answers (studies, arms, seeds, images) of two equal arms, of the model of `benchmarks.truth`.

    Args:
        folds: (images,).
        seeds: of each arm.
        studies: their number.
        effects: deviation of an arm's accuracy by the run, by the training set, and by a seed in all its folds.
        random: source of random numbers.
    """
    images, count = len(folds), len(np.unique(folds))
    level = scipy.special.ndtri(ACCURACY)
    of_run, of_training, of_seed = np.array(effects) / np.exp(-(level**2) / 2) * np.sqrt(2 * np.pi)
    shared = (count - 2) / (count - 1)  # of the images of two training sets
    for start in range(0, studies, CHUNK):
        part = min(CHUNK, studies - start)

        def normal(arms: int, repeats: int, numbers: int, part: int = part) -> Array:
            return np.asarray(random.standard_normal((part, arms, repeats, numbers)))

        effect = of_run * normal(2, seeds, count) + of_seed * normal(2, seeds, 1)
        effect += of_training * (np.sqrt(1 - shared) * normal(2, 1, count) + np.sqrt(shared) * normal(2, 1, 1))
        ease = (
            np.sqrt(0.85) * normal(1, 1, images) + 0.1 * normal(2, 1, images) + np.sqrt(0.14) * normal(2, seeds, images)
        )
        yield level + ease + effect[..., folds] > 0


Cell = tuple[str, Folds, tuple[int, ...], Iterator[NDArray[np.bool_]]]


def cells(random: np.random.Generator, studies: int) -> Iterator[Cell]:
    """Yield truth, fold of each image, numbers of seeds, and the answers with the most seeds.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    halves, equal = "half of the features", "equal arms"
    shapes = (
        (equal, blocks(FEATURES), 100, 5),
        (equal, blocks(FEATURES), 400, 5),
        (equal, blocks(FEATURES), 400, 10),
        (halves, blocks(FEATURES // 2), 400, 5),
        ("handwritten digits", digit_halves, 200, 5),
    )
    for (name, (learner, seeds)), (what, points, images, count) in itertools.product(LEARNERS.items(), shapes):
        numbers = np.asarray(np.arange(images) // 2 % count, dtype=np.int64)  # both classes in every fold
        yield f"{name}, {what}", numbers, seeds, learnt(learner, points, numbers, max(seeds), studies, random)
    for effects, count in itertools.product(EFFECTS, (5, 10)):
        run, training, seed = (f"{100 * effect:g}" for effect in effects)
        numbers = np.asarray(np.arange(1600) % count, dtype=np.int64)
        words = f"runs ±{run}, training set ±{training}, seed ±{seed} points"
        yield words, numbers, (1, 2, 3), additive(numbers, 3, studies, effects, random)


def folds(random: np.random.Generator, studies: int = STUDIES) -> Iterator[Mapping[str, str | float]]:
    """Yield a row for each truth and number of seeds.

    Args:
        random: source of random numbers.
        studies: number of studies in each cell.
    """
    for name, numbers, all_seeds, parts in cells(random, studies):
        correct = np.concatenate(list(parts))
        differences = correct[:, 1].astype(np.float64) - correct[:, 0]
        truth = 0.0 if "equal" in name or "points" in name else float(differences.mean())
        for seeds in all_seeds:
            count, images = len(np.unique(numbers)), len(numbers)
            cell: dict[str, str | float] = {"truth": name, "folds": count, "seeds": seeds, "images": images}
            rates = _rates(differences[:, :seeds], numbers, truth)
            yield cell | rates | {"accuracy covers, %": _accuracy_covers(correct[:, 0, :seeds], numbers)}


def _rates(differences: Array, numbers: Folds, truth: float) -> dict[str, float]:
    means = differences.mean(axis=(1, 2))
    methods = {
        "crossed": paired_mean_variance(differences),
        "folds": folds_mean_variance(differences, numbers),
    }
    halves = {name: (centre, spread.half_width()) for name, (centre, spread) in methods.items()}
    halves["corrected t"] = means, _corrected_t(differences, numbers)
    ideal = 1.96 * max(float(means.std()), 1e-9)
    names = ("crossed", "corrected t", "folds")
    covered = {f"{name} covers, %": np.abs(halves[name][0] - truth) <= halves[name][1] + 1e-12 for name in names}
    rates = {name: round(100 * float(held.mean()), 1) for name, held in covered.items()}
    return rates | {f"{name}, width / ideal": round(float(halves[name][1].mean()) / ideal, 2) for name in names}


def _accuracy_covers(correct: NDArray[np.bool_], numbers: Folds) -> float:
    """Coverage of the first arm's accuracy, the true one being the mean over the studies."""
    estimates = [fold_accuracy(study.astype(np.float64), numbers) for study in correct]
    truth = float(correct.mean())
    return round(100 * float(np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])), 1)


def _corrected_t(differences: Array, numbers: Folds) -> Array:
    """Half width of Nadeau and Bengio's interval."""
    count = len(np.unique(numbers))
    of_folds = np.stack([differences[..., numbers == fold].mean(axis=(1, 2)) for fold in range(count)])
    factor = 1 / count + 1 / (count - 1)
    quantile = scipy.special.stdtrit(count - 1, 1 - ALPHA / 2)
    return np.asarray(quantile * np.sqrt(factor * of_folds.var(axis=0, ddof=1)))
