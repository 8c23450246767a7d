"""The check of a dataset on the console, as a table of all findings, and as a page with pictures."""

from pathlib import Path

from markupsafe import Markup

from synthaug.analysis.dataset.dataset_check import DatasetCheck
from synthaug.analysis.dataset.defects import Finding
from synthaug.analysis.output.page.frame import environment, policy, style_sheet
from synthaug.analysis.output.page.thumbnails import Thumbnail, thumbnail
from synthaug.analysis.text import dataset_text
from synthaug.analysis.text.document import show
from synthaug.files import write_rows, write_text

TABLE, PAGE = "findings.csv", "report.html"
MAX_SHOWN = 50  # findings of a kind on the page
_HEADER = ("severity", "finding", "path", "split", "class", "other_path", "detail")


def print_check(check: DatasetCheck) -> None:
    """Print the images of each class and the kinds of findings."""
    show(dataset_text.document(check))


def write(folder: Path, check: DatasetCheck) -> None:
    """Write `findings.csv` and `report.html`.

    Args:
        folder: of both.
        check: of the dataset.
    """
    rows = (
        [
            *(finding.severity, finding.code, finding.listed.path, finding.listed.split, finding.listed.class_name),
            finding.other.path if finding.other else "",
            dataset_text.detail(finding),
        ]
        for finding in check.findings
    )
    write_rows(folder / TABLE, _HEADER, rows)
    write_text(folder / PAGE, page(check))


def page(check: DatasetCheck) -> str:
    """Return the page: one section per kind of finding, each file with its picture."""
    style = style_sheet()
    groups = dataset_text.by_code(check.findings)
    shown = {
        code: [(finding, dataset_text.detail(finding), _pictures(finding)) for finding in findings[:MAX_SHOWN]]
        for code, findings in groups.items()
    }
    template = environment().get_template("dataset.html.j2")
    return template.render(
        check=check,
        blocks=dataset_text.document(check)[1:],
        groups=groups,
        shown=shown,
        text=dataset_text,
        table=TABLE,
        style=Markup(style),
        policy=policy(style),
    )


def _pictures(finding: Finding) -> list[Thumbnail | None]:
    """Return the picture of a file, and of the one that it is a copy of."""
    listed = [finding.listed, finding.other] if finding.other else [finding.listed]
    return [thumbnail(item.file) if item.file.is_file() else None for item in listed]
