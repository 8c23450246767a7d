"""Locks between processes, on one machine or several that share a disk."""

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from synthaug.errors import UserError

log = logging.getLogger(__name__)

_SILENT = 1.0  # seconds before a command says that it waits
# What a disk without locks answers: file systems on a network have them by an option, some not at all.
_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextlib.contextmanager
def exclusive(file: Path, task: str) -> Iterator[None]:
    """Do something that one process may do at a time; say so where another one is waited for.

    Args:
        file: of the lock; its folder must exist.
        task: of the process that holds it: "splits the images of photos".
    """
    lock = FileLock(file, fallback_to_soft=False)  # a file that is a lock outlives who is killed
    try:
        _acquire(lock, _SILENT)
    except Timeout:
        log.warning("Waiting for another process that %s (it holds %s)", task, file)
        _acquire(lock)
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
    lock = FileLock(file, fallback_to_soft=False)
    try:
        _acquire(lock, 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, seconds: float = -1) -> None:
    """Wait for a lock.

    Raises:
        Timeout: another process holds it.
        UserError: the disk knows no locks.
    """
    try:
        lock.acquire(timeout=seconds)
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in _WITHOUT_LOCKS:
            raise
        raise UserError(
            f"{lock.lock_file} cannot be locked ({error.strerror}): two processes would spoil each other's files. "
            "Mount its disk with locks (Lustre: the option flock; NFS: without nolock), or write to another one with "
            "output_dir=<folder>."
        ) from error
