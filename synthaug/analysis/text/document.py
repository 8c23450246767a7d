"""Headings, sentences, lists and tables, printed on a console or written as Markdown."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 120  # columns where the output is no terminal, so that no cell is folded


@dataclass(frozen=True)
class Heading:
    """A line above a part; `level` 1 is the whole document's."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Sentences:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list; `numbered` where the order says something."""

    items: Sequence[str]
    numbered: bool = False


@dataclass(frozen=True)
class Rows:
    """A table; the columns in `left` are words, the others numbers."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Commands:
    """Lines to be copied: never folded."""

    lines: Sequence[str]


Block = Heading | Sentences | Points | Rows | Commands


def show(blocks: Sequence[Block], as_markdown: bool) -> None:
    """Print on the console, or as Markdown.

    Args:
        blocks: of the document.
        as_markdown: to print Markdown.
    """
    if as_markdown:
        print(markdown(blocks), end="")
    else:
        print_document(blocks)


def print_document(blocks: Sequence[Block], console: Console | None = None) -> None:
    """Print on a console.

    Args:
        blocks: of the document.
        console: by default the terminal, or 120 columns without colour into a pipe.
    """
    console = console or standard_console()
    for block in blocks:
        # Text, since a name such as "[red]" is markup in a plain string.
        if isinstance(block, Heading):
            console.print(Text(block.text, style="bold underline" if block.level == 1 else "bold"))
        elif isinstance(block, Sentences):
            console.print(Text(block.text))
        elif isinstance(block, Points):
            console.print(_list(block))
        elif isinstance(block, Commands):
            console.print(Text("\n".join(f"    {line}" for line in block.lines)), soft_wrap=True)
        else:
            console.print(_table(block))
        if not isinstance(block, Heading):
            console.print()


def standard_console() -> Console:
    """Return the terminal, or a console of 120 columns into a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def markdown(blocks: Sequence[Block]) -> str:
    """Return Markdown that ends in one line break; headings begin two levels down, to stand in another document."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * (block.level + 2)} {_literal(block.text)}")
        elif isinstance(block, Sentences):
            parts.append(_literal(block.text))
        elif isinstance(block, Points):
            marks = [f"{number}." if block.numbered else "-" for number in range(1, len(block.items) + 1)]
            parts.append("\n".join(f"{mark} {_literal(item)}" for mark, item in zip(marks, block.items, strict=True)))
        elif isinstance(block, Commands):
            parts.append("\n".join(f"    {line}" for line in block.lines))
        else:
            rule = ["---" if column in block.left else "---:" for column in range(len(block.headers))]
            cells = [[_literal(cell) for cell in row] for row in (block.headers, *block.rows)]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])))
    return "\n\n".join(parts) + "\n"


def _literal(text: str) -> str:
    """Markdown that shows `text` as it is: names are the user's and may hold anything."""
    return re.sub(r"([\\`*_<|~]|(?<=\])\()", r"\\\1", " ".join(text.split()))


def _table(block: Rows) -> Padding:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column, header in enumerate(block.headers):
        is_text = column in block.left
        table.add_column(Text(header), justify="left" if is_text else "right", vertical="bottom", overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(cell) for cell in row))
    return Padding(table, 0, expand=False)


def _list(block: Points) -> Table:
    """Two columns without lines, so that a long item is folded beneath its beginning."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for number, item in enumerate(block.items, start=1):
        table.add_row(f"{number}." if block.numbered else "-", Text(item))
    return table
