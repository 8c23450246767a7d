"""What commands print, on whatever terminal or pipe there is."""

import atexit
import contextlib
import gc
import io
import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

_LINES = "\n\t"
# Cc: escapes and the like; Cs: halves of signs; Zl and Zp: ends of lines.
_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
_REVERSING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@contextlib.contextmanager
def tolerant_output() -> Iterator[None]:
    """Let no command fail by what it prints, nor a terminal obey it.

    Signs that a terminal lacks are replaced, control characters in messages of the log written out; a closed pipe ends
    the command. It ends at once: the interpreter would look for garbage among all that its libraries are made of.
    """
    atexit.register(gc.freeze)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before the command began
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 for the whole command
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    factory, raises = logging.getLogRecordFactory(), logging.raiseExceptions
    logging.setLogRecordFactory(_PrintableRecord)
    logging.raiseExceptions = False  # a run goes on where nobody reads its log, without a traceback for each line
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        sys.exit(1)  # as rich ends a command
    except OSError as error:
        if error.filename is not None:
            raise
        _forget_output()  # a file on a full disk
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        sys.exit(1)
    finally:
        logging.setLogRecordFactory(factory)
        logging.raiseExceptions = raises


def printable(text: str) -> str:
    """Return a text whose control characters are written out: names and messages of files may hold any.

    A terminal obeys them: they move the cursor, change its title, or hide what follows.
    """
    if text.isprintable():
        return text
    obeyed = {ord(sign): sign.encode("unicode_escape").decode() for sign in set(text) if _is_obeyed(sign)}
    return text.translate(obeyed) if obeyed else text


class _PrintableRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 as logging calls it
        return printable(super().getMessage())


def _is_obeyed(sign: str) -> bool:
    """Whether a terminal does something else with a sign than to show it; some reverse the order of what follows."""
    if sign in _LINES:
        return False
    return unicodedata.category(sign) in _CATEGORIES or unicodedata.bidirectional(sign) in _REVERSING


def _forget_output() -> None:
    """Drop what is left in the buffer: it would be written, and fail, once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
