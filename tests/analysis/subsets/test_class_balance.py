"""Balanced accuracy and worst class: by their definitions, on made-up studies whose classes are made unequal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.subsets.class_balance import class_balance
from tests.factories.studies import MadeUp, edit_result, make_study, one_group, run_folder

CLASSES = ("cat", "dog", "fox")
ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6), "real40": (0.4, 0.0)}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", MadeUp(ARMS, seeds=(0, 1, 2), classes=CLASSES, n_test=600))


def with_few_foxes(group: Group, foxes: int) -> Group:
    """The group with the first test images of the last class alone."""
    kept = np.flatnonzero((group.labels != 2) | (np.cumsum(group.labels == 2) <= foxes))
    predicted = {arm: {seed: row[kept] for seed, row in runs.items()} for arm, runs in group.predicted.items()}
    clusters = np.arange(len(kept))
    return replace(group, labels=group.labels[kept], clusters=clusters, predicted=predicted, n_test=len(kept))


def test_balanced_accuracy_is_the_mean_of_recalls_and_the_worst_their_minimum(study: Path) -> None:
    group = with_few_foxes(one_group(study), 20)
    balance = class_balance(group)
    assert balance is not None
    assert [item.arm for item in balance.arms] == [arm.name for arm in group.arms]
    assert balance.n_test == {"cat": 200, "dog": 200, "fox": 20}
    recalls = {
        arm: [np.mean([row[group.labels == label].mean() for row in seeds.values()]) for label in range(3)]
        for arm, seeds in group.correct.items()
    }
    for item in balance.arms:
        assert item.accuracy.value == pytest.approx(np.mean(recalls[item.arm]))
        assert item.worst.accuracy.value == pytest.approx(min(recalls[item.arm]))
        assert item.worst_class == CLASSES[int(np.argmin(recalls[item.arm]))]
        if item.arm == "real":
            assert (item.difference, item.worst_difference) == (None, None)
        else:
            assert item.difference is not None
            assert item.worst_difference is not None
            assert item.difference.value == pytest.approx(np.mean(recalls[item.arm]) - np.mean(recalls["real"]))
            assert item.worst_difference.value == pytest.approx(min(recalls[item.arm]) - min(recalls["real"]))


def test_arms_are_corrected_together_and_controls_are_not_tested(study: Path) -> None:
    balance = class_balance(one_group(study))
    assert balance is not None
    by_arm = {item.arm: item.difference for item in balance.arms}
    assert by_arm["64"] is not None
    assert by_arm["64"].adjusted_p is not None
    assert by_arm["real40"] is not None
    assert by_arm["real40"].p_value is None


def test_classes_are_unequal_by_their_test_images_or_by_what_is_trained_on(study: Path) -> None:
    group = one_group(study)
    balance = class_balance(group)
    assert balance is not None
    assert not balance.is_unequal
    assert balance.rare == []
    few = class_balance(with_few_foxes(group, 20))
    assert few is not None
    assert few.is_unequal
    for seed in range(3):
        counts = {"cat": {"real": 1000, "synthetic": 0}, "dog": {"real": 10, "synthetic": 0}}
        edit_result(
            run_folder(study, "real", seed), {"counts.per_class": {**counts, "fox": {"real": 30, "synthetic": 0}}}
        )
    balance = class_balance(one_group(study))
    assert balance is not None
    assert balance.is_unequal
    assert balance.rare == ["dog", "fox"]


def test_without_a_finished_run_there_is_nothing(tmp_path: Path) -> None:
    study = make_study(tmp_path, MadeUp({"real": (1.0, 0.0)}, missing=[("real", 0)]))
    assert class_balance(one_group(study)) is None
