"""What a command that writes files of its own answers where it cannot go on."""

import sys
from collections.abc import Callable

from synthaug.errors import UserError, explain


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code: 2 for a `UserError`, 130 for Ctrl-C, 1 for a file that fails.

    Args:
        command: returns the exit code where nothing is raised.
    """
    try:
        return command()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; nothing is written.", file=sys.stderr)
        return 130
    except OSError as error:
        print(explain(error), file=sys.stderr)
        return 1
