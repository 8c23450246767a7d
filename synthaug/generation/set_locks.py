"""Who writes a synthetic set: one process makes the whole set, or one each of its shards, several at a time.

A lock may hold on its own node alone, so its holder has a heartbeat beside it: see `occupancy`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from synthaug import locks, occupancy
from synthaug.generation.shard import Shard

_OF_SHARD = ".shard-*-of-*.lock"


def _file(folder: Path, shard: Shard) -> Path:
    return folder / (".lock" if shard.is_whole else f".shard-{shard}.lock")


@contextlib.contextmanager
def writing(folder: Path, shard: Shard) -> Iterator[None]:
    """Write a shard of a set; whoever makes the same one is waited for, and so is the other kind of work.

    Args:
        folder: of the set.
        shard: that is made.
    """
    whole = _file(folder, Shard())
    if not shard.is_whole:
        _wait(whole)  # not held, or shards would wait for each other. Two images of one number are the same
    with _exclusive(_file(folder, shard)):
        for file in sorted(folder.glob(_OF_SHARD)) if shard.is_whole else []:
            _wait(file)
        yield


@contextlib.contextmanager
def trying(folder: Path, shard: Shard) -> Iterator[bool]:
    """Yield whether a shard of a set is this process's to be made; False where another one makes it.

    Args:
        folder: of the set.
        shard: one of several.
    """
    _wait(_file(folder, Shard()))
    file = _file(folder, shard)
    with locks.without_waiting(file) as is_free, contextlib.ExitStack() as held:
        is_mine = is_free and occupancy.living_elsewhere(folder, name=_holder(file), is_told=True) is None
        if is_mine:
            is_mine = held.enter_context(occupancy.held(folder, _holder(file)))
        yield is_mine


def wait_for(folder: Path, shard: Shard) -> None:
    """Wait until no process makes a shard of a set.

    Args:
        folder: of the set.
        shard: one of several.
    """
    _wait(_file(folder, shard))


def _wait(file: Path) -> None:
    with locks.exclusive(file, _task(file)):
        _wait_for_others(file)


@contextlib.contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    """Hold a lock of a set that one process of all machines may hold at a time."""
    with locks.exclusive(file, _task(file)):
        while True:
            _wait_for_others(file)
            with occupancy.held(file.parent, _holder(file)) as is_mine:
                if is_mine:
                    yield
                    return


def _wait_for_others(file: Path) -> None:
    """Wait until no process of another machine holds a lock of a set."""
    is_told = False
    while occupancy.living_elsewhere(file.parent, name=_holder(file), is_told=is_told):
        is_told = True


def _task(lock: Path) -> str:
    """Return what the process that holds a lock does."""
    shard = lock.name.removesuffix(".lock").removeprefix(".shard-").replace("-", " ")
    return f"generates shard {shard} of {lock.parent}" if shard else f"generates into {lock.parent}"


def _holder(lock: Path) -> str:
    return f"{lock.name}.holder"


@contextlib.contextmanager
def idle(folder: Path) -> Iterator[bool]:
    """Yield whether no process writes a set; none begins to in the block.

    Args:
        folder: of the set.
    """
    with contextlib.ExitStack() as held:
        files = [_file(folder, Shard()), *sorted(folder.glob(_OF_SHARD))]
        free = [held.enter_context(locks.without_waiting(file)) for file in files]
        yield all(free) and not any(occupancy.living_elsewhere(folder, name=_holder(file)) for file in files)


def of_part(folder: Path, part: Path) -> Path:
    """Return the lock of whoever appends to a log of the manifest.

    Args:
        folder: of the set.
        part: the log.
    """
    name = part.stem.removeprefix("manifest")
    return folder / (f".shard{name}.lock" if name else ".lock")
