"""Where the runs of a sweep are carried out: some together, some beside each other, the rest one after the other."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf

from synthaug.config.sweep import Combination
from synthaug.execution import cluster_sweep, clusters, preflight, runner
from synthaug.execution.session import Session


def launch(session: Session, config: DictConfig, combinations: Sequence[Combination]) -> list[Combination]:
    """Bring runs to their end: in a cluster, or in other processes where several can run at a time.

    Args:
        session: of the command.
        config: of the sweep, as Hydra has composed it.
        combinations: overrides of the runs.

    Returns:
        Those that are left to be run one after the other in this process.
    """
    workers = min(session.workers, len(combinations))
    jobs = [session.jobs[combination] for combination in combinations]
    cluster = clusters.cluster_of(jobs)
    if not workers and cluster is None:
        return list(combinations)
    from synthaug.execution import report_preparation, worker_pool

    if cluster is None:
        worker_pool.preload_libraries(jobs)
    handlers = {study: _log_of(config, study) for study in sorted({job.study for job in jobs})}
    datasets = {}
    for key, job in {preflight.dataset_key(job): job for job in jobs}.items():
        logging.root.handlers[:] = handlers[job.study]
        if data := runner.prepare_dataset(session, job):
            datasets[key] = data

    def prepare_report(all_ended: threading.Event) -> None:
        report_preparation.prepare_report(list(session.jobs.values()), datasets, all_ended)

    if cluster is not None:
        cluster_sweep.run_in_cluster(session, jobs, cluster, runner.record_failure, handlers, prepare_report)
    else:
        worker_pool.run_in_workers(session, combinations, workers, runner.record_failure, handlers, prepare_report)
    return []


def _log_of(config: DictConfig, study: Path) -> list[logging.Handler]:
    """Return the handlers of a study's log, as its configuration has them."""
    logs = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    assert isinstance(logs, dict)
    for handler in (logs.get("handlers") or {}).values():
        if "filename" in handler:  # no other file is allowed, see `hydra_guard`
            handler["filename"] = str(study / Path(handler["filename"]).name)
    configure_log(OmegaConf.create(logs), config.hydra.verbose)
    return logging.root.handlers[:]
