"""`report audit`: what a published table of accuracies can and cannot show."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.audit.published import read_published
from synthaug.analysis.audit.reanalysis import audit
from synthaug.analysis.text.audit_text import document
from synthaug.analysis.text.document import show


def main(arguments: Sequence[str]) -> int:
    """Audit the table and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report audit",
        description="Say what a published table of accuracies can and cannot show.",
        epilog="Exit codes: 0 the table is audited; 2 it cannot be used, or the command line is wrong.",
    )
    parser.add_argument("table", type=Path, help="YAML of the table; experiments/paper/README.md says how to write one")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    show(document(audit(read_published(parsed.table))), parsed.markdown)
    return 0
