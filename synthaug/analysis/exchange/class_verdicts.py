"""Class by class: do synthetic images help, and which mix should the class have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import ClassResult, Group
from synthaug.analysis.exchange.rate import Amounts, arms_of
from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.inference.hypothesis_tests import holm
from synthaug.analysis.inference.intervals import ALPHA, Difference, cluster_means, paired_difference

HELPS, HARMS, NEUTRAL, OPEN = "helps", "harms", "neutral", "open"


@dataclass(frozen=True)
class ClassVerdict:
    """What synthetic images do for one class.

    Attributes:
        name: of the class.
        n_test: number of its test images.
        difference: accuracy of an arm minus that of its control on these images, p values adjusted by Holm over the
            classes; None where there is no test image or no common seed.
        p_neutral: of the test that the difference lies within the margin, adjusted by Holm over the classes.
        verdict: "helps" or "harms" where `difference` is significant at 5 %; else "neutral" where `p_neutral` is at
            most 5 %; else "open".
    """

    name: str
    n_test: int
    difference: Difference | None
    p_neutral: float | None
    verdict: str


@dataclass(frozen=True)
class ClassMix:
    """Which arm one class should have.

    `best` has the highest accuracy; `tied` are the others that are not significantly different from it (Holm over the
    arms), so that any of them may be the best one in truth; `cheapest` has the fewest real images of those not inferior
    to `best` by the margin, itself included.
    """

    name: str
    n_test: int
    accuracy: float
    best: str
    tied: tuple[str, ...]
    cheapest: str


def class_verdicts(classes: Sequence[ClassResult], margin_fraction: float) -> tuple[ClassVerdict, ...]:
    """Decide what synthetic images do for each class.

    Neutral is shown, not assumed where nothing is significant: the interval of the gain must lie between -margin and
    margin, adjusted for the number of classes (two one-sided tests: Schuirmann, D. J. (1987). A comparison of the two
    one-sided tests procedure and the power approach. Journal of Pharmacokinetics and Biopharmaceutics 15(6), 657-680).

    Args:
        classes: of one arm, with the gain over its control.
        margin_fraction: the largest difference that does not matter, a fraction.
    """
    tested = {item.name: item.gain for item in classes if item.gain and item.gain.p_value is not None}
    p_neutral = holm([_p_equivalent(gain, margin_fraction) for gain in tested.values()])
    by_class = dict(zip(tested, p_neutral, strict=True))
    return tuple(_verdict(item, by_class.get(item.name)) for item in classes)


def recommended_mixes(
    arms: Sequence[Amounts],
    correct: Sequence[Values],
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    margin_fraction: float,
    clusters: NDArray[np.int64] | None = None,
) -> tuple[ClassMix, ...]:
    """Return for each class the best arm, those not significantly different from it, and the cheapest as good.

    Arms are compared on the seeds that all of them have, at least two. The best arm is picked by the same predictions
    that it is then compared by, which flatters it: `tied` errs on the side of too few names, never by more than Holm's
    level allows.

    Args:
        arms: with their numbers of training images.
        correct: values of each arm, in the same order.
        labels: true class numbers, (images,).
        class_names: one for each number in `labels`.
        margin_fraction: by which the cheapest may be worse than the best, a fraction.
        clusters: of near duplicates among the test images.

    Raises:
        ValueError: the arms share fewer than two seeds.
    """
    shared = _shared_seeds(correct)
    if len(shared) < 2:
        raise ValueError("the arms share fewer than two seeds")
    right = np.array([[arm[seed] for seed in shared] for arm in correct])  # (arms, seeds, images)
    numbers = [number for number in range(len(class_names)) if (labels == number).any()]
    return tuple(
        _mix(
            arms,
            right[:, :, labels == number],
            class_names[number],
            margin_fraction,
            None if clusters is None else clusters[labels == number],
        )
        for number in numbers
    )


def _mix(
    arms: Sequence[Amounts],
    right: NDArray[np.float64],
    name: str,
    margin_fraction: float,
    clusters: NDArray[np.int64] | None,
) -> ClassMix:
    accuracy = right.mean(axis=(1, 2))
    # Of several that are equally good the one with the fewest images to label, then to make.
    cost = [(arm.n_real, arm.n_synthetic, arm.name) for arm in arms]
    best = min(range(len(arms)), key=lambda i: (-accuracy[i], *cost[i]))
    others = [i for i in range(len(arms)) if i != best]
    differences = {i: paired_difference(cluster_means(right[i] - right[best], clusters)) for i in others}
    told = holm([p_value for i in others if (p_value := differences[i].p_value) is not None])
    as_good = holm([min(1.0, 2 * differences[i].non_inferiority_p(margin_fraction)) for i in others])
    tied = tuple(arms[i].name for i, p in zip(others, told, strict=True) if p > ALPHA)
    shown = [best, *(i for i, p in zip(others, as_good, strict=True) if p <= ALPHA)]
    cheapest = min(shown, key=cost.__getitem__)
    return ClassMix(name, right.shape[2], float(accuracy[best]), arms[best].name, tied, arms[cheapest].name)


def _p_equivalent(gain: Difference, margin_fraction: float) -> float:
    """Dual to the interval: at most 1 - confidence exactly where it lies between -margin and margin."""
    mirrored = replace(gain, centre=-gain.centre)
    return min(1.0, 2 * max(side.non_inferiority_p(margin_fraction) for side in (gain, mirrored)))


def _verdict(item: ClassResult, p_neutral: float | None) -> ClassVerdict:
    if item.gain is None or p_neutral is None:
        return ClassVerdict(item.name, item.n_test, item.gain, None, OPEN)
    verdict = NEUTRAL if p_neutral <= ALPHA else OPEN
    if item.gain.is_significant:
        verdict = HELPS if item.gain.centre > 0 else HARMS
    return ClassVerdict(item.name, item.n_test, item.gain, p_neutral, verdict)


def group_verdicts(group: Group) -> tuple[Mapping[str, tuple[ClassVerdict, ...]], tuple[ClassMix, ...]]:
    """Return the verdicts of each arm that has a control with a common seed, by its name; and the mix for each class.

    No mixes where the arms share fewer than two seeds, nor in folds. Arms with an augmentation of their own are left
    aside.
    """
    arms, correct = arms_of(group)
    names = {arm.name for arm in arms}
    verdicts = {
        arm.name: class_verdicts(_paired(arm.classes, group, arm.name, arm.control), group.margin_fraction)
        for arm in group.arms
        if arm.name in names and arm.control in names and arm.control is not None
    }
    if group.folds is not None or len(_shared_seeds(correct)) < 2:
        return verdicts, ()
    mixes = recommended_mixes(arms, correct, group.labels, group.class_names, group.margin_fraction, group.clusters)
    return verdicts, mixes


def _shared_seeds(correct: Sequence[Values]) -> list[int]:
    return sorted(set.intersection(*(set(arm) for arm in correct))) if correct else []


def _paired(classes: Sequence[ClassResult], group: Group, arm: str, control: str) -> Sequence[ClassResult]:
    """Return the classes, without gains where arm and control have no seed in common."""
    if set(group.correct[arm]) & set(group.correct[control]):
        return classes
    return [replace(item, gain=None) for item in classes]
