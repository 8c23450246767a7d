"""Processes that make a set are killed at random points: the same bytes in the end, and nothing left behind."""

import dataclasses
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from synthaug.generation.manifest import read_manifest
from synthaug.generation.shard import Shard
from synthaug.generation.synthetic_set import FILES, TAR, SyntheticSet
from synthaug.image_files import image_bytes
from tests.generation.test_shards import Censor, Slow, rows
from tests.generation.test_synthetic_set import contents


def _set(folder: Path, batch_size: int, storage: str) -> SyntheticSet:
    return SyntheticSet(folder, Slow(batch_size=batch_size), storage=storage)


def start(work: Callable[[], object]) -> int:
    """Begin some work in a process of its own; return its id."""
    process = os.fork()
    if process == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()  # which pytest shows where the test fails
            sys.stderr.flush()
        finally:
            os._exit(1)
    return process


def end(process: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_until_made(folder: Path, counts: dict[str, int], shards: int, kills: int, seed: int, storage: str) -> int:
    """Make shards beside each other, one of which is killed now and then; return how often one was."""
    draw, killed = random.Random(seed), 0

    def make(number: int) -> Callable[[], object]:
        return lambda: _set(folder, draw.randint(1, 4), storage).ensure(counts, Shard(number, shards))

    running = {number: start(make(number)) for number in range(shards)}
    while running:
        number = draw.choice(list(running))
        if killed < kills:
            time.sleep(draw.uniform(0, 0.06))
            os.kill(running[number], signal.SIGKILL)
        code = end(running.pop(number))
        assert code in (0, -signal.SIGKILL)
        killed += code == -signal.SIGKILL
        if code:
            running[number] = start(make(number))
    return killed


def check(tmp_path: Path, each: int, shards: int, kills: int, storage: str) -> None:
    counts = {"cat": each, "sea_lion": each}
    killed = killed_until_made(tmp_path / "set", counts, shards, kills, shards, storage)
    made = _set(tmp_path / "set", 4, storage)
    made.ensure(counts)
    whole = SyntheticSet(tmp_path / "whole", Censor())
    whole.ensure(counts)
    contents(tmp_path / "set")  # nothing unfinished lies about
    both = [[image_bytes(sample.path) for sample in source.samples(list(counts))] for source in (made, whole)]
    assert both[0] == both[1]
    kept = [dataclasses.replace(row, member="") for row in rows(tmp_path / "set")]
    assert kept == rows(tmp_path / "whole")
    assert len(read_manifest(tmp_path / "set")) > 2 * each, "none was rejected"
    print(f"{killed} kills, {shards} at a time")
    assert killed


@pytest.mark.parametrize("storage", [FILES, TAR])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_set_whose_makers_are_killed_is_the_same(tmp_path: Path, shards: int, storage: str) -> None:
    check(tmp_path, 25, shards, 5, storage)


@pytest.mark.slow
@pytest.mark.parametrize("storage", [FILES, TAR])
@pytest.mark.parametrize("shards", [1, 2, 8])
def test_a_hundred_kills(tmp_path: Path, shards: int, storage: str) -> None:
    check(tmp_path, 600, shards, 100, storage)
