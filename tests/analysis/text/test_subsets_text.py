"""Tables of rare classes and groups: their words in one golden file, their shape from the data."""

from collections.abc import Mapping
from dataclasses import replace

from synthaug.analysis.comparison.model import ClassResult
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.inference.strata import Worst
from synthaug.analysis.subsets.class_balance import ArmBalance, ClassBalance
from synthaug.analysis.subsets.group_accuracy import ArmGroups, GroupAccuracy, GroupCell
from synthaug.analysis.text.document import Rows, markdown
from synthaug.analysis.text.subsets_text import MOST_CLASSES, balance_document, groups_document
from tests.factories.arms import make_difference
from tests.factories.golden import assert_golden

LOW, GAP = Estimate(0.5, 0.3, 0.7), Estimate(0.4, 0.1, 0.6)
CHANGE = make_difference(0.1, 0.02, 0.18)
LABELS: Mapping[str, str] = {"real": "real", "fill": "fill | x"}


def balance(rare: int = 1) -> ClassBalance:
    names = ["cat", *(f"rare {number}" for number in range(rare))]
    recalls = {name: ClassResult(name, 50, LOW, None) for name in names}
    arm = ArmBalance("real", Estimate(0.8, 0.75, 0.84), Worst(1, LOW, GAP), names[-1], recalls)
    tested = {name: replace(item, difference=CHANGE) for name, item in recalls.items()}
    filled = replace(arm, arm="fill", recalls=tested, difference=CHANGE, worst_difference=GAP)
    sizes = {name: 10 + number for number, name in enumerate(names[1:])}
    return ClassBalance(dict.fromkeys(names, 50), {"cat": 1000, **sizes}, (arm, filled))


def groups(without: int = 0) -> GroupAccuracy:
    cells = {"day": GroupCell(Estimate(0.9, 0.8, 0.95)), "night": GroupCell(LOW)}
    arm = ArmGroups("real", cells, Worst(1, LOW, GAP), "night")
    tested = {name: replace(cell, difference=CHANGE) for name, cell in cells.items()}
    filled = replace(arm, arm="fill", cells=tested, worst_difference=GAP, gap_difference=GAP)
    return GroupAccuracy({"day": 300, "night": 40}, without, (arm, filled))


def test_wording() -> None:
    documents = [
        balance_document(balance(), LABELS),
        balance_document(balance(MOST_CLASSES + 1), LABELS, whole=False),
        groups_document(groups(1), LABELS),
    ]
    assert_golden("subsets.md", "\n".join(map(markdown, documents)))


def test_only_the_rarest_classes_have_columns() -> None:
    _, rare = (block for block in balance_document(balance(MOST_CLASSES + 3), LABELS) if isinstance(block, Rows))
    assert len(rare.headers) == 1 + MOST_CLASSES
    assert [len(row) for row in rare.rows] == [1 + MOST_CLASSES] * 3


def test_arms_without_a_reference_have_no_differences() -> None:
    alone = replace(groups(), arms=groups().arms[:1])
    assert len([block for block in groups_document(alone, LABELS) if isinstance(block, Rows)]) == 1
