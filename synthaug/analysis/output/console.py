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


def report_text(comparison: Comparison, findings: Sequence[Findings], prices: Prices | None = None) -> str:
    """Return what the console shows of a study, as wide and as colourful as the terminal can.

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
                print_document(robustness_text.summary(group_findings.robustness), console)
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
        console.print(_table(comparison, group))
        console.print(Text(sentences.headline(group), style="bold"))
        for line in sentences.caption(group):
            console.print(Text(line, style="dim"))
        if line := sentences.trend(group):
            console.print(Text(line))
        for line in check_lines(group_findings.checks):
            console.print(Text(line))


def _table(comparison: Comparison, group: Group) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    table.title = Text(f"{comparison.study}: {format.title(group)} ({plural(group.n_test, 'test image')})")
    for header in arm_table.HEADERS:
        # Folded, not cut: names of arms may differ in their last letters.
        table.add_column(header, justify="left" if header in ("arm", "seeds") else "right", overflow="fold")
    for arm in group.arms:
        # Text, since a name such as "[red]" is markup in a plain string.
        table.add_row(*(Text(cell) for cell in arm_table.cells(arm, group)))
    return table
