"""What a command does while its runs train in other processes: work of the report that needs none of their results."""

import importlib
import logging
import threading
from collections.abc import Mapping, Sequence

from synthaug.arms import build
from synthaug.arms.build import RealData
from synthaug.config.job import Job
from synthaug.data.samples import RealImages, digest
from synthaug.execution.datasets import dataset_key
from synthaug.execution.session import DatasetKey
from synthaug.runs import layout

log = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds between two looks at whether all runs have begun
# What the report imports, which takes seconds.
_FOR_REPORT = (
    "synthaug.analysis.pipeline",
    "synthaug.analysis.output.figures.vector_files",
    "synthaug.analysis.output.page.render",
    "sklearn.linear_model",
    "sklearn.pipeline",
)
_FOR_WANDB = ("wandb.apis.public", "synthaug.tracking.summary_run")


def prepare_report(jobs: Sequence[Job], datasets: Mapping[DatasetKey, RealData], all_ended: threading.Event) -> None:
    """Compare test images, import libraries, and check the images of the runs once all have begun.

    What goes wrong is left to the runs and to the report, which do what is not done by then.

    Args:
        jobs: all runs of the sweep.
        datasets: of those that were not finished.
        all_ended: set where no run is left.
    """
    try:
        for data in datasets.values():
            build.clusters(data.real.test, data.store)
        for name in (*_FOR_REPORT, *(_FOR_WANDB if any(job.is_in_wandb for job in jobs) else ())):
            importlib.import_module(name)
        while not all(layout.mix_file(job.folder).is_file() for job in jobs):
            if all_ended.wait(_PAUSE):
                return
        for job in {(job.study, job.key.dataset): job for job in jobs if not job.fold}.values():
            if (key := dataset_key(job)) in datasets:
                _check_images(job, datasets[key].real)
    except Exception:
        log.debug("the report is not prepared", exc_info=True)


def _check_images(job: Job, real: RealImages) -> None:
    from synthaug.analysis.validity import checks, sources
    from synthaug.runs import discovery, planning

    planned = discovery.find_runs(job.study, planning.read_plan(job.study))
    runs = [run for run in planned if run.key.dataset == job.key.dataset]
    test = tuple((sample.file, sample.class_name) for sample in real.test)
    checks.image_checks(job.study, job.key.dataset, sources.of_begun_runs(runs, test, digest(real.test)))
