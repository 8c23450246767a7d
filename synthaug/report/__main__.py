"""Command: compare the runs of a study, or answer a question about one, from files alone.

    python -m synthaug.report outputs/default

`--help` lists the questions; each has a module beside this one, with a `--help` of its own.
"""

import importlib
import sys
from collections.abc import Sequence

from synthaug.errors import UserError, disk_is_full, explain, is_environmental
from synthaug.signals import stoppable
from synthaug.terminal import tolerant_output

# First words, each with its module; anything else is the folder of a study.
QUESTIONS = {name: name for name in ("audit", "drop", "explain", "plan", "power", "status")} | {
    "compare": "two_arms",
    "set": "set_quality_report",
}


@tolerant_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the question that the first word names, else report a study, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    question = arguments[0] if arguments and arguments[0] in QUESTIONS else ""
    with stoppable("Files are written whole or not at all; the same command begins again."):
        # Imported here: a question need not wait for what others import.
        module = importlib.import_module(f"synthaug.report.{QUESTIONS.get(question, 'study')}")
        try:
            return int(module.main(arguments[1:] if question else arguments))
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
        except OSError as error:
            if not is_environmental(error):
                raise
            print(explain(error), file=sys.stderr)
            return 1 if disk_is_full(error) else 2


if __name__ == "__main__":
    sys.exit(main())
