"""Whether W&B's server answers, what is done where it ceases to, and which runs it has not got.

What W&B has of a run that its server has not got is in `<study>/wandb/run-…`, with a file `unsent` beside it.
"""

import contextlib
import http.client
import logging
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthaug import signals

log = logging.getLogger(__name__)

_UNSENT = "unsent"
_PATIENCE = 5.0  # seconds until the server's first word
_BUSY = 429
_FINISH = 300  # seconds that the end of a run waits for the rest of its upload: W&B itself would wait for hours
_shown: set[str] = set()


def limit_waiting() -> None:
    """Have W&B give up at the end of a run where its server does not take what is left, unless its variables differ."""
    os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(_FINISH))
    os.environ.setdefault("WANDB_FINISH_TIMEOUT_RAISES", "true")


def problem() -> str:
    """Return why W&B's server cannot be used now; empty where it answers."""
    import wandb

    address = str(wandb.setup().settings.base_url)
    try:
        urllib.request.urlopen(address, timeout=_PATIENCE).close()
    except urllib.error.HTTPError as error:
        return f"{address} answers {error.code}" if error.code >= 500 or error.code == _BUSY else ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        return "" if isinstance(reason, ssl.SSLError) else f"{address}: {reason}"  # W&B has certificates of its own
    return ""


def warn_once(text: str, reason: str) -> None:
    """Show a warning once in a process for each reason, and write it into the log file alone after that.

    Args:
        text: with a place for the reason.
        reason: of the failure.
    """
    if reason in _shown:
        log.info(text, reason, extra={"file_only": True})
    else:
        _shown.add(reason)
        log.warning(text, reason)


@contextlib.contextmanager
def warn_on_failure(what: str) -> Iterator[None]:
    """Log what could not be sent to W&B instead of failing a run for it.

    Args:
        what: with its verb.
    """
    try:
        yield
    except Exception as error:
        signals.leave_if_stopped(error)
        warn_once(f"W&B: {what} not logged (%s); the run goes on without.", one_line(error))


def mark_unsent(run: Any) -> None:
    """Note that the server lacks a part of a run.

    Args:
        run: of W&B.
    """
    if not run.offline:
        with contextlib.suppress(OSError):
            (Path(run.dir).parent / _UNSENT).touch()


def unsent(study: Path) -> Iterator[Path]:
    """Yield the folders of online runs of which the server lacks a part.

    Args:
        study: its folder.
    """
    for mark in sorted((study / "wandb").glob(f"run-*/{_UNSENT}")):
        if not any(mark.parent.glob("*.synced")):
            yield mark.parent


def one_line(error: Exception) -> str:
    """Return an exception in one line of readable length."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
