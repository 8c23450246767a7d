"""Headings, sentences, lists and tables, printed on a console or written as Markdown."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import TextWrapper

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from synthaug.terminal import printable

PIPE_WIDTH = 120  # columns where the output is not a terminal, so that no cell is folded


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
    """A list."""

    items: Sequence[str]


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


def show(blocks: Sequence[Block], as_markdown: bool = False, console: Console | None = None) -> None:
    """Print a document.

    Args:
        blocks: of the document.
        as_markdown: to print Markdown instead.
        console: by default `standard_console`.
    """
    console = console or standard_console()
    if as_markdown:
        print(printable(markdown(blocks)), end="")
    for block in () if as_markdown else blocks:
        # Text, since a name such as "[red]" is markup in a plain string.
        if isinstance(block, Heading):
            console.print(Text(block.text, style="bold underline" if block.level == 1 else "bold"))
            continue
        if isinstance(block, Sentences):
            console.print(Text(block.text))
        elif isinstance(block, Points):
            fold = TextWrapper(console.width, "- ", "  ", break_on_hyphens=False)
            console.print(Text("\n".join(map(fold.fill, block.items))))
        elif isinstance(block, Commands):
            console.print(Text("\n".join(f"    {line}" for line in block.lines)), soft_wrap=True)
        else:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
            for column, header in enumerate(block.headers):
                side: JustifyMethod = "left" if column in block.left else "right"
                table.add_column(Text(header), justify=side, vertical="bottom", overflow="fold")
            for row in block.rows:
                table.add_row(*(Text(printable(cell)) for cell in row))
            console.print(table)
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
            parts.append("\n".join(f"- {_literal(item)}" for item in block.items))
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
