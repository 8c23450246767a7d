"""Locks between processes, on one machine or several that share a disk."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

_SILENT = 1.0  # seconds before a command says that it waits


@contextlib.contextmanager
def exclusive(file: Path, task: str) -> Iterator[None]:
    """Do something that one process may do at a time; say so where another one is waited for.

    Args:
        file: of the lock; its folder must exist.
        task: of the process that holds it: "splits the images of photos".
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=_SILENT)
    except Timeout:
        log.warning("Waiting for another process that %s (it holds %s)", task, file)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def without_waiting(file: Path) -> Iterator[bool]:
    """Yield whether the lock was free; it is held in the block.

    Args:
        file: of the lock; its folder must exist.
    """
    try:
        lock = FileLock(file).acquire(timeout=0)
    except Timeout:
        yield False
        return
    with lock:
        yield True
