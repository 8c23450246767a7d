"""What a command that writes files of its own answers where it cannot go on."""

import sys
from collections.abc import Callable

from synthaug.errors import UserError, explain
from synthaug.signals import stoppable

STOPPED = "128+n stopped by signal n"  # as the help of commands says it


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code: that of a `UserError`, 1 for a file that fails; signals end it.

    Args:
        command: returns the exit code where nothing is raised.
    """
    with stoppable("Nothing is written; the same command begins again."):
        try:
            return command()
        except UserError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except OSError as error:
            print(explain(error), file=sys.stderr)
            return 1
