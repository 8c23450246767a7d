"""Command: make a study's table, CSV, JSON and page from its run folders, or audit a published table.

    python -m synthaug.report outputs/default [--wandb]
    python -m synthaug.report audit experiments/paper/published.yaml [--markdown]

A study whose folder is called like one of these words is given as ./audit.

Exit codes: 0 every planned run is finished and compared, or the table is audited; 1 some are not (all files are
written and say so), or W&B could not be told; 2 there is nothing to report, the table cannot be used, or the command
line is wrong.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthaug.analysis.audit import audit
from synthaug.analysis.audit_text import document
from synthaug.analysis.document import markdown, print_document
from synthaug.analysis.published import read_published
from synthaug.analysis.report import show_report
from synthaug.analysis.study import Comparison
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
    parser.add_argument(
        "--wandb", action="store_true", help="show the comparison in W&B, in the closing run of the study"
    )
    parsed = parser.parse_args(arguments)
    comparison = show_report(parsed.study)
    return 0 if (not parsed.wandb or _published(comparison)) and comparison.complete else 1


def _published(comparison: Comparison) -> bool:
    from synthaug import dashboard, wandb_runs

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("synthaug").setLevel(logging.INFO)
    done = dashboard.publish(comparison)
    if hint := wandb_runs.how_to_upload(comparison.folder):
        print(hint)
    return done


def _audit(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report audit",
        description="Say what a published table of accuracies can and cannot show.",
        epilog="Exit codes: 0 the table is audited; 2 it cannot be used, or the command line is wrong.",
    )
    parser.add_argument("table", type=Path, help="YAML of the table; experiments/paper/README.md says how to write one")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    blocks = document(audit(read_published(parsed.table)))
    if parsed.markdown:
        print(markdown(blocks), end="")
    else:
        print_document(blocks)
    return 0


# First word → what it does; anything else is the folder of a study.
_WORDS: Mapping[str, Callable[[Sequence[str]], int]] = {"audit": _audit}


if __name__ == "__main__":
    sys.exit(main())
