"""`report explain`: from a run's accuracy to its answers, its mix, and how each synthetic image was made."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.explain import run_explanation
from synthaug.analysis.text import explain_text
from synthaug.analysis.text.document import show


def main(arguments: Sequence[str]) -> int:
    """Explain the run, or one image, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report explain",
        description="Walk from a run's accuracy to its answers, its mix, and how each synthetic image was made.",
        epilog="Exit codes: 0 all is explained; 1 the run's files contradict one another, or some cannot be read (said "
        "first); 2 there is no such run or image, or the command line is wrong.",
    )
    parser.add_argument("run", type=Path, help="folder of the run: <study>/<dataset>/<generator>/<model>/<mix>/seed<k>")
    parser.add_argument("--image", metavar="PATH", help="tell of one test or training image, by a part of its path")
    parser.add_argument("--all", action="store_true", help="list every synthetic image instead of a few per class")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all that is known of every training image")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    if parsed.image is not None:
        show(explain_text.story(run_explanation.find_image(parsed.run, parsed.image)), parsed.markdown)
        return 0
    explanation = run_explanation.explain(parsed.run)
    if parsed.csv is not None:
        run_explanation.write_images(explanation, parsed.csv)
    show(explain_text.document(explanation, parsed.all), parsed.markdown)
    return 1 if explanation.problems else 0
