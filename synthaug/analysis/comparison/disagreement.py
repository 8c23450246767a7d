"""Which test images the arms of a group disagree about, and which none of them recognises."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Group

MAJORITY = 0.5


@dataclass(frozen=True)
class Answer:
    """What the runs of one arm predict for one test image. `mistake` is the most frequent wrong class."""

    right: int
    runs: int
    mistake: str | None


@dataclass(frozen=True)
class HardImage:
    """A test image and, by arm, how it was predicted."""

    path: str
    label: str
    answers: Mapping[str, Answer]


def disputed(group: Group, limit: int) -> list[HardImage]:
    """Return images that most runs of one arm get right and most of another get wrong, the widest apart first.

    Among equals those come first about which the arms are most evenly split, then those earlier in the test set.

    Args:
        group: of a comparison.
        limit: the most images.
    """
    shares = _shares(group)
    if len(shares) < 2:
        return []
    apart = shares.max(axis=0) - shares.min(axis=0)
    rows = np.flatnonzero((shares.max(axis=0) > MAJORITY) & (shares.min(axis=0) < MAJORITY))
    order = sorted(rows, key=lambda row: (-apart[row], -shares[:, row].var(), row))
    return [_image(group, int(row)) for row in order[:limit]]


def never_right(group: Group) -> list[HardImage]:
    """Return images that no run of any arm gets right, in the order of the test set: hard, or labelled wrongly."""
    shares = _shares(group)
    if not len(shares):
        return []
    return [_image(group, int(row)) for row in np.flatnonzero(shares.max(axis=0) == 0)]


def _shares(group: Group) -> NDArray[np.float64]:
    """Compute the share of runs that are right, (arms, images)."""
    rows = [np.mean(list(runs.values()), axis=0) for runs in group.correct.values()]
    return np.array(rows, dtype=np.float64)


def _image(group: Group, row: int) -> HardImage:
    label = int(group.labels[row])
    predicted = {arm: [int(of_seed[row]) for of_seed in runs.values()] for arm, runs in group.predicted.items()}
    answers = {arm: _answer(guesses, label, group.class_names) for arm, guesses in predicted.items()}
    return HardImage(group.paths[row], group.class_names[label], answers)


def _answer(guesses: Sequence[int], label: int, names: Sequence[str]) -> Answer:
    wrong = Counter(guess for guess in guesses if guess != label)
    mistake = names[wrong.most_common(1)[0][0]] if wrong else None
    return Answer(len(guesses) - wrong.total(), len(guesses), mistake)
