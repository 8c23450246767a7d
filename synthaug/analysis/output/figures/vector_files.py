"""The figures of the page as files for a paper, `figures/<section>-<figure>.svg` and `.pdf`."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.output.figures.canvas import Drawing, pdf
from synthaug.files import whole_file, write_text
from synthaug.runs import layout


def write_vector_files(
    study: Path, groups: Sequence[Group], figures: Sequence[Mapping[str, Drawing]]
) -> tuple[str, ...]:
    """Write every figure twice, and return the paths below the study; each of several groups has its own folder.

    Args:
        study: its folder.
        groups: of the study.
        figures: by group, "<section>/<figure>" → figure.
    """
    written = []
    for group, drawings in zip(groups, figures, strict=True):
        names = (group.dataset,) if len(groups) > 1 else ()
        for name, drawing in drawings.items():
            path = "/".join((layout.FIGURES, *names, name.replace("/", "-")))
            _write(study / path, drawing)
            written += [f"{path}.svg", f"{path}.pdf"]
    return tuple(written)


def _write(path: Path, drawing: Drawing) -> None:
    """Write both files; nothing where they are of this very figure, since drawing it for the PDF takes longest."""
    svg_file, pdf_file = (path.with_name(f"{path.name}.{suffix}") for suffix in ("svg", "pdf"))
    if svg_file.is_file() and pdf_file.is_file() and svg_file.read_bytes() == drawing.svg.encode():
        return
    with whole_file(pdf_file) as temporary:
        temporary.write_bytes(pdf(drawing.figure))
    write_text(svg_file, drawing.svg)  # last: it tells that the other is of the same figure


def remove_stale(study: Path, earlier: Collection[str], written: Collection[str]) -> None:
    """Remove the figures of an earlier report that are no more, and no other file.

    Args:
        study: its folder.
        earlier: paths of figures below the study, by the earlier report.
        written: the same, by this one.
    """
    for path in (study / layout.FIGURES).rglob("*.*"):
        name = path.relative_to(study).as_posix()
        if name in earlier and name not in written:
            path.unlink(missing_ok=True)
