"""What a training session does with its runs, each step imported at its first use: a wrong key needs none of them."""

from collections.abc import Sequence

from omegaconf import DictConfig

from synthaug.config.job import Job
from synthaug.config.sweep import Combination
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
    from synthaug.execution import probe_runs

    probe_runs.execute(session, job)


def train_together(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """Bring those runs to their end that are trained in one go; return the others.

    Args:
        session: of the command.
        jobs: its runs that are not finished.
    """
    from synthaug.execution import probe_runs

    return probe_runs.train_together(session, jobs)


def launch(session: Session, config: DictConfig, combinations: Sequence[Combination]) -> list[Combination]:
    """Bring runs to their end beside each other; return those that are left to be run one after the other.

    Args:
        session: of the command.
        config: of the sweep.
        combinations: overrides of the runs.
    """
    from synthaug.execution import launching

    return launching.launch(session, config, combinations)


def resume_advice(jobs: Sequence[Job]) -> str:
    """Return the progress of stopped runs, and how to resume them.

    Args:
        jobs: all of them; none where they were not yet told apart.
    """
    from synthaug.execution import conclusion

    return conclusion.resume_advice(jobs)


def is_finished(job: Job) -> bool:
    """Return whether a run has nothing left to do."""
    from synthaug.execution import runner

    return runner.is_finished(job)
