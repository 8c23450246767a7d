"""A command that works on one run and trains no classifier: how it ends, and with which exit code."""

import functools
import logging
import sys
import traceback
from collections.abc import Callable, Sequence

from omegaconf import DictConfig

from synthaug import signals
from synthaug.config.command_help import CommandHelp
from synthaug.config.job import Job
from synthaug.config.sweep import Combination
from synthaug.errors import OUTPUT_DIR, UserError, explain, is_environmental, underlying
from synthaug.execution.session import Session, no_check

log = logging.getLogger(__name__)


def run_command(
    work: Callable[[Job], object],
    command_help: CommandHelp,
    results: str,
    check: Callable[[Session, Sequence[Job]], None] = no_check,
    launch: Callable[[Session, DictConfig, Sequence[Combination]], list[Combination]] | None = None,
) -> None:
    """Check the configuration, then work. Exits 2 when the configuration is wrong, 1 when the work failed.

    Args:
        work: does it, for one run; a function of a module.
        command_help: what `--help` shows.
        results: which a command that is stopped by a signal leaves, as a sentence.
        check: of `Session`, like `launch`.
        launch: where runs of a sweep go.
    """
    with signals.stoppable(f"{results}; the same command goes on."):
        try:
            session = Session(functools.partial(execute, work), check, command_help=command_help, launch=launch)
            session.run()
            if session.failed:
                sys.exit(1)
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
        except OSError as error:  # before the work
            if not is_environmental(error):
                raise
            print(explain(error, OUTPUT_DIR), file=sys.stderr)
            sys.exit(1)


def execute(work: Callable[[Job], object], session: Session, job: Job) -> None:
    """Work for one run; log a failure, so that the next run of a sweep begins.

    Args:
        work: of `run_command`.
        session: of the command; gets the failure.
        job: the run.
    """
    try:
        work(job)
    except Exception as error:
        signals.leave_if_stopped(error)
        cause = underlying(error)
        if not isinstance(cause, (UserError, OSError)):
            log.error("%s", "".join(traceback.format_exception(error)))
        session.failed.append(job.label)
        log.error("%s", explain(cause, OUTPUT_DIR))
