"""From a study's folder to the files that compare its runs; what the commands report and train share."""

from pathlib import Path

from synthaug.analysis.comparison import compare
from synthaug.analysis.cost import Prices, costs, document
from synthaug.analysis.document import print_document
from synthaug.analysis.export import write_files
from synthaug.analysis.study import Comparison
from synthaug.analysis.table import print_table


def make_report(study: Path, prices: Prices | None = None) -> Comparison:
    """Write `results.csv`, `results.json` and `report.html` into the study's folder."""
    from synthaug.analysis.page.render import write_page  # matplotlib takes a second that a wrong path need not cost

    comparison = compare(study)
    write_files(comparison)
    write_page(comparison, prices)
    return comparison


def show_report(study: Path, prices: Prices | None = None) -> Comparison:
    """Make the report, print its table and where its page is; with `prices` what each arm took, too."""
    comparison = make_report(study, prices)
    print_table(comparison)
    for group in comparison.groups if prices else ():
        print_document(document(costs(study, group, prices), prices))
    print(study / "report.html")
    return comparison
