"""A command that works on one run and trains no classifier: how it ends, and with which exit code."""

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from synthaug.config.command_help import CommandHelp
from synthaug.config.job import Job
from synthaug.errors import UserError, explain, is_environmental, is_interruption, underlying
from synthaug.execution.session import Session, no_check

log = logging.getLogger(__name__)


def run_command(
    work: Callable[[Job], object],
    command_help: CommandHelp,
    kept: str,
    check: Callable[[Session, Sequence[Job]], None] = no_check,
) -> None:
    """Check the configuration, then work. Exits 2 when the configuration is wrong, 1 when the work failed.

    Args:
        work: does it, for one run; a function of a module.
        command_help: what `--help` shows.
        kept: what an interrupted command leaves.
        check: of `Session`.
    """
    try:
        Session(functools.partial(_execute, work, kept), check, command_help=command_help).run()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # before the work
        if not is_environmental(error):
            raise
        print(explain(error), file=sys.stderr)
        sys.exit(1)


def _execute(work: Callable[[Job], object], kept: str, session: Session, job: Job) -> None:
    """Work for one run; end the command where that fails."""
    try:
        work(job)
    except KeyboardInterrupt:
        _end_interrupted(kept)
    except Exception as error:
        if is_interruption(error):
            _end_interrupted(kept)
        cause = underlying(error)
        if not isinstance(cause, (UserError, OSError)):
            raise
        log.error("%s", explain(cause))
        sys.exit(1)


def _end_interrupted(kept: str) -> NoReturn:
    log.warning("Interrupted. %s; the same command resumes.", kept)
    sys.exit(130)
