"""From a study's folder to the files that compare its runs; what the commands report and train share."""

from pathlib import Path

from synthaug.analysis.comparison import compare
from synthaug.analysis.export import write_files
from synthaug.analysis.study import Comparison
from synthaug.analysis.table import print_table


def make_report(study: Path) -> Comparison:
    """Write `results.csv`, `results.json` and `report.html` into the study's folder."""
    from synthaug.analysis.page.render import write_page  # matplotlib takes a second that a wrong path need not cost

    comparison = compare(study)
    write_files(comparison)
    write_page(comparison)
    return comparison


def show_report(study: Path) -> bool:
    """Make the report, print its table and where its page is; True if every planned run is finished and compared."""
    comparison = make_report(study)
    print_table(comparison)
    print(study / "report.html")
    return comparison.complete
