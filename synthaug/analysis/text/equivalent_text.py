"""Render the equivalent numbers of real images."""

from collections.abc import Mapping, Sequence

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.exchange.equivalent import EquivalentSizes
from synthaug.analysis.exchange.rate import NO_SYNTHETIC
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

MOST_NAMED = 4  # arms in the headline; of more the one with the largest synthetic share
_TEMPLATE = Template("equivalent", ALPHA=ALPHA, MOST_NAMED=MOST_NAMED)


def document(sizes: EquivalentSizes, labels: Mapping[str, str]) -> list[Block]:
    """Render headline, what it rests on and the table of arms.

    Args:
        sizes: of a block of arms.
        labels: of the arms, by name.
    """
    return _TEMPLATE.document("document", sizes, labels)


def results(equivalents: Sequence[EquivalentSizes], labels: Mapping[str, str]) -> str:
    """Say how many real images alone do as well as the arms, a sentence for each block; empty where none is estimated.

    Args:
        equivalents: of the blocks of a group.
        labels: of the arms, by name.
    """
    return " ".join(_TEMPLATE.sentence("headline", sizes, labels) for sizes in equivalents if sizes.estimated)


def headline(equivalents: Sequence[EquivalentSizes], labels: Mapping[str, str]) -> str:
    """Say how many real images alone do as well as the arms, or why that is not estimated.

    Args:
        equivalents: of the blocks of a group.
        labels: of the arms, by name.
    """
    sizes = equivalents[0] if equivalents else EquivalentSizes(reasons=(Reason(NO_SYNTHETIC),))
    return results(equivalents, labels) or _TEMPLATE.sentence("headline", sizes, labels)
