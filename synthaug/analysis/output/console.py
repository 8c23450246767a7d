"""The comparison on the console."""

import re
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings
from synthaug.analysis.text import (
    arm_table,
    cost_text,
    equivalent_text,
    factor_text,
    format,
    robustness_text,
    sentences,
    subsets_text,
)
from synthaug.analysis.text.check_text import check_lines
from synthaug.analysis.text.document import Block, Heading, show, standard_console
from synthaug.messages import plural
from synthaug.terminal import printable

MAX_PAIRS = 10  # comparisons that a study names
_ENDLESS = 10_000  # columns, to measure a table that is not folded
# The first that fits is taken. A narrow one has no synthetic share and steps, intervals on a line of their own and
# ranges of seeds; the narrowest also has both numbers of images in one column, which leaves room for long names.
_LAYOUTS = ("wide", "narrow", "narrowest")
_NAME_WIDTH = 16
_WIDE_ONLY = ("synthetic\nshare", "steps")


def report_text(comparison: Comparison, findings: Sequence[Findings], prices: Prices | None = None) -> str:
    """Return what the console shows of a study, in the width and colours of the terminal.

    Args:
        comparison: of the study.
        findings: of each group.
        prices: to show the cost of each arm, too.
    """
    console = standard_console()
    with console.capture() as text:
        print_comparison(comparison, findings, console)
        for group, group_findings in zip(comparison.groups, findings, strict=True):
            if len(findings) > 1 and (group_findings.robustness or prices):
                show([Heading(format.title(group), 1)], console=console)
            for blocks in _subsets(group, group_findings):
                show(blocks, console=console)
            if group_findings.robustness:
                show(robustness_text.document(group_findings.robustness, whole=False), console=console)
            if prices:
                show(cost_text.document(group_findings.costs, arm_table.grid_labels(group)), console=console)
    return text.get()


def _subsets(group: Group, findings: Findings) -> Iterator[Sequence[Block]]:
    """Yield what arms do for classes of unequal size and for groups of the test images."""
    labels = arm_table.labels(group)
    if findings.balance and findings.balance.is_unequal:
        yield [Heading("Balanced accuracy"), *subsets_text.balance_document(findings.balance, labels, False)]
    if findings.image_groups:
        yield [Heading("Groups of test images"), *subsets_text.groups_document(findings.image_groups, labels)]


def print_comparison(comparison: Comparison, findings: Sequence[Findings], console: Console | None = None) -> None:
    """Print one table per group; below it the headline, what it covers, the serious checks and the warnings.

    Args:
        comparison: of the study.
        findings: of each group.
        console: by default the terminal, or 120 columns into a pipe.
    """
    console = console or standard_console()
    for group, group_findings in zip(comparison.groups, findings, strict=True):
        for layout in _LAYOUTS:
            table = _table(comparison, group, layout)
            if console.measure(table, options=console.options.update(width=_ENDLESS)).maximum <= console.width:
                break
        console.print(table)
        show(factor_text.pairs_document(group, MAX_PAIRS), console=console)
        console.print(Text(sentences.headline(group), style="bold"))
        if line := equivalent_text.results(group_findings.equivalents, arm_table.labels(group)):
            console.print(Text(line))
        for line in sentences.caption(group):
            console.print(Text(line, style="dim"))
        if line := sentences.trend(group):
            console.print(Text(line))
        for line in check_lines(group_findings.listed_checks, arm_table.grid_labels(group)):
            console.print(Text(line))
    if line := sentences.groups_note(comparison.groups):
        console.print(Text(line, style="dim"))


def _table(comparison: Comparison, group: Group, layout: str) -> Table:
    """Return the table in one of `_LAYOUTS`."""
    narrow = layout != "wide"
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=narrow, title_justify="left", title_style="bold"
    )
    table.title = Text(printable(f"{comparison.study}: {format.title(group)} ({plural(group.n_test, 'test image')})"))
    headers, rows = _cells(group, layout)
    for header in headers:
        is_text = header in ("arm", arm_table.REFERENCE, arm_table.SEEDS, arm_table.ONE_SEED)
        # Folded, not cut: names of arms may differ in their last letters.
        table.add_column(
            header,
            justify="left" if is_text else "right",
            vertical="bottom",
            overflow="fold",
            no_wrap=narrow and not is_text,
        )
    for row in rows:
        # Text, since a name such as "[red]" is markup in a plain string.
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _cells(group: Group, layout: str) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows in one of `_LAYOUTS`."""
    headers, rows = arm_table.table(group)
    if layout == "wide":
        return headers, rows
    kept = [column for column, header in enumerate(headers) if header not in _WIDE_ONLY]
    headers = [headers[column].replace(" from", "\nfrom") for column in kept]
    rows = [[row[0], *(row[column].replace(" [", "\n[") for column in kept[1:])] for row in rows]
    for row, arm in zip(rows, arm_table.ordered(group), strict=True):
        row[-1] = _seed_ranges(arm.seeds) or row[-1]
    if "synthetic" not in headers:  # a grid, whose arms are called by both numbers
        for row in rows:
            row[0] = row[0].replace(" + ", "\n+ ")
    elif layout == "narrowest":
        headers[1:3] = [",\n".join(headers[1:3])]
        for row in rows:
            row[:3] = [_folded_name(row[0]), "\n".join(row[1:3])]
    return headers, rows


def _folded_name(name: str) -> str:
    """Return a long name on several lines that end in its hyphens, as far as it has them."""
    lines = [""]
    for part in re.findall(r"[^-]*-|[^-]+", name):
        if lines[-1] and len(lines[-1] + part) > _NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _seed_ranges(seeds: Sequence[int]) -> str:
    """Return ascending seeds with three or more in a row as a range: "0–4 7"."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return " ".join(f"{part[0]}–{part[-1]}" if len(part) > 2 else " ".join(map(str, part)) for part in parts)
