"""From a study's folder to the files that compare its runs; what the commands report and train share."""

from pathlib import Path

from synthaug.analysis import cost, robustness_text
from synthaug.analysis.comparison import compare
from synthaug.analysis.cost import Prices
from synthaug.analysis.document import Heading, print_document
from synthaug.analysis.export import write_files
from synthaug.analysis.robustness import Robustness, as_json, by_group
from synthaug.analysis.study import Comparison
from synthaug.analysis.table import print_table
from synthaug.results import FORMAT, write_json


def make_report(study: Path, prices: Prices | None = None) -> Comparison:
    """Write `results.csv`, `results.json` and `report.html`; `robustness.json` where there are further test sets."""
    return _make_report(study, prices)[0]


def show_report(study: Path, prices: Prices | None = None) -> Comparison:
    """Make the report, print its table and where its page is; with `prices` what each arm took, too."""
    comparison, shifted = _make_report(study, prices)
    print_table(comparison)
    for key, found in shifted.items():
        heading = [Heading(" · ".join(key), 1)] if len(shifted) > 1 else []
        print_document([*heading, *robustness_text.document(found)])
    for group in comparison.groups if prices else ():
        print_document(cost.document(cost.costs(study, group, prices), prices))
    print(study / "report.html")
    return comparison


def _make_report(study: Path, prices: Prices | None) -> tuple[Comparison, dict[tuple[str, str, str], Robustness]]:
    from synthaug.analysis.page.render import write_page  # matplotlib takes a second that a wrong path need not cost

    comparison = compare(study)
    write_files(comparison)
    shifted = by_group(item.run for group in comparison.groups for item in group.runs)
    if shifted:
        groups = [
            dict(zip(("dataset", "generator", "model"), names, strict=True)) | as_json(found)
            for names, found in shifted.items()
        ]
        write_json(study / "robustness.json", {"format": FORMAT, "study": comparison.study, "groups": groups})
    write_page(comparison, prices)
    return comparison, shifted
