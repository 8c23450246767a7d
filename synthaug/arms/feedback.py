"""Of which classes the next synthetic images are, by what a classifier trained on the arm so far gets wrong.

The images of an arm are made in rounds. Those of the first are spread over the classes as the mix has them; after each
round a classifier is trained on all images so far, and the next ones go to the classes in proportion to its score on
the real validation images: its error there, or its entropy, as in Hemmat, R. A. et al. (2023), Feedback-guided data
synthesis for imbalanced classification, arXiv:2310.00158. In the end the arm has as many images as without feedback.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from synthaug.arms.mixing import Counts, round_half_up
from synthaug.runs.prediction_files import Predictions

ERROR, ENTROPY = "error", "entropy"


@dataclass(frozen=True)
class Round:
    """One round of feedback.

    Attributes:
        synthetic: class → number of synthetic images that the classifier was trained on.
        scores: class → how much it needs further images.
        accuracy: of the classifier on the validation images.
    """

    synthetic: dict[str, int]
    scores: dict[str, float]
    accuracy: float


def class_scores(predictions: Predictions, by: str) -> dict[str, float]:
    """Return class → how much it needs further images; above 0.

    Args:
        predictions: of real validation images.
        by: `ERROR`: the share of them that is wrong, where half an image is added to either side, so that a class
            without errors is not left out altogether; `ENTROPY`: mean entropy of the probabilities in nats.
    """
    if by == ENTROPY:
        probabilities = np.clip(predictions.probabilities, 1e-12, 1)
        values = -(probabilities * np.log(probabilities)).sum(axis=1)
    else:
        values = (predictions.predicted != predictions.labels).astype(np.float64)
    scores = {}
    for label, name in enumerate(predictions.classes):
        of_class = values[predictions.labels == label]
        score = of_class.mean() if by == ENTROPY else (of_class.sum() + 0.5) / (len(of_class) + 1)
        scores[name] = max(float(score), 1e-9)
    return scores


def allocate(images: int, weights: Mapping[str, float], limits: Mapping[str, int]) -> dict[str, int]:
    """Spread images over classes in proportion to weights, by largest remainders.

    Args:
        images: how many; where the limits allow fewer, as many as those.
        weights: class → number of at least 0.
        limits: class → the most that it can have; what it cannot have goes to the others.
    """
    allocated = dict.fromkeys(weights, 0)
    while missing := min(images, sum(limits[name] for name in weights)) - sum(allocated.values()):
        free = [name for name in weights if allocated[name] < limits[name]]
        exact = {name: Fraction(weights[name]) for name in free}
        if not any(exact.values()):  # only classes that the weights leave out have images left
            exact = dict.fromkeys(free, Fraction(1))
        shares = {name: missing * weight / sum(exact.values()) for name, weight in exact.items()}
        by_remainder = sorted(free, key=lambda name: int(shares[name]) - shares[name])
        left_over = missing - sum(map(int, shares.values()))
        for place, name in enumerate(by_remainder):
            allocated[name] = min(allocated[name] + int(shares[name]) + (place < left_over), limits[name])
    return allocated


def next_counts(
    class_counts: Mapping[str, Counts], rounds: int, done: Sequence[Round], limits: Mapping[str, int]
) -> dict[str, Counts]:
    """Return the counts of the round after those that are done; after the last round, those of the arm.

    In the first one, classes without real images have one synthetic image at least: no classifier lacks a class.

    Args:
        class_counts: class → counts of the mix.
        rounds: number of parts in which its synthetic images are made.
        done: the rounds so far, `rounds - 1` at most.
        limits: class → the most synthetic images that there can be.
    """
    total = sum(count.synthetic for count in class_counts.values())
    target = round_half_up(Fraction(total * (len(done) + 1), rounds))
    if not done:
        of_mix = {name: float(count.synthetic) for name, count in class_counts.items()}
        least = {name: int(count.real == 0 and count.synthetic > 0) for name, count in class_counts.items()}
        rest = {name: limits[name] - least[name] for name in class_counts}
        further = allocate(max(target - sum(least.values()), 0), of_mix, rest)
        synthetic = {name: least[name] + further[name] for name in class_counts}
    else:
        last = done[-1]
        rest = {name: limits[name] - last.synthetic[name] for name in class_counts}
        further = allocate(max(target - sum(last.synthetic.values()), 0), last.scores, rest)
        synthetic = {name: last.synthetic[name] + further[name] for name in class_counts}
    return {name: Counts(count.real, synthetic[name]) for name, count in class_counts.items()}


def as_json(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """Return rounds as `feedback.json` and `result.json` have them."""
    return [asdict(finished) for finished in rounds]


def play(
    class_counts: Mapping[str, Counts],
    rounds: int,
    done: Sequence[Round],
    limits: Mapping[str, int],
    train: Callable[[int, Mapping[str, Counts]], Round],
) -> tuple[dict[str, Counts], list[Round]]:
    """Return the counts of the arm after all rounds of feedback, and the rounds.

    Args:
        class_counts: class → counts of the mix.
        rounds: number of parts in which its synthetic images are made.
        done: rounds that were finished earlier.
        limits: class → the most synthetic images that there can be.
        train: trains a classifier on the counts of a round, which is numbered from 1, and records it.
    """
    played = list(done)[: rounds - 1]
    while len(played) < rounds - 1:
        played.append(train(len(played) + 1, next_counts(class_counts, rounds, played, limits)))
    return next_counts(class_counts, rounds, played, limits), played
