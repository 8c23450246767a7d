"""From a comparison to the file: the frame of the page around the sections that have something to say."""

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from synthaug.analysis import cost
from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.page.sections import SECTIONS, Section
from synthaug.analysis.text import arm_table, format, sentences
from synthaug.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write_page(comparison: Comparison, found: Sequence[Findings], prices: Prices | None = None) -> Path:
    """Write `report.html` into the study's folder and return its path."""
    path = comparison.folder / "report.html"
    write_text(path, render(comparison, found, prices))
    return path


def render(comparison: Comparison, found: Sequence[Findings], prices: Prices | None = None) -> str:
    """The page as text: no script, no address outside of itself.

    Args:
        comparison: of the study.
        found: what else it says, by group.
        prices: that the costs were made with.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        arm_table=arm_table, format=format, sentences=sentences, cost=cost, comparison=comparison, prices=prices
    )
    environment.filters.update(
        themed=palette.themed,
        kind=lambda block: type(block).__name__,
        transposed=lambda rows: zip(*rows, strict=True),
    )
    style = environment.get_template("style.css.j2").render(theme=palette.THEME)
    page = environment.get_template("page.html.j2").render(
        parts=[
            (group, list(_sections(environment, comparison, group, said, number)))
            for number, (group, said) in enumerate(zip(comparison.groups, found, strict=True), start=1)
        ],
        style=Markup(style),
        policy=_policy(style),
    )
    return _with_ids_of_their_own(page)


def _with_ids_of_their_own(page: str) -> str:
    """The page with the ids of each figure numbered, since every figure counts from one."""
    number = itertools.count(1)

    def renamed(figure: re.Match[str]) -> str:
        prefix = f"figure{next(number)}-"
        # Inside of tags only: in text, a > would be written as an entity.
        return re.sub(r'(?<= )(id="|href="#|clip-path="url\(#)(?=[^<>]*>)', rf"\g<1>{prefix}", figure[0])

    return re.sub(r'<svg role="img".*?</svg>', renamed, page, flags=re.DOTALL)


def _policy(style: str) -> str:
    """A Content-Security-Policy (W3C, level 3) that allows this style sheet, pictures within the page, and no more."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _sections(
    environment: jinja2.Environment, comparison: Comparison, group: Group, said: Findings, number: int
) -> Iterator[tuple[Section, Markup]]:
    """The sections that have something to say of a group, each with its text; a text may point at other sections."""
    filled = {section: section.fill(comparison, group, said) for section in SECTIONS}
    told = {section.name: found for section, found in filled.items() if found is not None}
    for section, found in filled.items():
        if found is not None:
            template = environment.get_template(f"sections/{section.name}.html.j2")
            colour = palette.of_arms(group.arms)
            yield section, Markup(template.render(group=group, number=number, told=told, colour=colour, **found))
