"""Render the results on shift sets: robustness and calibration."""

from synthaug.analysis.robustness.shift_effects import Robustness
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("robustness")


def summary(results: Robustness) -> list[Block]:
    """Render what a console has room for: corruptions by their mean, every other set, and where the rest is."""
    sets = [item for item in results.sets if results.pooled is None or not item.paired]
    return _TEMPLATE.document("document", results, [*([results.pooled] if results.pooled else []), *sets], False)


def document(results: Robustness) -> list[Block]:
    """Render everything about a group's shift sets."""
    pooled = [results.pooled] if results.pooled else []
    return _TEMPLATE.document("document", results, [*pooled, *results.sets], True)
