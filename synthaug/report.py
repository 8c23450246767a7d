"""Command: make a study's table, CSV, JSON and page from its run folders.

    python -m synthaug.report outputs/default

Exit codes: 0 every planned run is finished and compared; 1 some are not (all files are written and say so);
2 there is nothing to report, or the command line is wrong.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.report import show_report
from synthaug.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, report, and return the exit code."""
    description, _, codes = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report",
        description=description.removeprefix("Command: "),
        epilog=codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    study: Path = parser.parse_args(arguments).study
    try:
        return 0 if show_report(study) else 1
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
