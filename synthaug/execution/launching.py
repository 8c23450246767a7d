"""Where the runs of a sweep are carried out: some together, some beside each other, the rest one after the other."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf

from synthaug.config.job import Job
from synthaug.config.sweep import Combination
from synthaug.execution import cluster_sweep, clusters, datasets, frozen_runs, runner
from synthaug.execution.session import Session

log = logging.getLogger(__name__)


def launch(session: Session, config: DictConfig, combinations: Sequence[Combination]) -> list[Combination]:
    """Bring runs to their end: in a cluster, or in other processes where several can run at a time.

    Args:
        session: of the command.
        config: of the sweep, as Hydra has composed it.
        combinations: overrides of the runs.

    Returns:
        Those that are left to be run one after the other in this process.
    """
    jobs = [session.jobs[combination] for combination in combinations]
    cluster = clusters.cluster_of(jobs)
    concurrency = session.concurrency
    if concurrency is None and cluster is None:
        return list(combinations)
    from synthaug.execution import report_preparation, worker_pool

    if cluster is None:
        worker_pool.preload_libraries(jobs)
    handlers = {study: _log_of(config, study) for study in sorted({job.study for job in jobs})}
    prepared = {}
    for key, job in datasets.by_dataset(jobs).items():
        logging.root.handlers[:] = handlers[job.study]
        if data := runner.prepare_dataset(session, job):
            prepared[key] = data

    def prepare_report(all_ended: threading.Event) -> None:
        report_preparation.prepare_report(list(session.jobs.values()), prepared, all_ended)

    if concurrency is None:
        assert cluster is not None
        cluster_sweep.run_in_cluster(session, jobs, cluster, runner.record_failure, handlers, prepare_report)
    else:
        worker_pool.run_in_workers(session, combinations, concurrency, runner.record_failure, handlers, prepare_report)
    return []


def launch_shards(
    session: Session, config: DictConfig, combinations: Sequence[Combination], work: str
) -> list[Combination]:
    """Have shards of a synthetic set made in a cluster; return them all where there is none.

    Args:
        session: of the command.
        config: of the sweep, as Hydra has composed it.
        combinations: overrides of the shards.
        work: of `frozen_runs.freeze`.
    """
    jobs = [session.jobs[combination] for combination in combinations]
    cluster = clusters.cluster_of(jobs)
    if cluster is None:
        return list(combinations)
    handlers = {study: _log_of(config, study) for study in sorted({job.study for job in jobs})}
    for job in datasets.by_dataset(jobs).values():
        datasets.read_real(session, job)
    cluster_sweep.run_in_cluster(session, jobs, cluster, _log_failure, handlers, work=work)
    return []


def _log_failure(job: Job, error: Exception) -> None:
    log.error("%s failed: %s", frozen_runs.label(job), error)


def _log_of(config: DictConfig, study: Path) -> list[logging.Handler]:
    """Return the handlers of a study's log, as its configuration has them."""
    logs = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    assert isinstance(logs, dict)
    for handler in (logs.get("handlers") or {}).values():
        if "filename" in handler:  # no other file is allowed, see `hydra_guard`
            handler["filename"] = str(study / Path(handler["filename"]).name)
    configure_log(OmegaConf.create(logs), config.hydra.verbose)
    return logging.root.handlers[:]
