"""Logging to W&B that never fails a run: offline where its server does not answer, skipped after an error."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from synthaug import signals
from synthaug.tracking import connection

log = logging.getLogger(__name__)

_LOGGING = ("log_metrics", "log_hyperparams", "log_graph", "after_save_checkpoint", "finalize")


def open_logger(make: Callable[..., Logger], arguments: Mapping[str, Any], label: str) -> Logger:
    """Open a logger; W&B's is opened offline where its server does not answer, and never fails the run.

    Args:
        make: creates it.
        arguments: of `make`.
        label: of the run.
    """
    logger = make(**arguments)
    if not isinstance(logger, WandbLogger):
        return logger
    if arguments.get("mode") == "online":
        try:
            _ = logger.experiment
        except Exception as error:  # of W&B, of its service, of the network
            signals.leave_if_stopped(error)
            log.warning("%s: W&B goes offline for this run (%s)", label, connection.one_line(error))
            logger = make(**{**arguments, "mode": "offline"})
    for name in _LOGGING:
        setattr(logger, name, _tolerant(getattr(logger, name), label))
    return logger


def _tolerant(method: Callable[..., Any], label: str) -> Callable[..., Any]:
    """Return a method of W&B's logger that is not called again once it has failed."""
    failed = False

    def call(*arguments: Any, **keywords: Any) -> None:
        nonlocal failed
        if failed:
            return
        failed = True
        with connection.warn_on_failure(f"{label} is"):
            method(*arguments, **keywords)
            failed = False

    return call


def finish(loggers: Sequence[Logger], failed: bool) -> None:
    """Finish the runs of W&B; mark those whose upload is not complete.

    Args:
        loggers: open ones.
        failed: whether the run was.
    """
    import wandb

    try:
        wandb.finish(exit_code=int(failed))
    except Exception as error:  # the server, or W&B's service
        signals.leave_if_stopped(error)
        for run in [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]:
            log.warning(
                "%s: the upload to W&B is not complete (%s); all of the run is on this disk",
                run.name,
                connection.one_line(error),
            )
            connection.mark_unsent(run)
        if not isinstance(error, TimeoutError):  # the next run needs another service
            with contextlib.suppress(Exception):
                wandb.teardown()
