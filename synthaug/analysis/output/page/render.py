"""From a comparison to the page: the frame around the sections that have something to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.cost import Prices
from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import Drawing, draw
from synthaug.analysis.output.page import charts
from synthaug.analysis.output.page.content import Content
from synthaug.analysis.output.page.frame import environment, policy, style_sheet
from synthaug.analysis.output.page.sections import FIGURES, SECTIONS, Context, Section
from synthaug.analysis.text import arm_table

# What shows every arm by itself; a grid has a dozen or more.
_FOLDED_OF_MANY = frozenset((
    "decomposition", "classes", "verdicts", "power", "learning", "confusion", "hardest", "cost", "protocol"
))  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A rendered page.

    Attributes:
        html: the whole page: no script, no address outside of itself.
        figures: by group, "<section>/<figure>" → each figure on the page.
    """

    html: str
    figures: tuple[Mapping[str, Drawing], ...]


def render(comparison: Comparison, findings: Sequence[Findings], prices: Prices | None = None) -> Page:
    """Render the page of a study.

    Args:
        comparison: of the study.
        findings: by group.
        prices: that the costs were computed with.
    """
    style = style_sheet()
    parts, figures = [], []
    for number, (group, of_group) in enumerate(zip(comparison.groups, findings, strict=True), 1):
        contexts = _contexts(comparison, group, of_group, number)
        grid = grid_of(group) is not None
        many = grid or len(group.arms) > charts.MAX_DRAWN
        shared = {
            "comparison": comparison,
            "prices": prices,
            "group": group,
            "number": number,
            "colour": palette.arm_colours(group.arms),
            "labels": arm_table.labels(group),
            "grid": grid,
            "many": many,
        }
        parts.append(
            (
                group,
                [
                    (section, _fill(section, {**shared, **context}), many and section.name in _FOLDED_OF_MANY)
                    for section, context in contexts.items()
                ],
            )
        )
        figures.append(_figures(contexts))
    frame = environment().get_template("page.html.j2")
    html = frame.render(comparison=comparison, parts=parts, style=Markup(style), policy=policy(style))
    return Page(html, tuple(figures))


def _fill(section: Section, context: Context) -> Markup:
    # Markup: the figures have escaped their text themselves.
    figures = {name: Markup(drawing.element) for name, drawing in context[FIGURES].items()}
    template = environment().get_template(f"sections/{section.name}.html.j2")
    return Markup(template.render({**context, FIGURES: figures}))


def _contexts(comparison: Comparison, group: Group, findings: Findings, number: int) -> dict[Section, Context]:
    """Return the context of each section that has something to show of a group, its figures drawn."""
    contexts: dict[Section, Context] = {}
    for section in SECTIONS:
        context = section.fill(Content(comparison, group, findings))
        if context is not None:
            figures = {
                name: draw(figure, f"{number}/{section.name}/{name}")
                for name, figure in context.get(FIGURES, {}).items()
            }
            contexts[section] = {**context, FIGURES: figures}
    return contexts


def _figures(contexts: Mapping[Section, Context]) -> dict[str, Drawing]:
    return {
        f"{section.name}/{name}": drawing
        for section, context in contexts.items()
        for name, drawing in context[FIGURES].items()
    }
