"""Class by class: do synthetic images help, and which mix should the class have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.exchange.covariance import Correct
from synthaug.analysis.exchange.rate import Amounts, arms_of
from synthaug.analysis.inference.contrasts import difference as between
from synthaug.analysis.inference.hypothesis_tests import holm
from synthaug.analysis.inference.intervals import ALPHA, Difference, paired_difference

HELPS, HARMS, NEUTRAL, OPEN = "helps", "harms", "neutral", "open"


@dataclass(frozen=True)
class ClassVerdict:
    """What synthetic images do for one class: accuracy of an arm minus that of its control, on the class's images.

    `verdict`: "helps" or "harms" where `p_value` is at most 5 %; else "neutral" where `p_neutral` is; else "open".
    Both are adjusted by Holm over the classes. None where the class has no test image or the two share no seed.
    """

    name: str
    n_test: int
    difference: Difference | None
    p_value: float | None
    p_neutral: float | None
    verdict: str


@dataclass(frozen=True)
class ClassMix:
    """Which arm one class should have.

    `best` has the highest accuracy; `tied` are the others that cannot be told from it (Holm over the arms), so that
    any of them may be the best one in truth; `cheapest` has the fewest real images of those shown not to be worse than
    `best` by the margin, itself included.
    """

    name: str
    n_test: int
    accuracy: float
    best: str
    tied: tuple[str, ...]
    cheapest: str


def class_verdicts(
    arm: Correct,
    control: Correct,
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    margin: float,
) -> tuple[ClassVerdict, ...]:
    """Judge what synthetic images do for each class.

    Neutral is shown, not assumed where nothing is found: the interval of the difference must lie between -margin and
    margin, adjusted for the number of classes (two one-sided tests: Schuirmann, D. J. (1987). A comparison of the two
    one-sided tests procedure and the power approach. Journal of Pharmacokinetics and Biopharmaceutics 15(6), 657-680).

    Args:
        arm: seed → right or wrong for each test image.
        control: the same for as many real images and no synthetic one. Seeds that both have are compared.
        labels: class of each test image.
        class_names: one for each number in `labels`.
        margin: the largest difference that does not matter; a fraction.
    """
    shared = sorted(set(arm) & set(control))
    sizes = np.bincount(labels, minlength=len(class_names))
    judged = [number for number in range(len(class_names)) if sizes[number] and shared]
    found: dict[int, tuple[Difference, float, float]] = {}
    if judged:
        own, other = ({seed: side[seed].astype(float) for seed in shared} for side in (arm, control))
        plain = [between(own, other, np.flatnonzero(labels == number)) for number in judged]
        neutral = [_p_equivalent(difference, margin) for difference in plain]
        columns = zip(judged, plain, holm([item.p_value for item in plain]), holm(neutral), strict=True)
        found = {number: (difference, p, same) for number, difference, p, same in columns}
    return tuple(_verdict(name, int(sizes[number]), found.get(number)) for number, name in enumerate(class_names))


def recommended_mixes(
    arms: Sequence[Amounts],
    answers: Sequence[Correct],
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    margin: float,
) -> tuple[ClassMix, ...]:
    """The best arm of each class, what cannot be told from it, and the cheapest that is as good.

    Arms are compared on the seeds that all of them have. The best arm is picked from the same answers that it is then
    compared by, which flatters it: `tied` errs on the side of too few names, never by more than Holm's level allows.

    Raises:
        ValueError: the arms share no seed.
    """
    shared = sorted(set.intersection(*(set(arm) for arm in answers)))
    if not shared:
        raise ValueError("the arms share no seed")
    right = np.array([[arm[seed] for seed in shared] for arm in answers], dtype=float)  # (arms, seeds, images)
    numbers = [number for number in range(len(class_names)) if (labels == number).any()]
    return tuple(_mix(arms, right[:, :, labels == number], class_names[number], margin) for number in numbers)


def _mix(arms: Sequence[Amounts], right: NDArray[np.float64], name: str, margin: float) -> ClassMix:
    accuracy = right.mean(axis=(1, 2))
    # Of several that are equally good the one with the fewest images to label, then to make.
    cost = [(arm.n_real, arm.n_synthetic, arm.name) for arm in arms]
    best = min(range(len(arms)), key=lambda i: (-accuracy[i], *cost[i]))
    others = [i for i in range(len(arms)) if i != best]
    differences = {i: paired_difference(right[i] - right[best]) for i in others}
    told = holm([differences[i].p_value for i in others])
    as_good = holm([min(1.0, 2 * differences[i].non_inferiority_p(margin)) for i in others])
    tied = tuple(arms[i].name for i, p in zip(others, told, strict=True) if p > ALPHA)
    shown = [best, *(i for i, p in zip(others, as_good, strict=True) if p <= ALPHA)]
    cheapest = min(shown, key=cost.__getitem__)
    return ClassMix(name, right.shape[2], float(accuracy[best]), arms[best].name, tied, arms[cheapest].name)


def _p_equivalent(found: Difference, margin: float) -> float:
    """Dual to the interval: at most 1 - confidence exactly where it lies between -margin and margin."""
    mirrored = replace(found, centre=-found.centre)  # the same difference, the other way round
    return min(1.0, 2 * max(found.non_inferiority_p(margin), mirrored.non_inferiority_p(margin)))


def _verdict(name: str, n_test: int, found: tuple[Difference, float, float] | None) -> ClassVerdict:
    if found is None:
        return ClassVerdict(name, n_test, None, None, None, OPEN)
    difference, p, p_neutral = found
    undecided = NEUTRAL if p_neutral <= ALPHA else OPEN
    verdict = (HELPS if difference.centre > 0 else HARMS) if p <= ALPHA else undecided
    return ClassVerdict(name, n_test, difference, p, p_neutral, verdict)


def group_verdicts(group: Group) -> tuple[Mapping[str, tuple[ClassVerdict, ...]], tuple[ClassMix, ...]]:
    """Of a study's group: the verdicts of each arm that has a control, by its name; and the mix for each class.

    The margin is the study's own. No mixes where the arms share no seed.
    """
    arms, answers = arms_of(group)
    correct = dict(zip((arm.name for arm in arms), answers, strict=True))
    verdicts = {
        arm.name: class_verdicts(correct[arm.name], correct[arm.control], group.labels, group.class_names, group.margin)
        for arm in group.arms
        if arm.name in correct and arm.control in correct
    }
    if not answers or not set.intersection(*(set(arm) for arm in answers)):
        return verdicts, ()
    return verdicts, recommended_mixes(arms, answers, group.labels, group.class_names, group.margin)
