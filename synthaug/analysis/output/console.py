"""The comparison on the console."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings
from synthaug.analysis.text import arm_table, cost_text, format, robustness_text, sentences
from synthaug.analysis.text.check_text import check_lines
from synthaug.analysis.text.document import Heading, print_document, standard_console
from synthaug.messages import plural

_ENDLESS = 10_000  # columns, to measure a table that is not folded
_WIDE_ONLY = ("synthetic\nshare", "steps")  # columns of a wide console


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
                print_document([Heading(format.title(group), 1)], console)
            if group_findings.robustness:
                print_document(robustness_text.document(group_findings.robustness, whole=False), console)
            if prices:
                print_document(cost_text.document(group_findings.costs, prices), console)
    return text.get()


def print_comparison(comparison: Comparison, findings: Sequence[Findings], console: Console | None = None) -> None:
    """Print one table per group; below it the headline, what it covers, the serious checks and the warnings.

    Args:
        comparison: of the study.
        findings: of each group.
        console: by default the terminal, or 120 columns into a pipe.
    """
    console = console or standard_console()
    for group, group_findings in zip(comparison.groups, findings, strict=True):
        table = _table(comparison, group)
        if console.measure(table, options=console.options.update(width=_ENDLESS)).maximum > console.width:
            table = _table(comparison, group, narrow=True)
        console.print(table)
        console.print(Text(sentences.headline(group), style="bold"))
        for line in sentences.caption(group):
            console.print(Text(line, style="dim"))
        if line := sentences.trend(group):
            console.print(Text(line))
        for line in check_lines(group_findings.checks):
            console.print(Text(line))


def _table(comparison: Comparison, group: Group, narrow: bool = False) -> Table:
    """Return the table; a narrow one has intervals on a line of their own, and no synthetic share and steps."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=narrow, title_justify="left", title_style="bold"
    )
    table.title = Text(f"{comparison.study}: {format.title(group)} ({plural(group.n_test, 'test image')})")
    columns = [i for i, header in enumerate(arm_table.HEADERS) if not narrow or header not in _WIDE_ONLY]
    for column in columns:
        header = arm_table.HEADERS[column]
        is_text = header in ("arm", "seeds")
        # Folded, not cut: names of arms may differ in their last letters.
        table.add_column(
            header.replace(" from", "\nfrom") if narrow else header,
            justify="left" if is_text else "right",
            vertical="bottom",
            overflow="fold",
            no_wrap=narrow and not is_text,
        )
    for arm in group.arms:
        cells = arm_table.cells(arm, group)
        # Text, since a name such as "[red]" is markup in a plain string.
        table.add_row(*(Text(cells[i].replace(" [", "\n[") if narrow and i else cells[i]) for i in columns))
    return table
