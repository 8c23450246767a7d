"""Which process trains a run or writes a synthetic set, visible to other machines, which a lock may not reach.

The process that holds the lock of a run, or of a part of a set, writes its host name and process id beside it and
touches the file as a heartbeat. A reader on the same machine trusts the lock, a reader on another one the heartbeats.
"""

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthaug import locks
from synthaug.errors import UserError
from synthaug.files import read_json, write_json

log = logging.getLogger(__name__)

HOLDER = ".holder.json"
LOCK = ".lock"
HEARTBEAT = 10.0  # seconds between two heartbeats
PATIENCE = 3.5 * HEARTBEAT  # seconds in which a process that is alive sends one
DEAD_AFTER = 120.0  # seconds without a heartbeat after which a process of another machine counts as dead


@dataclass(frozen=True)
class Holder:
    """A process that trains a run, or writes a set.

    Attributes:
        host: its machine.
        process: its process id.
        since: start time, in seconds since 1970.
        silence: seconds since its last heartbeat, by the clock of the disk.
    """

    host: str
    process: int
    since: float
    silence: float

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, where its lock shows whether it is alive."""
        return self.host == socket.gethostname()


@contextlib.contextmanager
def held(folder: Path, name: str = HOLDER) -> Iterator[bool]:
    """Mark the folder of a run or a set as being worked in by this process, as long as the block lasts.

    Args:
        folder: whose lock this process holds, where `living_elsewhere` knows nobody.
        name: of the file.

    Yields:
        Whether it is this process's; False where one of another machine was faster.
    """
    path, ended = folder / name, threading.Event()
    try:
        is_mine = _mark(path)
    except OSError:  # a full disk: the work itself will say so
        is_mine = True
    if not is_mine:
        yield False
        return
    thread = threading.Thread(target=_send_heartbeats, args=(path, ended), daemon=True)
    thread.start()
    try:
        yield True
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _mark(path: Path) -> bool:
    """Write the file of a folder's holder; False where another machine has done so: a link to a name is made once."""
    whole = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        write_json(whole, {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()})
        for _ in range(2):
            try:
                os.link(whole, path)
                return True
            except FileExistsError:
                current = _read(path)
                if current is not None and not current.is_local:
                    return False
                path.unlink(missing_ok=True)  # left by a process of this machine, whose lock went with it
            except OSError:  # a disk without links: the last one has it
                whole.replace(path)
                return True
        return False
    finally:
        whole.unlink(missing_ok=True)


def _send_heartbeats(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            os.utime(path)


def holder(folder: Path) -> Holder | None:
    """Return the process that trains a run; None where none does, as far as this machine can tell.

    Args:
        folder: of the run.
    """
    recorded = _read(folder / HOLDER, has_age=True)
    if recorded is None:
        return None
    lives = _is_alive(recorded.process) and _is_locked(folder) if recorded.is_local else recorded.silence < DEAD_AFTER
    return recorded if lives else None


def living_elsewhere(
    folder: Path, patience: float | None = None, name: str = HOLDER, is_told: bool = False
) -> Holder | None:
    """Return the process of another machine that works in a folder, if any; its lock may not hold on this one.

    A killed process leaves its file as well, so this waits for a heartbeat, and removes the file where none comes. How
    long ago the last one was says nothing: the clock of that machine may be hours off.

    Args:
        folder: of a run or a set, whose lock this process holds.
        patience: seconds to wait; None: `PATIENCE`.
        name: of the file.
        is_told: whether the log says already that this waits.
    """
    path = folder / name
    first = _read(path)
    if first is None or first.is_local:
        return None
    if not is_told:
        log.warning("%s: %s may still work in it; waiting for its heartbeat", folder, first.host)
    patience = PATIENCE if patience is None else patience
    touched, end = _touched(path), time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(1.0, patience / 10))
        current = _read(path)  # opens the file: shared disks look at their server then
        if current is None:
            return None
        if _touched(path) not in (touched, None):
            return current
    if _read(path) == first:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return None


def _touched(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # its process has just ended
        return None


def _read(path: Path, has_age: bool = False) -> Holder | None:
    try:
        content, touched = read_json(path), path.stat().st_mtime
        # A process that is killed here leaves a file of the clock: only where the age is asked for.
        silence = _now(path.parent) - touched if has_age else 0.0
        return Holder(str(content["host"]), int(content["process"]), float(content["since"]), silence)
    except (UserError, OSError, LookupError, TypeError, ValueError):
        return None


def _now(folder: Path) -> float:
    """Return the time by the clock of the disk, which may be of another machine; that of this one where it is full."""
    probe = folder / f".clock-{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _is_locked(folder: Path) -> bool:
    if not (folder / LOCK).is_file():
        return False
    try:
        with locks.without_waiting(folder / LOCK) as is_free:
            return not is_free
    except OSError:  # a study that may only be read
        return False
