"""Sentences from the templates in `text/templates`: a macro each, filled with data."""

import functools
from pathlib import Path

import jinja2

from synthaug.analysis.text import format
from synthaug.messages import join_words, plural


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), undefined=jinja2.StrictUndefined
    )
    environment.globals.update(f=format, plural=plural)
    environment.filters.update(join_words=join_words)
    return environment.get_template(name)


def render(template: str, macro: str, *values: object) -> str:
    """Fill a macro and return its text in one line.

    Args:
        template: file name, such as "study.j2".
        macro: its name in that file.
        values: the macro's arguments.
    """
    return " ".join(render_lines(template, macro, *values))


def render_lines(template: str, macro: str, *values: object) -> list[str]:
    """Fill a macro and return its lines that are not empty, with single spaces.

    Args:
        template: file name, such as "study.j2".
        macro: its name in that file.
        values: the macro's arguments.
    """
    text = str(getattr(_template(template).module, macro)(*values))
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
