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
    """What the runs of one arm said of one test image. `mistake` is the wrong class that most of the others named."""

    right: int
    runs: int
    mistake: str | None


@dataclass(frozen=True)
class HardImage:
    """A test image and, by arm, how it was answered."""

    path: str
    label: str
    answers: Mapping[str, Answer]


def disputed(group: Group, limit: int) -> list[HardImage]:
    """Images that most runs of one arm get right and most runs of another get wrong; the widest apart first.

    Among equals those come first about which the arms are most evenly split, then those earlier in the test set.
    """
    shares = _shares(group)
    if len(shares) < 2:
        return []
    apart = shares.max(axis=0) - shares.min(axis=0)
    found = np.flatnonzero((shares.max(axis=0) > MAJORITY) & (shares.min(axis=0) < MAJORITY))
    order = sorted(found, key=lambda place: (-apart[place], -shares[:, place].var(), place))
    return [_image(group, int(place)) for place in order[:limit]]


def never_right(group: Group) -> list[HardImage]:
    """Images that no run of any arm gets right, in the order of the test set: hard, or labelled wrongly."""
    shares = _shares(group)
    if not len(shares):
        return []
    return [_image(group, int(place)) for place in np.flatnonzero(shares.max(axis=0) == 0)]


def _shares(group: Group) -> NDArray[np.float64]:
    """Share of runs that are right, (arms, images)."""
    rows = [np.mean([given == group.labels for given in runs.values()], axis=0) for runs in group.predicted.values()]
    return np.array(rows, dtype=np.float64)


def _image(group: Group, place: int) -> HardImage:
    label = int(group.labels[place])
    said = {arm: [int(given[place]) for given in runs.values()] for arm, runs in group.predicted.items()}
    answers = {arm: _answer(given, label, group.class_names) for arm, given in said.items()}
    return HardImage(group.paths[place], group.class_names[label], answers)


def _answer(given: Sequence[int], label: int, names: Sequence[str]) -> Answer:
    wrong = Counter(guess for guess in given if guess != label)
    mistake = names[wrong.most_common(1)[0][0]] if wrong else None
    return Answer(len(given) - wrong.total(), len(given), mistake)
