"""Render the results on shift sets: robustness and calibration."""

from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.robustness.shift_effects import Robustness
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("robustness", ALPHA=ALPHA)


def summary(results: Robustness) -> list[Block]:
    """Render what a console has room for: corruptions by their mean, every other set, and where the rest is."""
    shown = [item for item in results.sets if results.pooled is None or not item.paired]
    return _TEMPLATE.document("summary", results, shown)


def document(results: Robustness) -> list[Block]:
    """Render everything about a group's shift sets."""
    return _TEMPLATE.document("document", results)


def findings(results: Robustness) -> list[str]:
    """Say what corruption costs each arm beside the baseline; then each set that is significant after Holm."""
    return _TEMPLATE.sentences("findings", results)
