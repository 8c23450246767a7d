"""Render what arms do for classes of unequal size and for groups of the test images."""

from collections.abc import Mapping, Sequence

from synthaug.analysis.subsets.class_balance import ClassBalance
from synthaug.analysis.subsets.feedback_shares import FeedbackShares
from synthaug.analysis.subsets.group_accuracy import GroupAccuracy
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

MOST_CLASSES = 5  # of the rare ones in a table
_MOST_IN_ROWS = 12  # classes
_TEMPLATE = Template("subsets", MOST=MOST_CLASSES, MOST_IN_ROWS=_MOST_IN_ROWS)


def balance_document(results: ClassBalance, labels: Mapping[str, str], whole: bool = True) -> list[Block]:
    """Render balanced accuracies and worst classes.

    Args:
        results: of a group.
        labels: of the arms by name.
        whole: with the differences of single classes: more than a console has room for.
    """
    return _TEMPLATE.document("balance", results, labels, whole)


def feedback_document(results: Sequence[FeedbackShares], labels: Mapping[str, str]) -> list[Block]:
    """Render how feedback spread the synthetic images over the classes.

    Args:
        results: of each arm that has it.
        labels: of the arms by name.
    """
    return _TEMPLATE.document("feedback", results, labels)


def groups_document(results: GroupAccuracy, labels: Mapping[str, str]) -> list[Block]:
    """Render accuracies in groups of the test images.

    Args:
        results: of a comparison.
        labels: of the arms by name.
    """
    return _TEMPLATE.document("groups", results, labels)
