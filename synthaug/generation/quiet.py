"""Libraries that talk too much, kept off the screen."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep warnings and bars of the libraries off the screen; yields what they said. All is put back at the end."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        import diffusers
        import transformers

        listener = _Listener()
        for library in (diffusers, transformers):
            bars = library.utils.logging
            if bars.is_progress_bar_enabled():
                bars.disable_progress_bar()
                stack.callback(bars.enable_progress_bar)
            stack.enter_context(_only_to(logging.getLogger(library.__name__), listener))
        yield listener.said


@contextlib.contextmanager
def _only_to(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


class _Listener(logging.Handler):
    """Keeps what is logged, each on one line, and hands it on to whoever debugs."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(" ".join(record.getMessage().split()))
        log.debug("%s: %s", record.name, self.said[-1])
