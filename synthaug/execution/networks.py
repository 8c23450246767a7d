"""The networks and trainers of runs, built once before the first run: a mistake does not fail them one by one."""

from collections.abc import Callable, Iterable, Sequence

from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution.factory import make_group


def problems(jobs: Iterable[Job], classes: Callable[[Job], Sequence[str]]) -> list[str]:
    """Return why networks or trainers of runs cannot be had; each combination is tried once.

    Args:
        jobs: the runs.
        classes: of a run's dataset.
    """
    groups = ("model", "trainer", "batch_size")
    distinct = {
        repr(([job.settings[key] for key in groups], job.settings["dataset"]["image_size"], classes(job))): job
        for job in jobs
    }
    reasons = []
    for job in distinct.values():
        try:
            check_network(job, classes(job))
        except UserError as error:
            reasons.append(str(error))
    return reasons


def check_network(job: Job, classes: Sequence[str]) -> None:
    """Build the network and the trainer of a run, and pass images through the network.

    Args:
        job: the run.
        classes: of its dataset.

    Raises:
        UserError: they cannot be built, do not go together, or do not take the images.
    """
    from synthaug.training import lightning_rules

    lightning_rules.quiet_libraries()
    settings = job.settings
    model = make_group(job, "model", classes=classes, seed=settings["seed"])
    model.check_image_size(settings["dataset"]["image_size"])
    model.check_batch_size(settings["batch_size"], settings["dataset"]["image_size"])
    trainer = make_group(job, "trainer", logger=False, enable_checkpointing=False)
    lightning_rules.require_whole_evaluation(trainer)
    lightning_rules.require_fine_tuning(model, trainer)
