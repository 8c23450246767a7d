"""Logging to W&B that never fails a run: offline where its server does not answer, skipped after an error."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pytorch_lightning.loggers import Logger, WandbLogger

from synthaug import signals
from synthaug.tracking import connection

log = logging.getLogger(__name__)

_LOGGING = ("log_metrics", "log_hyperparams", "log_graph", "after_save_checkpoint", "finalize")


def open_logger(make: Callable[..., Logger], arguments: Mapping[str, Any], label: str) -> Logger:
    """Open a logger; W&B's is opened offline where its server or its service fails, and never fails the run.

    Args:
        make: creates it.
        arguments: of `make`.
        label: of the run.
    """
    logger = make(**arguments)
    if not isinstance(logger, WandbLogger):
        return logger
    logger = _begun(logger, make, arguments, label)
    for name in _LOGGING:
        setattr(logger, name, _tolerant(getattr(logger, name), label))
    return logger


def _begun(logger: WandbLogger, make: Callable[..., Logger], arguments: Mapping[str, Any], label: str) -> WandbLogger:
    """Begin the run in W&B, or offline with another service where that fails, or else not at all."""
    for mode, consequence in (("offline", "goes offline for this run"), ("disabled", "has nothing of this run")):
        try:
            _ = logger.experiment
            return logger
        except Exception as error:  # of W&B, of its service, of the network
            signals.leave_if_stopped(error)
            log.warning("%s: W&B %s (%s)", label, consequence, connection.one_line(error))
            _end_service()
            logger = cast(WandbLogger, make(**{**arguments, "mode": mode}))
    return logger


def _end_service() -> None:
    """Forget W&B's service process, which may be dead, and its run, or the next run would be logged to both."""
    import wandb
    from wandb.sdk.lib import module

    with contextlib.suppress(Exception, SystemExit):  # with the exit code of the service
        wandb.teardown()
    cast(Any, module).unset_globals()


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
                "%s: %s is not complete (%s); all of the run is on this disk",
                run.name,
                "what W&B recorded" if run.offline else "the upload to W&B",
                connection.one_line(error),
            )
            connection.mark_unsent(run)
        if not isinstance(error, TimeoutError):  # the next run needs another service
            _end_service()
