"""What a synthetic image is worth: the exchange rate, and whether synthetic images help each class."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.figures import exchange_curves as drawing
from synthaug.analysis.text import exchange_text
from synthaug.analysis.text.document import Heading, Points, Rows
from synthaug.analysis.text.format import in_points


def exchange(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """The exchange rate with its figures, or why these arms cannot tell; nothing where no arm has synthetic images."""
    if not any(arm.synthetic and arm.name in group.predicted for arm in group.arms):
        return None
    found = said.exchange
    figures = {
        "error": drawing.error_curves(found),
        "value": drawing.values_along(found),
        "value-by-class": drawing.class_values(found),
    }
    remarks = [*exchange_text.remarks(found), *_steps(group)]
    tables = [block for block in exchange_text.document(found)[1:] if isinstance(block, Heading | Rows)]
    return {
        "headline": exchange_text.headline(found),
        "figures": {name: Markup(figure) for name, figure in figures.items() if figure},
        "said": [Points(remarks)] if remarks else [],
        # The first heading of the document is the section's own, so that those below it move up.
        "tables": [Heading(block.text) if isinstance(block, Heading) else block for block in tables],
    }


def _steps(group: Group) -> list[str]:
    if len(group.steps) < 2:
        return []
    took = (
        f"The arms took {group.steps[0]:,} to {group.steps[-1]:,} optimizer steps, the more the more images they have"
    )
    return [f"{took}: longer training is a part of this rate. With budget=steps it would not be."]


def verdicts(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Class by class and arm by arm: do synthetic images help; and the mix that each class should have."""
    if not said.verdicts:
        return None
    mixes = [exchange_text.mix_sentence(mix, group.margin_fraction) for mix in said.mixes]
    return {"found": said.verdicts, "margin": in_points(group.margin_fraction), "mixes": mixes}
