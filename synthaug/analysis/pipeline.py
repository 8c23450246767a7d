"""From a study's folder to the files that compare its runs; what the commands report and train share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Comparison
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings, findings
from synthaug.analysis.output.console import print_comparison
from synthaug.analysis.output.export import write_files
from synthaug.analysis.text import cost_text, robustness_text
from synthaug.analysis.text.document import Heading, print_document
from synthaug.analysis.text.format import title
from synthaug.files import write_text

PAGE = "report.html"


@dataclass(frozen=True)
class StudyReport:
    """What the files of a study were written from.

    Attributes:
        comparison: of its runs.
        findings: by group.
        figures: by group, "<section>/<figure>" → SVG of each figure on the page.
    """

    comparison: Comparison
    findings: tuple[Findings, ...]
    figures: tuple[Mapping[str, str], ...]


def make_report(study: Path, prices: Prices | None = None) -> StudyReport:
    """Write `results.csv`, `.json`, `.md` and `.tex`, and `report.html`, into the study's folder.

    Args:
        study: the folder.
        prices: to add the price of each arm.
    """
    # matplotlib takes a second that a wrong path need not cost
    from synthaug.analysis.output.page.render import render

    comparison = compare(study)
    by_group = findings(comparison, prices)
    write_files(comparison, by_group)
    page = render(comparison, by_group, prices)
    write_text(study / PAGE, page.html)
    return StudyReport(comparison, by_group, page.figures)


def show_report(study: Path, prices: Prices | None = None) -> StudyReport:
    """Make the report, print its table and the path of its page.

    Args:
        study: the folder.
        prices: to print the cost of each arm, too.
    """
    report = make_report(study, prices)
    print_comparison(report.comparison, report.findings)
    for group, of_group in zip(report.comparison.groups, report.findings, strict=True):
        if len(report.findings) > 1 and (of_group.robustness or prices):
            print_document([Heading(title(group), 1)])
        if of_group.robustness:
            print_document(robustness_text.summary(of_group.robustness))
        if prices:
            print_document(cost_text.document(of_group.costs, prices))
    print(study / PAGE)
    return report
