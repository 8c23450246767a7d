"""From a study's folder to the files that compare its runs; what the commands report and train share."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Comparison
from synthaug.analysis.cost import Prices
from synthaug.analysis.findings import Findings, findings
from synthaug.analysis.output import report_cache
from synthaug.analysis.output.console import report_text
from synthaug.analysis.output.export import write_files
from synthaug.analysis.output.page import pictures
from synthaug.analysis.output.report_cache import StoredReport
from synthaug.analysis.set_pages import page_files
from synthaug.analysis.training_images import locator, set_folders
from synthaug.analysis.validity import checks
from synthaug.analysis.validity.sources import sources
from synthaug.data.samples import SYNTHETIC
from synthaug.files import remove_unfinished, why_not_writable, write_text
from synthaug.generation.manifest import part_files
from synthaug.runs import layout
from synthaug.runs.planning import record_looks
from synthaug.terminal import printable


@dataclass(frozen=True)
class StudyReport:
    """What the files of a study were written from.

    Attributes:
        comparison: of its runs.
        findings: by group.
        figures: by group, "<section>/<figure>" → SVG element of each figure on the page.
        figure_files: paths of the same below the study's folder, as SVG and PDF.
    """

    comparison: Comparison
    findings: tuple[Findings, ...]
    figures: tuple[Mapping[str, str], ...]
    figure_files: tuple[str, ...] = ()


def make_report(study: Path, prices: Prices | None = None) -> StudyReport:
    """Write `results.csv`, `.json`, `.md` and `.tex`, and `report.html` with its `figures/`, into the study's folder.

    Args:
        study: the folder.
        prices: to add the price of each arm.
    """
    # matplotlib takes a second that a wrong path need not cost
    from synthaug.analysis.output.figures.vector_files import remove_stale, write_vector_files
    from synthaug.analysis.output.page.render import render

    comparison, by_group = _analyse(study, prices)
    for folder in (study, study / layout.FIGURES):
        remove_unfinished(folder)
    record_looks(study, {seeds for group in comparison.groups for seeds in group.looks})
    write_files(comparison, by_group)
    page = render(comparison, by_group, prices)
    write_text(study / layout.PAGE, page.html)
    written = write_vector_files(study, comparison.groups, page.figures)
    remove_stale(study, report_cache.figure_files(study), written)
    elements = ({name: drawing.element for name, drawing in of_group.items()} for of_group in page.figures)
    return StudyReport(comparison, by_group, tuple(elements), written)


def _analyse(study: Path, prices: Prices | None) -> tuple[Comparison, tuple[Findings, ...]]:
    comparison = compare(study)
    return comparison, findings(comparison, prices)


def show_report(study: Path, prices: Prices | None = None) -> StudyReport:
    """Make the report, print its table and the path of its page; of a study that is read-only, print the table alone.

    Args:
        study: the folder.
        prices: to print the cost of each arm, too.
    """
    if study.is_dir() and (reason := why_not_writable(study)):
        comparison, by_group = _analyse(study, prices)
        print(report_text(comparison, by_group, prices), end="")
        print(printable(f"No file is written: {reason}."), file=sys.stderr)
        return StudyReport(comparison, by_group, ())
    inputs = report_cache.inputs(study)
    report = make_report(study, prices)
    text = report_text(report.comparison, report.findings, prices)
    if prices is None:
        stored = StoredReport(text, report.comparison.complete)
        report_cache.store(study, stored, inputs, _images(report.comparison), report.figure_files)
    report_cache.show(study, text)
    return report


def _images(comparison: Comparison) -> Iterator[Path]:
    """Yield every image that checks or page read, and the manifests of the synthetic ones."""
    locate = locator(comparison.folder)
    for group in comparison.groups:
        images = sources(group)
        rows, tests = checks.read_images(images)
        yield from (locate(row.file) for row in rows)
        yield from (locate(path) for path, _ in tests)
        folders = set_folders(images.train[SYNTHETIC], locate)
        yield from (part for folder in folders.values() for part in part_files(folder))
        yield from map(locate, pictures.paths(group))
        yield from page_files(group, comparison.folder)
