"""Balanced accuracy and the worst class of each arm: what rare classes get."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from synthaug.analysis.comparison.model import Arm, ClassResult, Group, controls_of
from synthaug.analysis.inference import strata
from synthaug.analysis.inference.contrasts import adjusted
from synthaug.analysis.inference.intervals import Difference, Estimate
from synthaug.analysis.inference.strata import Strata, Worst

UNEQUAL = 1.5  # the largest class by the smallest, from which on classes are called unequal


@dataclass(frozen=True)
class ArmBalance:
    """Balanced accuracy and worst class of one arm.

    Attributes:
        arm: its name.
        accuracy: mean of the classes' recalls.
        worst: the class with the smallest recall, see `strata.Worst`.
        worst_class: its name.
        recalls: class → its results, as of `Arm.classes`.
        difference: of the balanced accuracy from the arm's reference; None where there is none.
        worst_difference: of the worst class's recall from that of the reference, whichever classes those are.
    """

    arm: str
    accuracy: Estimate
    worst: Worst
    worst_class: str
    recalls: Mapping[str, ClassResult]
    difference: Difference | None = None
    worst_difference: Estimate | None = None


@dataclass(frozen=True)
class ClassBalance:
    """What the arms of a group do for classes of unequal size.

    Attributes:
        n_test: class → test images.
        n_train: class → real training images of the arm that has the most.
        arms: with predictions, in the order of the group.
    """

    n_test: Mapping[str, int]
    n_train: Mapping[str, int]
    arms: tuple[ArmBalance, ...]

    @property
    def is_unequal(self) -> bool:
        """Whether classes differ in size, in training or test, so that accuracy speaks of the large ones."""
        return any(_is_unequal(sizes.values()) for sizes in (self.n_test, self.n_train))

    @property
    def rare(self) -> list[str]:
        """The classes with fewer training images than the largest has by `UNEQUAL`, the rarest first."""
        largest = max(self.n_train.values(), default=0)
        return sorted(
            (name for name, size in self.n_train.items() if size * UNEQUAL < largest),
            key=lambda name: self.n_train[name],
        )


def class_balance(group: Group) -> ClassBalance | None:
    """Compute balanced accuracies and worst classes of a group; None where no run is compared, or in folds."""
    measured = [arm for arm in group.arms if arm.name in group.predicted]
    if not measured or group.folds is not None:
        return None
    division = Strata(group.labels, len(group.class_names))
    arms = [_arm_balance(arm, group, division) for arm in measured]
    controls = controls_of(group.arms)
    # One family, as of the accuracies: the controls serve other arms and are not tested.
    corrected = adjusted((None if item.arm in controls else item.difference for item in arms), max(len(group.looks), 1))
    return ClassBalance(
        {name: len(rows) for name, rows in zip(group.class_names, division.rows, strict=True)},
        _real_training_images(group),
        tuple(
            replace(item, difference=difference or (item.difference and item.difference.untested()))
            for item, difference in zip(arms, corrected, strict=True)
        ),
    )


def _arm_balance(arm: Arm, group: Group, division: Strata) -> ArmBalance:
    correct = group.correct[arm.name]
    table = np.stack([correct[seed] for seed in sorted(correct)])
    worst = strata.worst(table, division, group.clusters)
    balanced = strata.balanced_accuracy(table, division, group.clusters)
    recalls = {item.name: item for item in arm.classes}
    item = ArmBalance(arm.name, balanced, worst, group.class_names[worst.stratum], recalls)
    reference = group.correct.get(arm.reference or "")
    if reference is None:
        return item
    return replace(
        item,
        difference=strata.balanced_difference(correct, reference, division, group.clusters),
        worst_difference=strata.worst_difference(correct, reference, division, group.clusters),
    )


def _real_training_images(group: Group) -> dict[str, int]:
    """Return class → real training images, of the run that has the most."""
    counts = [
        {name: int(count["real"]) for name, count in item.run.result["counts"].get("per_class", {}).items()}
        for item in group.runs
        if item.compared and item.run.result is not None
    ]
    return max(counts, key=lambda by_class: sum(by_class.values()), default={})


def _is_unequal(sizes: Iterable[int]) -> bool:
    filled = [size for size in sizes if size]
    return bool(filled) and max(filled) > UNEQUAL * min(filled)
