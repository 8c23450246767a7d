"""The table of a grid of arms."""

from synthaug.analysis.text import arm_table
from tests.analysis.exchange.test_grid import CROSSED, group_of


def test_arms_of_a_grid_are_called_and_ordered_by_their_images() -> None:
    headers, rows = arm_table.table(group_of(CROSSED))
    assert not {"real", "synthetic"} & set(headers)
    assert [row[0] for row in rows] == [
        "1,000 real", "1,000 real + 500 synthetic",
        "400 real", "400 real + 500 synthetic",
        "100 real", "100 real + 500 synthetic",
    ]  # fmt: skip
    accuracy = headers.index("accuracy %\n[95 % CI]")
    assert [row[accuracy][:5] for row in rows] == ["51.00", "50.00", "55.00", "54.00", "53.00", "52.00"]


def test_a_baseline_keeps_its_name_in_sentences() -> None:
    group = group_of(CROSSED)
    labels = arm_table.grid_labels(group)
    assert labels == {name: label for name, label in arm_table.labels(group).items() if name != group.arms[0].name}
    assert len(labels) == 5


def test_other_arms_keep_names_and_order() -> None:
    group = group_of(CROSSED[:3])
    headers, rows = arm_table.table(group)
    assert {"real", "synthetic"} <= set(headers)
    assert [row[0] for row in rows] == [arm.name for arm in group.arms] == list(arm_table.labels(group).values())
    assert arm_table.grid_labels(group) == {}
