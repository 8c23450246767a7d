"""The groups that a command names for its test images, checked and recorded in the study."""

from pathlib import Path

from synthaug.config.job import Job
from synthaug.data.image_groups import groups_of_images
from synthaug.data.samples import RealImages
from synthaug.runs import grouping


def check_groups(job: Job, real: RealImages) -> dict[Path, str]:
    """Return the groups of a run's test images; none where its configuration names no file.

    Args:
        job: the run.
        real: its dataset.

    Raises:
        UserError: everything that is wrong with the file.
    """
    dataset = job.settings["dataset"]
    if dataset.get("groups") is None:
        return {}
    root = Path(dataset["root"]).expanduser()
    return groups_of_images(Path(dataset["groups"]).expanduser(), root, real.test)


def record_groups(job: Job, real: RealImages) -> None:
    """Record the groups of a run's test images in its study, so that reports need no other file.

    Args:
        job: the run.
        real: its dataset.

    Raises:
        UserError: everything that is wrong with the file.
    """
    if groups := check_groups(job, real):
        grouping.write_groups(job.study, job.key.dataset, groups)
