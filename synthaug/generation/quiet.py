"""Log messages and progress bars of diffusers and transformers, kept off the screen."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep the libraries' warnings and bars off the screen; yield their messages. All is restored at the end."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        import diffusers
        import transformers

        recorder = _MessageRecorder()
        for library in (diffusers, transformers):
            bars = library.utils.logging
            if bars.is_progress_bar_enabled():
                bars.disable_progress_bar()
                stack.callback(bars.enable_progress_bar)
            stack.enter_context(_redirect(logging.getLogger(library.__name__), recorder))
        yield recorder.messages


@contextlib.contextmanager
def _redirect(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


class _MessageRecorder(logging.Handler):
    """Keeps each message as one line, and logs it again for debugging."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))
        log.debug("%s: %s", record.name, self.messages[-1])
