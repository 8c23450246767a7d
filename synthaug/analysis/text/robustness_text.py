"""Render the results on shift sets: robustness and calibration."""

from synthaug.analysis.robustness.shift_effects import Robustness
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("robustness")


def document(results: Robustness, whole: bool = True) -> list[Block]:
    """Render a group's shift sets.

    Args:
        results: of the group.
        whole: with each corruption, not their mean alone, and with calibration: more than a console has room for.
    """
    sets = [item for item in results.sets if whole or results.pooled is None or not item.paired]
    return _TEMPLATE.document("document", results, [*([results.pooled] if results.pooled else []), *sets], whole)
