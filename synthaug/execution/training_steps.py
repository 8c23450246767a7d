"""What a training session does with its runs, each step imported at its first use: a wrong key needs none of them."""

from collections.abc import Sequence

from synthaug.config.job import Job
from synthaug.execution.session import Session


def check(session: Session, jobs: Sequence[Job]) -> None:
    """Check what stands on disk for the runs, and write the plan.

    Args:
        session: of the command.
        jobs: its runs.
    """
    from synthaug.execution import preflight

    preflight.check_and_plan(session, jobs)


def execute(session: Session, job: Job) -> None:
    """Bring one run to its end.

    Args:
        session: of the command.
        job: the run.
    """
    from synthaug.execution import probe_runs, runner

    for remaining in probe_runs.train_together(session, [job]):
        runner.execute(session, remaining)


def train_together(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """Bring those runs to their end that are trained in one go; return the others.

    Args:
        session: of the command.
        jobs: its runs that are not finished.
    """
    from synthaug.execution import probe_runs

    return probe_runs.train_together(session, jobs)


def is_finished(job: Job) -> bool:
    """Return whether a run has nothing left to do."""
    from synthaug.execution import runner

    return runner.is_finished(job)
