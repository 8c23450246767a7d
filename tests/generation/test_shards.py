"""Shards of a synthetic set: the same images and rows by any number of them, in any order, whatever was lost."""

import dataclasses
import multiprocessing
import os
import random
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthaug import locks, occupancy
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation import set_locks
from synthaug.generation.inventory import Inventory, Missing
from synthaug.generation.manifest import ManifestRow, part_files, read_manifest
from synthaug.generation.shard import Shard, number_of
from synthaug.generation.synthetic_set import SyntheticSet
from tests.generation.test_synthetic_set import Painter, contents

COUNTS = {"cat": 7, "sea_lion": 5, "emu": 1}


class Censor(Painter):
    """Rejects about every fifth image."""

    def paint(self, prompt: str, seed: int) -> Image.Image:
        return Image.new("RGB", (8, 8)) if seed % 5 == 0 else super().paint(prompt, seed)


class Slow(Censor):
    """Takes a moment for an image, so that others begin meanwhile."""

    def paint(self, prompt: str, seed: int) -> Image.Image:
        time.sleep(0.02)
        return super().paint(prompt, seed)


def rows(folder: Path) -> list[ManifestRow]:
    return [dataclasses.replace(row, seconds="") for row in read_manifest(folder)]


def make(folder: Path, shards: int, order: Sequence[int], counts: Mapping[str, int] = COUNTS) -> None:
    """Make shards in an order; what is rejected is replaced at last, as a command does."""
    for number in order:
        SyntheticSet(folder, Censor(batch_size=2)).ensure(counts, Shard(number, shards))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert SyntheticSet(folder, Censor()).ensure(COUNTS) == 13
    assert any(row.rejected for row in read_manifest(folder))
    return folder


def _begin(folder: Path, host: str, barrier: Any, winners: Any) -> None:
    """Hold a folder as a process of another machine does, to which no lock reaches."""
    socket.gethostname = lambda: host
    barrier.wait()
    with occupancy.held(folder) as is_mine:
        winners.put((host, is_mine))
        barrier.wait()


def test_of_machines_without_locks_that_begin_together_one_goes_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        barrier, winners = context.Barrier(4), context.Queue()
        hosts = [f"node{number}" for number in range(4)]
        processes = [context.Process(target=_begin, args=(folder, host, barrier, winners)) for host in hosts]
        for process in processes:
            process.start()
        answers = [winners.get(timeout=30) for _ in hosts]
        for process in processes:
            process.join(30)
        assert sorted(is_mine for _, is_mine in answers) == [False, False, False, True]
        assert list(folder.iterdir()) == []


def test_a_folder_is_held_after_a_killed_process_of_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in (socket.gethostname(), "node7"):
        write_json(tmp_path / occupancy.HOLDER, {"host": host, "process": 1, "since": 0.0})
        assert occupancy.living_elsewhere(tmp_path, patience=0.1) is None
        with occupancy.held(tmp_path) as is_mine:
            assert is_mine
            assert read_json(tmp_path / occupancy.HOLDER)["process"] == os.getpid()
    write_json(tmp_path / occupancy.HOLDER, {"host": "node7", "process": 1, "since": 0.0})
    with occupancy.held(tmp_path) as is_mine:
        assert not is_mine
    assert read_json(tmp_path / occupancy.HOLDER)["host"] == "node7"
    (tmp_path / occupancy.HOLDER).unlink()
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no links")))
    with occupancy.held(tmp_path) as is_mine:
        assert is_mine
        assert (tmp_path / occupancy.HOLDER).is_file()


@settings(max_examples=12, deadline=None)
@given(shards=st.sampled_from([1, 2, 3, 8]), seed=st.integers(0, 99), again=st.sampled_from([1, 2, 5]))
def test_any_shards_in_any_order_make_the_same_set(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: Path, shards: int, seed: int, again: int
) -> None:
    folder = tmp_path_factory.mktemp("set")
    draw = random.Random(seed)
    order = draw.sample(range(shards), shards)
    make(folder, shards, order[: draw.randint(0, shards)])
    make(folder, again, draw.sample(range(again), again))  # another number of them, on what there is
    SyntheticSet(folder, Censor()).ensure(COUNTS)
    assert contents(folder) == contents(undisturbed)
    assert rows(folder) == rows(undisturbed)
    lines = [line for part in part_files(folder) for line in part.read_text(encoding="utf-8").splitlines()]
    places = [line.split(",")[:2] for line in lines if line.startswith(("cat,", "sea_lion,", "emu,"))]
    assert len(places) == len({tuple(place) for place in places}), "an image was made twice"


@settings(max_examples=12, deadline=None)
@given(shards=st.sampled_from([1, 3]), seed=st.integers(0, 999))
def test_what_a_power_cut_took_is_made_again(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: Path, shards: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("set")
    make(folder, shards, range(shards))
    draw = random.Random(seed)
    for part in part_files(folder):  # the end of each log, within its last row
        content = part.read_bytes()
        last = content.rstrip(b"\n").rfind(b"\n" + (b"cat," if b"\ncat," in content else b"")) + 1
        os.truncate(part, draw.randint(max(last, content.find(b"\n") + 1), len(content)))
    images = sorted(folder.rglob("*.png"))
    for path in draw.sample(images, 3):
        os.truncate(path, draw.randint(0, path.stat().st_size - 1))
    draw.choice(images).unlink()
    make(folder, shards, range(shards))
    SyntheticSet(folder, Censor()).ensure(COUNTS)
    assert contents(folder) == contents(undisturbed)
    assert rows(folder) == rows(undisturbed)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=4), st.integers(1, 9))
def test_every_image_is_of_one_shard(counts: dict[str, int], shards: int) -> None:
    places = [place for number in range(shards) for place in Shard(number, shards).places(counts)]
    assert sorted(places) == sorted((name, index) for name, count in counts.items() for index in range(count))
    sizes = [len(list(Shard(number, shards).places(counts))) for number in range(shards)]
    assert max(sizes) - min(sizes) <= len(counts)
    for number in range(shards):
        of_shard = set(Shard(number, shards).places(counts))
        more = {name: count + 5 for name, count in reversed(counts.items())}
        assert of_shard <= set(Shard(number, shards).places(more)), "an image stays in its shard"


@given(
    amounts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    bad=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 9))),
    batch=st.integers(1, 5),
)
def test_a_class_has_its_first_images_that_are_not_rejected(
    amounts: list[int], bad: set[tuple[int, int]], batch: int
) -> None:
    """Against a plain rule: candidates are tried by number until enough are accepted."""
    counts = {str(number): amount for number, amount in enumerate(amounts)}
    missing, tried = Missing(Inventory(), counts), list[tuple[str, int]]()
    while places := list(islice(missing, batch)):
        tried += places
        for name, index in places:
            if (int(name), index) in bad:
                missing.replace(name)
    expected = []
    for name, count in counts.items():
        index = accepted = 0
        while accepted < count:
            expected.append((name, index))
            accepted += (int(name), index) not in bad
            index += 1
    assert sorted(tried) == sorted(expected)


def test_shards_that_lack_images_are_named(tmp_path: Path) -> None:
    make(tmp_path, 4, [2])
    lacking = SyntheticSet(tmp_path, Censor()).lacking_shards(COUNTS, 4)
    assert lacking == {0: 4, 1: 3, 3: 2}
    make(tmp_path, 4, [0, 1, 3])
    assert SyntheticSet(tmp_path, Censor()).lacking_shards(COUNTS, 4) == {}


@pytest.mark.parametrize("settings_", [
    {"shards": 4, "shard": 4}, {"shards": 4, "shard": None}, {"shards": None, "shard": 1},
])  # fmt: skip
def test_keys_that_leave_the_shard_open_are_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"shard"):
        Shard.of(settings_, {})


def test_processes_of_torchrun_make_a_shard_each() -> None:
    environment = {"RANK": "3", "WORLD_SIZE": "8"}
    assert Shard.of({"shards": None, "shard": None}, environment) == Shard(3, 8)
    assert Shard.of({"shards": 8, "shard": 3}, {}) == Shard(3, 8)
    assert Shard.of({"shards": None, "shard": None}, {}) == Shard.of({"shards": 1, "shard": 0}, {}) == Shard()
    with pytest.raises(UserError, match="torchrun"):
        Shard.of({"shards": 8, "shard": 3}, environment)


def make_together(folder: Path, processes: int, parts: int) -> list[int]:
    """Have threads make a set at the same time, as processes do; return how many images each has made."""
    makers = [SyntheticSet(folder, Slow(batch_size=2), parts=parts) for _ in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(lambda maker: maker.ensure(COUNTS), makers))


@pytest.mark.parametrize(("processes", "parts"), [(1, 2), (2, 2), (3, 8)])
def test_processes_that_need_a_set_make_it_together(
    tmp_path: Path, undisturbed: Path, processes: int, parts: int
) -> None:
    """Each image and each replacement is made once, by whoever comes first; nobody ends before all are there."""
    made = make_together(tmp_path, processes, parts)
    assert sum(made) == sum(COUNTS.values())
    assert sum(map(bool, made)) == processes
    assert contents(tmp_path) == contents(undisturbed)
    assert rows(tmp_path) == rows(undisturbed)
    lines = [line for part in part_files(tmp_path) for line in part.read_text(encoding="utf-8").splitlines()]
    places = [tuple(line.split(",")[:2]) for line in lines if line.startswith(("cat,", "sea_lion,", "emu,"))]
    assert len(places) == len(set(places)) == len(rows(undisturbed)), "an image was made twice"


def test_a_part_that_another_process_has_left_is_made_too(tmp_path: Path, undisturbed: Path) -> None:
    maker = SyntheticSet(tmp_path, Censor(), parts=2)
    with ThreadPoolExecutor(1) as pool, locks.exclusive(tmp_path / ".shard-1-of-2.lock", "generates"):
        made = pool.submit(maker.ensure, COUNTS)
        deadline = time.monotonic() + 30
        while SyntheticSet(tmp_path, Censor()).lacking_shards(COUNTS, 2).keys() != {1}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not made.done()
    assert made.result(30) == sum(COUNTS.values())
    assert contents(tmp_path) == contents(undisturbed)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("hours", [-5, 5])
def test_a_node_whose_lock_does_not_reach_this_one_is_waited_for_until_it_falls_silent(
    tmp_path: Path, undisturbed: Path, parts: int, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its clock says; what a killed process of another node has left is waited for once."""
    monkeypatch.setattr(occupancy, "PATIENCE", 0.5)
    lock = ".lock" if parts == 1 else ".shard-0-of-2.lock"
    file, now = tmp_path / f"{lock}.holder", time.time() + 3600 * hours
    write_json(file, {"host": "node7", "process": 1, "since": now})
    maker = SyntheticSet(tmp_path, Censor(), parts=parts)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(maker.ensure, COUNTS)
        for touch in range(12):
            os.utime(file, (now + touch, now + touch))
            time.sleep(0.1)
        assert not made.done()
        assert maker.lacking_shards(COUNTS, 2)[0] > 0
        assert made.result(30) > 0
    assert not list(tmp_path.glob("*.holder"))
    assert contents(tmp_path) == contents(undisturbed)


def test_who_makes_a_shard_says_so_to_other_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "HEARTBEAT", 0.05)
    with set_locks.writing(tmp_path, Shard(1, 2)):
        monkeypatch.setattr(socket, "gethostname", lambda: "another")  # as a second node sees it
        (name,) = (path.name for path in tmp_path.glob(".*.holder"))
        assert name == ".shard-1-of-2.lock.holder"
        assert occupancy.living_elsewhere(tmp_path, 20, name) is not None
    assert not list(tmp_path.glob(".*.holder"))


def test_another_generator_is_refused_by_shards_too(tmp_path: Path) -> None:
    make(tmp_path, 2, [0])
    with pytest.raises(UserError, match=r"generator\.steps"):
        SyntheticSet(tmp_path, Censor(steps=9)).ensure(COUNTS, Shard(1, 2))


def test_lost_images_of_another_writer_at_work_are_left_to_it(tmp_path: Path) -> None:
    make(tmp_path, 2, [0, 1])
    (tmp_path / "cat/000001.png").unlink()
    writer, further = (Shard(number_of("cat", 1, count), count) for count in (2, 3))
    with (
        locks.exclusive(tmp_path / f".shard-{writer}.lock", "generates"),
        pytest.raises(UserError, match=f"manifest-{writer}"),
    ):
        SyntheticSet(tmp_path, Censor()).ensure(COUNTS, further)
    SyntheticSet(tmp_path, Censor()).ensure(COUNTS, writer)
    assert (tmp_path / "cat/000001.png").is_file()


@pytest.mark.parametrize(
    ("held", "shard"),
    [(".shard-0-of-2.lock", Shard()), (".shard-0-of-2.lock", Shard(0, 2)), (".lock", Shard(0, 2))],
)
def test_whoever_makes_the_same_images_is_waited_for(
    tmp_path: Path, held: str, shard: Shard, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole set, as `train` makes it, waits for shards; a shard for its other command, and for a whole set."""
    monkeypatch.setattr(locks, "_SILENT", 0.01)
    maker = Censor()
    waiting = threading.Thread(target=lambda: SyntheticSet(tmp_path, maker).ensure(COUNTS, shard))
    with locks.exclusive(tmp_path / held, "generates"), caplog.at_level("WARNING", "synthaug.locks"):
        waiting.start()
        deadline = time.monotonic() + 30
        while "Waiting for another process that generates" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert maker.seeds == []
    waiting.join(30)
    assert SyntheticSet(tmp_path, Censor()).count_missing(COUNTS, shard) == 0


def test_shards_at_work_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with locks.exclusive(tmp_path / ".shard-0-of-2.lock", "generates"):
        assert SyntheticSet(tmp_path, Censor()).ensure(COUNTS, Shard(1, 2)) > 0
