"""What of the log a terminal does not need."""

import logging
import sys


class TerminalFilter(logging.Filter):
    """Leaves records with the extra `file_only` out of a terminal, where a bar says the same."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (getattr(record, "file_only", False) and sys.stdout.isatty() and sys.stderr.isatty())
