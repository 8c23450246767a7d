"""The datasets of a command: each is written, listed and decoded once for all its runs."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import instantiate

from synthaug.arms import build, smoke_test
from synthaug.config.job import Job
from synthaug.data.samples import MORE, SPLITS, Samples
from synthaug.data.splitting import Divided
from synthaug.errors import UserError, underlying
from synthaug.execution.session import DatasetKey, Session
from synthaug.screening.criteria import decode

log = logging.getLogger(__name__)

LONG_TAIL = ("imbalance", "imbalance_seed", "class_counts")  # keys of the dataset


def dataset_key(job: Job) -> DatasetKey:
    """Return what the scan of a run's dataset depends on."""
    dataset = job.settings["dataset"]
    keys = ("root", *SPLITS, MORE, "split", "name", "on_bad_image", "on_label_conflict", *LONG_TAIL)
    return (str(job.output_dir), str(job.fold), *(str(dataset.get(key)) for key in keys))


def by_dataset(jobs: Sequence[Job]) -> dict[DatasetKey, Job]:
    """Return each dataset of some runs, with one of its runs."""
    return {dataset_key(job): job for job in jobs}


def list_images(session: Session, job: Job) -> Divided:
    """Return the images of a run's dataset, written if it has to be; listed once per command.

    Args:
        session: of the command.
        job: a run on it.
    """
    dataset, key = job.settings["dataset"], dataset_key(job)
    _write(session, dataset)
    scan = session.scans.get(key)
    if not isinstance(scan, Divided):
        scan = session.scans[key] = build.list_real(dataset, job.output_dir, job.fold)
    return scan


def _write(session: Session, dataset: Mapping[str, Any]) -> None:
    """Have a dataset written; where that failed, the next runs need not wait for the same answer."""
    key = repr((dataset["root"], dataset["prepare"]))
    if key in session.unwritable:
        raise session.unwritable[key]
    try:
        build.prepare(dataset, instantiate)
    except Exception as error:
        reason = underlying(error)
        if isinstance(reason, UserError):
            session.unwritable[key] = reason
        raise


def read_real(session: Session, job: Job) -> build.RealData:
    """Return a run's dataset, listed and decoded.

    Args:
        session: of the command.
        job: a run on it.
    """
    scan = list_images(session, job)
    return build.read_real(job.settings["dataset"], job.output_dir, scan, job.settings["debug"])


def decode_unwritten(session: Session, jobs: Sequence[Job]) -> None:
    """Write, list and decode the datasets that are yet to be written; their runs report what fails.

    Args:
        session: of the command.
        jobs: its runs.
    """
    for key, job in by_dataset(jobs).items():
        if session.scans.get(key) is not None:
            continue
        try:
            real = list_images(session, job).real
            if job.settings["debug"]:
                real = smoke_test.few_images(real)
            decode(build.pixel_store(job.settings["dataset"], job.output_dir), Samples.joined(real.splits.values()))
        except Exception:
            log.debug("%s: its runs report this error", job.key.dataset, exc_info=True)
