"""What all pages share: the templates, the style sheet, and what a browser may load."""

import base64
import functools
import hashlib
from pathlib import Path

import jinja2

from synthaug.analysis.output.figures import palette
from synthaug.analysis.text import cost_text, format, sentences
from synthaug.messages import plural

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of the templates; what they fill in is escaped."""
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


def style_sheet() -> str:
    """Return the style sheet of all pages."""
    return environment().get_template("style.css.j2").render(theme=palette.THEME)


def policy(style: str) -> str:
    """Return a Content-Security-Policy (W3C, level 3): this style sheet, pictures within the page, and no more."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
