"""From a comparison to the page: the frame around the sections that have something to show."""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.cost import Prices
from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import Drawing, draw
from synthaug.analysis.output.page.content import Content
from synthaug.analysis.output.page.sections import FIGURES, SECTIONS, Context, Section
from synthaug.analysis.text import arm_table, cost_text, format, sentences
from synthaug.messages import plural

# What shows every arm by itself; a grid has a dozen or more.
_FOLDED_IN_A_GRID = frozenset((
    "decomposition", "classes", "verdicts", "power", "learning", "confusion", "hardest", "cost", "protocol"
))  # fmt: skip
TEMPLATES = Path(__file__).parent / "templates"


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
    style = _environment().get_template("style.css.j2").render(theme=palette.THEME)
    parts, figures = [], []
    for number, (group, of_group) in enumerate(zip(comparison.groups, findings, strict=True), 1):
        contexts = _contexts(comparison, group, of_group, number)
        grid = grid_of(group) is not None
        shared = {
            "comparison": comparison,
            "prices": prices,
            "group": group,
            "number": number,
            "colour": palette.arm_colours(group.arms),
            "labels": arm_table.labels(group),
            "grid": grid,
        }
        parts.append(
            (
                group,
                [
                    (section, _fill(section, {**shared, **context}), grid and section.name in _FOLDED_IN_A_GRID)
                    for section, context in contexts.items()
                ],
            )
        )
        figures.append(_figures(contexts))
    frame = _environment().get_template("page.html.j2")
    html = frame.render(comparison=comparison, parts=parts, style=Markup(style), policy=_policy(style))
    return Page(html, tuple(figures))


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(cost_text=cost_text, format=format, plural=plural, sentences=sentences)
    environment.filters.update(
        themed=palette.themed,
        kind=lambda block: type(block).__name__,
        transposed=lambda rows: zip(*rows, strict=True),
    )
    return environment


def _fill(section: Section, context: Context) -> Markup:
    # Markup: the figures have escaped their text themselves.
    figures = {name: Markup(drawing.element) for name, drawing in context[FIGURES].items()}
    template = _environment().get_template(f"sections/{section.name}.html.j2")
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


def _policy(style: str) -> str:
    """Return a Content-Security-Policy (W3C, level 3): this style sheet, pictures within the page, and no more."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
