"""Accuracy of each arm in groups of the test images, such as cameras or sources; the worst group and the gap."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.inference import strata
from synthaug.analysis.inference.contrasts import adjusted, difference
from synthaug.analysis.inference.intervals import Difference, Estimate, accuracy_over_seeds
from synthaug.analysis.inference.strata import Strata, Worst
from synthaug.runs import grouping


@dataclass(frozen=True)
class GroupCell:
    """One arm in one group of images.

    Attributes:
        accuracy: on the images of the group.
        difference: from the arm's reference; None where there is none. Its p value is corrected for the groups.
    """

    accuracy: Estimate
    difference: Difference | None = None


@dataclass(frozen=True)
class ArmGroups:
    """One arm in all groups.

    Attributes:
        arm: its name.
        cells: group → results.
        worst: the group of the smallest accuracy and the gap to the best, see `strata.Worst`.
        worst_group: its name.
        worst_difference: of the worst group's accuracy from that of the reference, whichever groups those are.
        gap_difference: of the gap from that of the reference.
    """

    arm: str
    cells: Mapping[str, GroupCell]
    worst: Worst
    worst_group: str
    worst_difference: Estimate | None = None
    gap_difference: Estimate | None = None


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy in the groups of the test images.

    Attributes:
        n_test: group → test images.
        without: test images of no group, which count in none of these numbers.
        arms: with predictions, in the order of the comparison.
    """

    n_test: Mapping[str, int]
    without: int
    arms: tuple[ArmGroups, ...]


def group_accuracy(study: Path, group: Group) -> GroupAccuracy | None:
    """Compute the accuracies in the groups that the study has recorded; None where it has none, or has folds.

    Args:
        study: its folder.
        group: a comparison of the study.

    Raises:
        UserError: the record is damaged.
    """
    if group.folds is not None:
        return None
    listed = grouping.read_groups(study, group.dataset, group.paths)
    names = grouping.names_of(listed)
    if len(names) < 2 or not group.predicted:
        return None
    kept = np.array([row for row, name in enumerate(listed) if name is not None])
    division = Strata(np.array([names.index(name) for name in listed if name is not None]), len(names))
    narrowed = replace(
        group,
        labels=group.labels[kept],
        clusters=group.clusters[kept],
        predicted={arm: {seed: row[kept] for seed, row in runs.items()} for arm, runs in group.predicted.items()},
    )
    return GroupAccuracy(
        {name: len(rows) for name, rows in zip(names, division.rows, strict=True)},
        listed.count(None),
        tuple(_arm_groups(arm, narrowed, division, names) for arm in group.arms if arm.name in group.predicted),
    )


def _arm_groups(arm: Arm, group: Group, division: Strata, names: list[str]) -> ArmGroups:
    correct, clusters = group.correct[arm.name], group.clusters
    reference = group.correct.get(arm.reference or "")
    table = np.stack([correct[seed] for seed in sorted(correct)])
    differences = adjusted(
        [None if reference is None else difference(correct, reference, rows, clusters) for rows in division.rows],
        max(len(group.looks), 1),
    )
    cells = {
        name: GroupCell(accuracy_over_seeds(table[:, rows], clusters=clusters[rows]), of_group)
        for name, rows, of_group in zip(names, division.rows, differences, strict=True)
    }
    worst = strata.worst(table, division, clusters)
    item = ArmGroups(arm.name, cells, worst, names[worst.stratum])
    if reference is None:
        return item
    return replace(
        item,
        worst_difference=strata.worst_difference(correct, reference, division, clusters),
        gap_difference=strata.gap_difference(correct, reference, division, clusters),
    )
