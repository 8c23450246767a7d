"""Command: make a study's table, CSV, JSON and page from its run folders, audit a published table, or plan a mix.

    python -m synthaug.report outputs/default
    python -m synthaug.report audit experiments/paper/published.yaml [--markdown]
    python -m synthaug.report plan outputs/exchange --accuracy 0.96 --photo 0.50 --hour 1.20 [--markdown]

A study whose folder is called like one of these words is given as ./audit.

Exit codes: 0 every planned run is finished and compared, or the table is audited; 1 some are not (all files are
written and say so); 2 there is nothing to report, the table cannot be used, or the command line is wrong.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthaug.analysis.audit import audit
from synthaug.analysis.audit_text import document
from synthaug.analysis.document import Block, markdown, print_document
from synthaug.analysis.plan_study import Asked, plans
from synthaug.analysis.plan_text import document as plan_document
from synthaug.analysis.published import read_published
from synthaug.analysis.report import show_report
from synthaug.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first word asks for, else report a study, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in _WORDS:
            return _WORDS[arguments[0]](arguments[1:])
        return _study(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def _study(arguments: Sequence[str]) -> int:
    description, _, codes = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report",
        description=description.removeprefix("Command: "),
        epilog=codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    return 0 if show_report(parser.parse_args(arguments).study) else 1


def _audit(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report audit",
        description="Say what a published table of accuracies can and cannot show.",
        epilog="Exit codes: 0 the table is audited; 2 it cannot be used, or the command line is wrong.",
    )
    parser.add_argument("table", type=Path, help="YAML of the table; experiments/paper/README.md says how to write one")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    _show(document(audit(read_published(parsed.table))), parsed.markdown)
    return 0


def _plan(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report plan",
        description="Find the cheapest mix of real and synthetic images that reaches an accuracy.",
        epilog="Exit codes: 0 there is one; 1 the accuracy is out of reach; 2 the study cannot tell what a synthetic "
        "image is worth, or the command line is wrong.",
    )
    parser.add_argument("study", type=Path, help="folder of a study over several amounts, e.g. outputs/exchange")
    parser.add_argument("--accuracy", type=float, required=True, help="to be reached, a fraction: 0.96")
    parser.add_argument("--photo", type=float, required=True, help="price of a labelled photograph")
    parser.add_argument("--hour", type=float, required=True, help="price of a machine hour, in the same currency")
    parser.add_argument(
        "--seconds-per-image", type=float, help="that a synthetic image takes; without it, those in its manifest"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    asked = Asked(parsed.study, parsed.accuracy, parsed.photo, parsed.hour, parsed.seconds_per_image)
    advice = plans(asked)
    for item in advice:
        _show(plan_document(item.group, item.exchange, item.plan), parsed.markdown)
    return 0 if any(item.plan.cheapest for item in advice) else 1


def _show(blocks: Sequence[Block], as_markdown: bool) -> None:
    if as_markdown:
        print(markdown(blocks), end="")
    else:
        print_document(blocks)


# First word → what it does; anything else is the folder of a study.
_WORDS: Mapping[str, Callable[[Sequence[str]], int]] = {"audit": _audit, "plan": _plan}


if __name__ == "__main__":
    sys.exit(main())
