"""Render what the arms say beyond the baseline: named pairs, factors, intervals that borrow from all arms."""

from collections.abc import Sequence

from synthaug.analysis.comparison.model import Group, PairComparison
from synthaug.analysis.comparison.replication import SourceVariance
from synthaug.analysis.findings import Findings
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_SOURCES = {
    "weights": "weights, order, augmentation",
    "images": "choice of real images",
    "draw": "draw of synthetic images",
    "full": "training and validation split",
    "weights + images": "weights, order, augmentation and choice of real images",
    "test images": "draw of test images",
    "seeds": "seeds, whatever the draw",
    "runs": "single runs",
}
_TEMPLATE = Template("factors", names=_SOURCES)


def pairs_document(group: Group, limit: int | None = None) -> list[Block]:
    """Render the comparisons that a study names; nothing where it names none.

    Args:
        group: of the study.
        limit: of the number of comparisons, of which those with the smallest p values are kept; None: all.
    """
    pairs = group.pairs
    if limit is not None and len(pairs) > limit:
        clearest = sorted(pairs, key=_p_value)[:limit]
        pairs = tuple(pair for pair in pairs if pair in clearest)
    return _TEMPLATE.document("pairs", group, pairs) if pairs else []


def _p_value(pair: PairComparison) -> float:
    return 1.0 if pair.difference is None or pair.difference.p_value is None else pair.difference.p_value


def pair_sentence(pair: PairComparison, n_test: int) -> str:
    """Say how two arms compare.

    Args:
        pair: with a difference.
        n_test: number of test images, which sets the number of decimals.
    """
    return _TEMPLATE.sentence("pair", pair, n_test)


def factors_document(findings: Findings, n_test: int) -> list[Block]:
    """Render the arms as a grid, and the main effects of their factors; nothing where there are none.

    Args:
        findings: of a group.
        n_test: number of test images, which sets the number of decimals.
    """
    return _TEMPLATE.document("factors", findings.factors, findings.effects, n_test)


def sources_document(sources: Sequence[SourceVariance]) -> list[Block]:
    """Render how much of the variance each source of chance brings; nothing where no arms tell sources apart."""
    return _TEMPLATE.document("sources", sources) if sources else []


def borrowed_document(group: Group) -> list[Block]:
    """Render the intervals that borrow the seeds' variance from all arms; nothing where they are withheld."""
    return _TEMPLATE.document("borrowed", group) if any(arm.borrowed for arm in group.arms) else []
