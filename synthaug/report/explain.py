"""`report explain`: from a run's accuracy to its predictions, its mix, and how each synthetic image was generated."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.explain.image_report import find_image
from synthaug.analysis.explain.run_explanation import explain, write_images
from synthaug.analysis.text import explain_text
from synthaug.analysis.text.document import show
from synthaug.report.arguments import report_parser


def main(arguments: Sequence[str]) -> int:
    """Explain the run, or one image, and return the exit code."""
    parser = report_parser(
        "explain",
        "Explain a run from its accuracy to its predictions, its mix, and how each synthetic image was generated.",
        "0 everything is explained; 1 the run's files contradict one another, or some cannot be read (listed first); "
        "2 no such run\nor image, or the command line is wrong.",
        ["outputs/default/digits/64-*/seed0", "<run> --image test/3/17.png"],
    )
    parser.add_argument("run", type=Path, help="folder of the run: <study>/<dataset>/<arm>/seed<k>")
    parser.add_argument("--image", metavar="PATH", help="report one test or training image, by a part of its path")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every training image with its provenance")
    parsed = parser.parse_args(arguments)
    if parsed.image is not None:
        show(explain_text.image_document(find_image(parsed.run, parsed.image)), parsed.markdown)
        return 0
    explanation = explain(parsed.run)
    if parsed.csv is not None:
        write_images(explanation, parsed.csv)
    show(explain_text.document(explanation), parsed.markdown)
    return 1 if explanation.problems else 0
