"""`report <study>`: the comparison of its runs, from files alone."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.analysis.output import report_cache
from synthaug.report.arguments import report_parser
from synthaug.terminal import printable

if TYPE_CHECKING:
    from synthaug.analysis.pipeline import StudyReport

_DESCRIPTION = """Compare the runs of a study, or answer a question about one, from files alone. Questions:

  status   which runs are finished, running, stopped or failed, and what to type to go on
  drop     takes runs out of a study
  compare  two arms that the study did not compare
  explain  a run, from its accuracy to its images
  power    what a plan, a dataset or a study can show
  plan     the cheapest mix that reaches an accuracy
  audit    what a published table of accuracies can show
  set      what a synthetic set, or any pool of images, is like

Each has a --help of its own. A study whose folder is called like one of these words is given as ./audit."""
_EXAMPLES = [
    "outputs/default [--wandb] [--price-hour 1.20]",
    "status outputs/default [--json]",
    "drop outputs/default photos-old 64-seed2",
    "explain outputs/default/digits/real-*/seed0 [--image <path>]",
    "compare outputs/default 64 82",
    "power --accuracy 0.98 --n 162",
    "plan outputs/exchange --accuracy 0.96 --price-photo 0.50 --price-hour 1.20",
    "audit experiments/paper/published.yaml [--markdown]",
    "set outputs/synthetic/digits/tiny_digits-18e433 --real outputs/datasets/digits",
]


def main(arguments: Sequence[str]) -> int:
    """Report the study and return the exit code."""
    parser = report_parser(
        "",
        _DESCRIPTION,
        "0 every planned run is finished and compared, or the question is answered; 1 some runs are not (all\n"
        "files are written and say so), W&B cannot be reached, or a run's files contradict one another; 2 nothing to\n"
        "report, a file cannot be used, or the command line is wrong.",
        _EXAMPLES,
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    parser.add_argument("--wandb", action="store_true", help="show the comparison in W&B, in the study's summary run")
    parser.add_argument("--price-hour", type=float, metavar="P", help="print costs, with P for an hour of the machine")
    parsed = parser.parse_args(arguments)
    priced = parsed.price_hour is not None
    stored = None if priced or parsed.wandb else report_cache.load(parsed.study)
    if stored:
        report_cache.show(parsed.study, stored.text)
        return 0 if stored.complete else 1
    from synthaug.analysis.cost import Prices  # all that computes and draws: an unchanged study does without
    from synthaug.analysis.pipeline import show_report

    report = show_report(parsed.study, Prices(parsed.price_hour) if priced else None)
    return 0 if (not parsed.wandb or _publish(report)) and report.comparison.complete else 1


def _publish(report: "StudyReport") -> bool:
    from synthaug.tracking import run_ids, summary_run

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("synthaug").setLevel(logging.INFO)
    published = summary_run.publish(report)
    if hint := run_ids.upload_hint(report.comparison.folder):
        print(printable(hint))
    return published
