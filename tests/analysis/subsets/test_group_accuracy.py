"""Groups of test images: each arm in each of them, the worst and the gap."""

from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.findings import findings
from synthaug.analysis.inference.contrasts import difference
from synthaug.analysis.output.records import as_json
from synthaug.analysis.subsets.group_accuracy import group_accuracy
from synthaug.runs import grouping
from tests.factories.studies import MadeUp, make_study, one_group

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6)}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", MadeUp(ARMS, seeds=(0, 1, 2), n_test=500))


def record(study: Path, names: list[str | None]) -> None:
    paths = one_group(study).paths
    named = {Path(path): name for path, name in zip(paths, names, strict=True) if name is not None}
    grouping.write_groups(study, "digits", named)


def test_each_arm_is_measured_in_each_group(study: Path) -> None:
    record(study, ["night" if row % 5 == 0 else None if row % 5 == 1 else "day" for row in range(500)])
    group = one_group(study)
    results = group_accuracy(study, group)
    assert results is not None
    assert (dict(results.n_test), results.without) == ({"day": 300, "night": 100}, 100)
    rows = {"day": np.flatnonzero(np.arange(500) % 5 > 1), "night": np.flatnonzero(np.arange(500) % 5 == 0)}
    accuracies = {
        arm: {name: np.mean([row[of].mean() for row in seeds.values()]) for name, of in rows.items()}
        for arm, seeds in group.correct.items()
    }
    assert [item.arm for item in results.arms] == ["real", "64"]
    for item in results.arms:
        by_group = accuracies[item.arm]
        assert {name: cell.accuracy.value for name, cell in item.cells.items()} == pytest.approx(by_group)
        assert item.worst_group == min(by_group, key=lambda name: by_group[name])
        assert item.worst.gap.value == pytest.approx(abs(by_group["day"] - by_group["night"]))
    real, arm = results.arms
    assert (real.worst_difference, real.gap_difference, real.cells["day"].difference) == (None, None, None)
    expected = difference(group.correct["64"], group.correct["real"], rows["night"])
    actual = arm.cells["night"].difference
    assert actual is not None
    assert (actual.value, actual.low, actual.high) == (expected.value, expected.low, expected.high)
    assert actual.adjusted_p is not None
    assert actual.adjusted_p >= (actual.p_value or 0)
    assert arm.gap_difference is not None
    assert arm.gap_difference.value == pytest.approx(arm.worst.gap.value - real.worst.gap.value)


def test_without_groups_or_with_one_there_is_nothing(study: Path) -> None:
    assert group_accuracy(study, one_group(study)) is None
    record(study, ["day"] * 500)
    assert group_accuracy(study, one_group(study)) is None


def test_rows_and_json_have_the_numbers(study: Path) -> None:
    record(study, ["night" if row % 5 == 0 else "day" for row in range(500)])
    comparison = compare(study)
    (content,) = as_json(comparison, findings(comparison))["groups"]
    results = group_accuracy(study, comparison.groups[0])
    assert results is not None
    for row, item in zip(content["arms"], results.arms, strict=True):
        assert (row["worst_group"], row["worst_group_accuracy"]) == (item.worst_group, item.worst.accuracy.value)
        assert row["group_gap_high"] == item.worst.gap.high
        assert row["balanced_accuracy"] == pytest.approx(row["accuracy"], abs=0.01)
        cell = content["image_groups"]["arms"][item.arm]["night"]
        assert cell["accuracy"] == item.cells["night"].accuracy.value
    assert content["arms"][1]["group_gap_difference"] is not None
    assert content["image_groups"]["n_test"] == {"day": 400, "night": 100}
