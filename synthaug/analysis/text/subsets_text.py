"""Render what arms do for classes of unequal size and for groups of the test images."""

from collections.abc import Mapping

from synthaug.analysis.subsets.class_balance import ClassBalance
from synthaug.analysis.subsets.group_accuracy import GroupAccuracy
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

MOST_CLASSES = 5  # of the rare ones in a table
_TEMPLATE = Template("subsets", MOST=MOST_CLASSES)


def balance_document(results: ClassBalance, labels: Mapping[str, str], whole: bool = True) -> list[Block]:
    """Render balanced accuracies and worst classes.

    Args:
        results: of a group.
        labels: of the arms by name.
        whole: with the differences of single classes: more than a console has room for.
    """
    return _TEMPLATE.document("balance", results, labels, whole)


def groups_document(results: GroupAccuracy, labels: Mapping[str, str]) -> list[Block]:
    """Render accuracies in groups of the test images.

    Args:
        results: of a comparison.
        labels: of the arms by name.
    """
    return _TEMPLATE.document("groups", results, labels)
