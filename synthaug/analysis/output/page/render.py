"""From a comparison to the file: the frame of the page around the sections that have something to say."""

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.page.sections import SECTIONS, Context, Section
from synthaug.analysis.text import arm_table, cost_text, format, sentences

TEMPLATES = Path(__file__).parent / "templates"
FIGURES = ("figures", "control_figures")  # in the context of a section


@dataclass(frozen=True)
class Page:
    """A rendered page.

    Attributes:
        html: no script, no address outside of itself.
        figures: by group, "<section>/<figure>" → SVG of each figure on the page.
    """

    html: str
    figures: tuple[Mapping[str, str], ...]


def render(comparison: Comparison, findings: Sequence[Findings], prices: Prices | None = None) -> Page:
    """Render the page of a study.

    Args:
        comparison: of the study.
        findings: by group.
        prices: that the costs were computed with.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        arm_table=arm_table,
        format=format,
        sentences=sentences,
        cost_text=cost_text,
        comparison=comparison,
        prices=prices,
    )
    environment.filters.update(
        themed=palette.themed,
        kind=lambda block: type(block).__name__,
        transposed=lambda rows: zip(*rows, strict=True),
    )
    style = environment.get_template("style.css.j2").render(theme=palette.THEME)
    numbers = itertools.count(1)
    contexts = [
        _contexts(comparison, group, of_group, numbers)
        for group, of_group in zip(comparison.groups, findings, strict=True)
    ]
    html = environment.get_template("page.html.j2").render(
        parts=[
            (group, _sections(environment, group, context, number))
            for number, (group, context) in enumerate(zip(comparison.groups, contexts, strict=True), start=1)
        ],
        style=Markup(style),
        policy=_policy(style),
    )
    return Page(html, tuple(_figures(context) for context in contexts))


def _contexts(
    comparison: Comparison, group: Group, findings: Findings, numbers: Iterator[int]
) -> dict[Section, Context]:
    """What fills each section that has something to say of a group, the ids of its figures numbered."""
    contexts: dict[Section, Context] = {}
    for section in SECTIONS:
        context = section.fill(comparison, group, findings)
        if context is not None:
            figures = {
                part: {name: _with_unique_ids(svg, next(numbers)) for name, svg in context[part].items()}
                for part in FIGURES
                if part in context
            }
            contexts[section] = {**context, **figures}
    return contexts


def _with_unique_ids(svg: str, number: int) -> Markup:
    """Prefix the ids of a figure, since every figure counts from one; inside of tags only (in text > is an entity)."""
    return Markup(re.sub(r'(?<= )(id="|href="#|clip-path="url\(#)(?=[^<>]*>)', rf"\g<1>figure{number}-", str(svg)))


def _figures(contexts: Mapping[Section, Context]) -> dict[str, str]:
    return {
        f"{section.name}/{name}": str(svg)
        for section, context in contexts.items()
        for part in FIGURES
        for name, svg in context.get(part, {}).items()
    }


def _policy(style: str) -> str:
    """A Content-Security-Policy (W3C, level 3) that allows this style sheet, pictures within the page, and no more."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _sections(
    environment: jinja2.Environment, group: Group, contexts: Mapping[Section, Context], number: int
) -> list[tuple[Section, Markup]]:
    """Each section of a group with its text; a text may point at other sections."""
    told = {section.name: context for section, context in contexts.items()}
    shared = {"group": group, "number": number, "told": told, "colour": palette.of_arms(group.arms)}
    return [
        (section, Markup(environment.get_template(f"sections/{section.name}.html.j2").render(**shared, **context)))
        for section, context in contexts.items()
    ]
