"""Documents and sentences from the macros in `templates/`, one file per question.

A macro of a document writes headings, paragraphs, lists, tables and indented commands as Markdown does, with an empty
line between them. What a template fills in is always text: a name such as "# x | y" makes neither a heading nor a cell.
"""

import builtins
import functools
import re
from collections.abc import Callable
from pathlib import Path

import jinja2
from markupsafe import Markup  # text of a macro that writes several blocks, whose lines stay lines

from synthaug.analysis.text import format
from synthaug.analysis.text.document import Block, Commands, Heading, Points, Rows, Sentences
from synthaug.messages import join_words, plural
from synthaug.terminal import printable

TEMPLATES = Path(__file__).parent / "templates"
_VALUE, _PIPE = "\x00", "\x01"  # before each value that was filled in; for each | in one


class Template:
    """The macros of one file."""

    def __init__(self, name: str, **constants: object) -> None:
        """Remember the file `templates/<name>.md.j2`, read at its first use, and what all of its macros may use."""
        self._name, self._constants = name, constants

    def document(self, macro: str, *values: object) -> list[Block]:
        """Return the blocks that a macro writes with these arguments."""
        parts = re.split(r"\n(?:[ \t]*\n)+", self._filled(macro, *values))
        return [_block(part.strip("\n").rstrip()) for part in parts if part.strip()]

    def sentence(self, macro: str, *values: object) -> str:
        """Return the text of a macro on one line."""
        return _line(self._filled(macro, *values))

    def sentences(self, macro: str, *values: object) -> list[str]:
        """Return the items of the lists that a macro writes."""
        return [item for block in self.document(macro, *values) if isinstance(block, Points) for item in block.items]

    def _filled(self, macro: str, *values: object) -> str:
        template = _environment().get_template(f"{self._name}.md.j2", globals=self._constants)
        fill: Callable[..., str] = getattr(template.module, macro)
        return fill(*values)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        finalize=lambda value: value if isinstance(value, Markup) else _protect(str(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = {name: item for name, item in vars(format).items() if callable(item)}
    environment.globals.update(f=format, plural=plural)
    environment.filters.update(formats, blocks=Markup, fmt=builtins.format, join_words=join_words, plural=plural)
    return environment


def _protect(value: str) -> str:
    return _VALUE + value.strip("\n").replace("\n", " ").replace("|", _PIPE)


def _line(text: str) -> str:
    return printable(" ".join(text.replace(_VALUE, "").replace(_PIPE, "|").split()))


def _block(part: str) -> Block:
    """One part of a document, whose kind its first characters show."""
    if heading := re.match(r"(#+) ", part):
        return Heading(_line(part[heading.end() :]), len(heading[1]))
    if part.startswith("- "):
        return Points([_line(item) for item in re.split("^- ", part, flags=re.MULTILINE)[1:]])
    if part.startswith("    "):
        return Commands([_line(line) for line in part.splitlines()])
    return _rows(part.splitlines()) if part.startswith("|") else Sentences(_line(part))


def _rows(lines: list[str]) -> Rows:
    """Read a table of Markdown; `<br>` in a header breaks a line, a column whose rule ends in a colon holds numbers."""
    header, rule, *rows = ([_line(cell) for cell in line.strip()[1:-1].split("|")] for line in lines)
    left = tuple(column for column, dashes in enumerate(rule) if not dashes.endswith(":"))
    return Rows([cell.replace("<br>", "\n") for cell in header], rows, left)
