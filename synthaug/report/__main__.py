"""Command: compare the runs of a study, or answer a question about one, from files alone.

    python -m synthaug.report outputs/default

`--help` lists the questions; each has a module in `reports`, with a `--help` of its own.
"""

import importlib
import sys
from collections.abc import Sequence

from synthaug.errors import UserError

# First word → its module in `reports`; anything else is the folder of a study.
WORDS = {"audit": "audit", "explain": "explain", "plan": "plan", "power": "power"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first word asks for, else report a study, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    word = WORDS.get(arguments[0]) if arguments else None
    # Imported here: a question need not wait for what others import.
    module = importlib.import_module(f"synthaug.report.{word or 'study'}")
    try:
        return int(module.main(arguments[1:] if word else arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
