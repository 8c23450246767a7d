"""From a study's folder to the files that compare its runs; what the commands report and train share."""

from pathlib import Path

from synthaug.analysis import cost
from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Comparison
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings, findings
from synthaug.analysis.output.console import print_comparison
from synthaug.analysis.output.export import write_files
from synthaug.analysis.text import robustness_text
from synthaug.analysis.text.document import Heading, print_document
from synthaug.analysis.text.format import title


def make_report(study: Path, prices: Prices | None = None) -> Comparison:
    """Write `results.csv`, `.json`, `.md` and `.tex`, and `report.html`, into the study's folder."""
    return _made(study, prices)[0]


def _made(study: Path, prices: Prices | None) -> tuple[Comparison, tuple[Findings, ...]]:
    from synthaug.analysis.output.page.render import (
        write_page,  # matplotlib takes a second that a wrong path need not cost
    )

    comparison = compare(study)
    found = findings(comparison, prices)
    write_files(comparison, found)
    write_page(comparison, found, prices)
    return comparison, found


def show_report(study: Path, prices: Prices | None = None) -> Comparison:
    """Make the report, print its table and where its page is; with `prices` what each arm took, too."""
    comparison, found = _made(study, prices)
    print_comparison(comparison, found)
    for group, said in zip(comparison.groups, found, strict=True):
        if len(found) > 1 and (said.robustness or prices):
            print_document([Heading(title(group), 1)])
        if said.robustness:
            print_document(robustness_text.summary(said.robustness))
        if prices:
            print_document(cost.document(said.costs, prices))
    print(study / "report.html")
    return comparison
