"""`report audit`: what a published table of accuracies can and cannot show."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.audit.published import EXAMPLE, read_published
from synthaug.analysis.audit.reanalysis import audit
from synthaug.analysis.text.audit_text import document
from synthaug.analysis.text.document import show
from synthaug.report.arguments import report_parser


def main(arguments: Sequence[str]) -> int:
    """Audit the table and return the exit code."""
    parser = report_parser(
        "audit",
        "Compute what a published table of accuracies can and cannot show: the GRIM test, tests, power, controls.",
        "0 the table is audited; 2 it cannot be used, or the command line is wrong.",
        [EXAMPLE],
    )
    parser.add_argument("table", type=Path, help="YAML of the table; experiments/paper/README.md says how to write one")
    parsed = parser.parse_args(arguments)
    show(document(audit(read_published(parsed.table))), parsed.markdown)
    return 0
