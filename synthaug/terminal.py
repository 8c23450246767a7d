"""What commands print, on whatever terminal or pipe there is."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def tolerant_output() -> Iterator[None]:
    """Let no command fail by what it prints: signs that a terminal lacks are replaced, and a closed pipe ends it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would be written, and fail, once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)  # as rich ends a command
