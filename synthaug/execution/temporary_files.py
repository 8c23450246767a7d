"""The folder for temporary files of a command and its workers; those that killed commands have left are removed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from synthaug import locks
from synthaug.errors import UserError

_PREFIX = "synthaug-"
_TRIED = "tried"
_LOCK = "in-use.lock"  # held by the command as long as it lives
_LONGEST = 75  # signs of a folder in which the name of a socket has room, of which systems allow 107

_held: dict[Path, contextlib.ExitStack] = {}


def make_folder() -> Path:
    """Return a new folder of this process; what processes have left that were killed is removed."""
    root = Path(tempfile.gettempdir())
    for folder in root.glob(f"{_PREFIX}*"):
        if (folder / _LOCK).is_file():
            # Those of other users, and what cannot be locked, are left alone.
            with contextlib.suppress(OSError, UserError), locks.without_waiting(folder / _LOCK) as is_free:
                if is_free:
                    shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        (folder / _TRIED).write_bytes(b"x")  # or workers would look for another folder, and tell of it in a traceback
        (folder / _TRIED).unlink()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _held[folder] = contextlib.ExitStack()
    with contextlib.suppress(OSError, UserError):  # without locks nobody removes it but this process
        _held[folder].enter_context(locks.without_waiting(folder / _LOCK))
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder from `make_folder` with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if lock := _held.pop(folder, None):
        with contextlib.suppress(OSError):
            lock.close()


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Let temporary files of this process, and of those that it starts, lie in a folder within the block."""
    variable, directory = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = str(folder)
    if len(str(folder)) <= _LONGEST:
        tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = directory
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable
