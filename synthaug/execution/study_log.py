"""The log of a study: what of it a terminal does not need, and its file."""

import logging
import sys
from pathlib import Path

from synthaug.environment import hidden


class TerminalFilter(logging.Filter):
    """Leaves records with the extra `file_only` out of a terminal, where a bar says the same."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (getattr(record, "file_only", False) and sys.stdout.isatty() and sys.stderr.isatty())


class StudyFileHandler(logging.FileHandler):
    """Writes a file once its folder exists; what is logged before waits.

    The checks before the first run log as well, and a command that they refuse leaves no folder behind.
    """

    def __init__(self, filename: str, mode: str = "a", encoding: str = "utf-8", delay: bool = True) -> None:
        super().__init__(filename, mode, encoding, delay)
        self._waiting: list[logging.LogRecord] = []

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(record)
        if self.stream is not None or Path(self.baseFilename).parent.is_dir():
            waiting, self._waiting = self._waiting, []
            for item in waiting:
                super().emit(item)
