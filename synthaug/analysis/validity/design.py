"""Checks of the arms: what they can be compared with, by how many seeds, and with what power."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, WARNING, Check

ENOUGH_SEEDS = 5
_ROUNDING = 1e-9


def arm_checks(group: Group) -> list[Check]:
    """Return the checks of a group's arms that apply to it."""
    checks = [
        _baseline(group),
        _references(group.arms),
        _controls(group.arms),
        _power(group),
        _augmentation(group.arms),
        _selection(group),
        _seeds(group),
        _seed_variance(group),
        _paired_seeds(group.arms),
        _chance(group),
    ]
    return [check for check in checks if check is not None]


def _baseline(group: Group) -> Check:
    planned = any(arm.baseline for arm in group.arms)
    return Check("baseline", SERIOUS if group.baseline is None else PASSED, {"planned": planned})


def _references(arms: Sequence[Arm]) -> Check | None:
    """Arms that differ from their reference in how they are trained as well as in their images."""
    named = {arm.name: arm for arm in arms}
    differing = [
        {"arm": arm.name, "reference": reference.name, "settings": settings}
        for arm in arms
        if arm.reference and arm.difference is not None
        for reference in [named[arm.reference]]
        for settings in [_differing(arm.training, reference.training)]
        if settings and arm.settings.get("mix.name") != reference.settings.get("mix.name")
    ]
    compared = any(arm.difference is not None for arm in arms)
    return Check("references", WARNING if differing else PASSED, {"arms": differing}) if compared else None


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*first, *second} if first.get(key) != second.get(key))


def _controls(arms: Sequence[Arm]) -> Check | None:
    """Arms without a control: the same real images and no synthetic one."""
    reduced = [
        arm
        for arm in arms
        if arm.has_synthetic and (0 < arm.real < 1 or arm.shots is not None) and arm.accuracy is not None
    ]
    missing = [arm.name for arm in reduced if arm.control is None]
    return Check("controls", SERIOUS if missing else PASSED, {"arms": missing}) if reduced else None


def _power(group: Group) -> Check | None:
    """Arms in which a difference as large as the margin would not be detected, controls aside; sizes in points.

    Not for one seed, with which no difference of arms is shown, however large.
    """
    powers = {arm.name: arm.power for arm in group.treatment_arms if arm.power and arm.power.variances}
    if not powers:
        return None
    weak = [
        {"arm": name, "smallest": None if power.smallest is None else 100 * power.smallest}
        for name, power in powers.items()
        if not power.shows
    ]
    severity = SERIOUS if len(weak) == len(powers) else WARNING if weak else PASSED
    return Check("power", severity, {"margin": group.margin, "arms": weak, "compared": len(powers)})


def _augmentation(arms: Sequence[Arm]) -> Check | None:
    """Arms that differ in more than their numbers of images."""
    augmented = {arm.name: arm.augment for arm in arms if arm.augment}
    return Check("augmentation", WARNING, {"arms": augmented}) if augmented else None


def _selection(group: Group) -> Check | None:
    """Arms of fewer real training images than the baseline whose epoch was chosen on as many validation images."""
    arms = [arm for arm in group.arms if arm.n_real is not None and arm.n_selection is not None]
    if not arms:
        return None
    full = group.baseline or max(arms, key=lambda arm: arm.n_real or 0)
    n_real, n_selection = full.n_real or 0, full.n_selection or 0
    fewer = {arm.name: arm.n_real for arm in arms if (arm.n_real or 0) < n_real}
    as_many = {arm.name: arm.n_real for arm in arms if arm.name in fewer and 0 < n_selection <= (arm.n_selection or 0)}
    data = {"arms": as_many, "n_real": n_real, "n_selection": n_selection}
    return Check("selection", WARNING if as_many else PASSED, data) if fewer else None


def _seeds(group: Group) -> Check | None:
    """How many trainings each arm has; those of one seed on several folds differ in more than their images."""
    counts = {arm.name: len(arm.seeds) * (group.n_folds or 1) for arm in group.arms if arm.seeds}
    if not counts:
        return None
    fewest = min(counts.values())
    names = [name for name, count in counts.items() if count == fewest]
    severity = SERIOUS if fewest == 1 else WARNING if fewest < ENOUGH_SEEDS else PASSED
    data = {"fewest": fewest, "arms": names, "all_arms": len(names) == len(counts)}
    return Check("seeds", severity, data, in_headline=bool(group.treatment_arms) and not group.tested_arms)


def _seed_variance(group: Group) -> Check | None:
    """Whether the arms' accuracies vary alike between seeds, which the second interval rests on."""
    if group.seed_variance is None:
        return None
    homogeneity = group.seed_variance.homogeneity
    measured = [arm.name for arm in group.arms if arm.accuracy]
    data = {
        "arm": measured[homogeneity.least_stable],
        "ratio": homogeneity.ratio,
        "p_value": homogeneity.p_value,
    }
    return Check("seed_variance", WARNING if homogeneity.is_rejected else PASSED, data)


def _paired_seeds(arms: Sequence[Arm]) -> Check | None:
    """Which seeds the differences from the baseline use, where those are not simply all."""
    baseline = sorted({seed for arm in arms if arm.baseline for seed in arm.seeds})
    compared = [arm for arm in arms if arm.difference is not None]
    if not compared:
        return None
    paired = [arm for arm in compared if arm.difference_seeds]
    data = {
        "baseline": baseline,
        "some": {arm.name: list(arm.difference_seeds) for arm in paired if sorted(arm.seeds) != baseline},
        "none": {arm.name: list(arm.seeds) for arm in compared if not arm.difference_seeds},
        "unequal_sums": [arm.name for arm in compared if not _adds_up(arm)],
    }
    return Check("paired_seeds", WARNING if data["some"] or data["none"] or data["unequal_sums"] else PASSED, data)


def _adds_up(arm: Arm) -> bool:
    """Whether loss and gain rest on the seeds of the difference, and thus add up to it."""
    if arm.difference is None or arm.loss is None or arm.gain is None:
        return True
    return abs(arm.loss.value + arm.gain.value - arm.difference.value) < _ROUNDING


def _chance(group: Group) -> Check | None:
    """Arms that may be no better than always predicting the most frequent class: training may have diverged."""
    if not len(group.labels):
        return None
    share = float(np.bincount(group.labels).max()) / len(group.labels)
    arms = [arm.name for arm in group.arms if arm.accuracy and arm.accuracy.low <= share and arm.accuracy.value < 1]
    return Check("chance", SERIOUS if arms else PASSED, {"arms": arms, "share": share})
