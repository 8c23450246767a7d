"""How many runs work at a time."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.accelerators import MPSAccelerator

from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution import processor
from synthaug.execution.parallelism import (
    Concurrency,
    Load,
    Machine,
    choose,
    count_devices,
    free_device_memory,
    hint,
    starts_workers,
)
from tests.factories.commands import jobs_of

SMALL = Load(44_000_000, 15_000_000)  # about 0.5 GB


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema.register()


def sweep_of(number: int, *arguments: str) -> list[Job]:
    return jobs_of("-m", "mix=real", f"seed={','.join(map(str, range(number)))}", *arguments)


@pytest.mark.parametrize(
    ("runs", "arguments", "machine", "workers", "says"),
    [
        (5, [], Machine(2, 16 * 10**9), 2, ""),
        (5, [], Machine(16, None), 5, ""),
        (5, ["threads=4"], Machine(16, None), 4, ""),
        (5, ["threads=4"], Machine(2, None), 1, ""),
        (5, ["parallel=4"], Machine(2, None), 4, ""),
        (5, [], Machine(16, 10**9), 1, "1 instead of 5 runs at a time: each needs about 0.5 GB of memory, and 1.0 GB"),
        (5, ["parallel=4"], Machine(16, 2 * 10**9), 3, "3 instead of 4 runs"),
        (5, [], Machine(16, 10**6), 1, "1 instead of 5 runs"),
        (5, [], Machine(16, None, devices=1), 1, ""),
        (5, [], Machine(16, None, devices=2), 2, ""),
        (5, ["parallel=3"], Machine(16, None, devices=1), 3, ""),
        (
            5,
            ["parallel=4"],
            Machine(16, 64 * 10**9, 1, 2 * 10**9),
            2,
            "2 instead of 4 runs at a time: each needs about 0.7 GB of GPU",
        ),
        (5, ["parallel=4"], Machine(16, 64 * 10**9, 2, 2 * 10**9), 4, ""),
        (
            5,
            ["parallel=4"],
            Machine(16, 10**9, 2, 2 * 10**9),
            1,
            "1 instead of 4 runs at a time: each needs about 0.5 GB of memory",
        ),
        (5, ["parallel=4"], Machine(16, None, 1, 10**6), 1, "1 instead of 4 runs"),
    ],
)
def test_as_many_runs_as_the_machine_and_the_user_allow(
    runs: int, arguments: list[str], machine: Machine, workers: int, says: str
) -> None:
    concurrency, text = choose(sweep_of(runs, *arguments), [SMALL], machine)
    assert concurrency.runs == workers
    assert text.startswith(says) if says else text == ""


@pytest.mark.parametrize(
    ("runs", "arguments", "may", "cores", "expected"),
    [
        (2, [], True, 2, True),
        (1, [], True, 2, False),
        (2, [], True, 1, False),
        (2, ["parallel=2"], True, 1, True),
        (2, ["parallel=1"], True, 2, False),
        (2, ["threads=2"], True, 3, False),
        (2, ["threads=2"], True, 4, True),
        (2, [], False, 2, False),
        (2, ["trainer.devices=2"], True, 2, False),
        (2, ["trainer=ddp"], True, 2, False),
        (2, ["model=dinov2_probe", "dataset.image_size=224"], True, 2, False),
    ],
)
def test_runs_have_processes_of_their_own_where_several_can_work(
    runs: int, arguments: list[str], may: bool, cores: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "available_cores", lambda: cores)
    assert starts_workers(sweep_of(runs, *arguments), may) == expected


@pytest.mark.parametrize(("arguments", "may"), [(["trainer.devices=2"], True), (["trainer=ddp"], True), ([], False)])
def test_a_number_that_cannot_be_had_is_refused(arguments: list[str], may: bool) -> None:
    with pytest.raises(UserError, match="parallel=2: "):
        starts_workers(sweep_of(2, *arguments, "parallel=2"), may)


def test_devices_are_those_that_lightning_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    counts = {name: count_devices(name) for name in ("auto", "gpu", "cuda", "cpu", "mps")}
    assert counts == {"auto": 2, "gpu": 2, "cuda": 2, "cpu": 0, "mps": 1}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (10 - number, 20))
    assert free_device_memory(2) == 9
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: True)
    assert (count_devices("auto"), count_devices("cpu")) == (1, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert free_device_memory(1) is None


JOBS: list[Job] = []


@given(
    cores=st.integers(1, 64),
    memory=st.none() | st.integers(0, 10**12),
    weights=st.integers(0, 10**10),
    devices=st.integers(0, 8),
    runs=st.integers(1, 6),
)
def test_there_is_always_a_worker_and_never_one_too_many(
    cores: int, memory: int | None, weights: int, devices: int, runs: int
) -> None:
    if not JOBS:
        JOBS.extend(sweep_of(6))
    load = Load(weights)
    concurrency, text = choose(JOBS[:runs], [load, SMALL], Machine(cores, memory, devices))
    workers, last = concurrency.runs, concurrency.last
    assert workers <= last < max(2 * workers, 2)
    assert last == workers or not devices
    assert last == 1 or memory is None or last * max(load.memory, SMALL.memory) <= memory
    assert 1 <= workers <= min(runs, devices or cores)
    assert workers == 1 or memory is None or workers * max(load.memory, SMALL.memory) <= memory
    assert bool(text) == (workers < min(runs, devices or cores))


def test_the_last_runs_share_cores_unless_the_number_was_set() -> None:
    assert choose(sweep_of(5), [SMALL], Machine(2, None))[0] == Concurrency(2, 3)
    assert choose(sweep_of(5), [SMALL], Machine(2, int(2 * SMALL.memory)))[0] == Concurrency(2, 2)
    assert choose(sweep_of(5, "parallel=2"), [SMALL], Machine(2, None))[0] == Concurrency(2, 2)
    assert choose(sweep_of(5), [SMALL], Machine(2, None, devices=2))[0] == Concurrency(2, 2)


@given(workers=st.integers(1, 16), runs=st.integers(1, 60), sharing=st.booleans())
def test_cores_idle_only_where_runs_are_fewer(workers: int, runs: int, sharing: bool) -> None:
    concurrency = Concurrency(workers, 2 * workers - 1 if sharing else workers)
    work, seconds = runs, 0.0
    running: list[float] = []
    while work or running:
        while work and len(running) < concurrency.allowed(len(running), work):
            work -= 1
            running.append(1.0)
        assert len(running) <= concurrency.last
        speed = min(1.0, workers / len(running))
        step = min(running) / speed
        running = [left - step * speed for left in running if left - step * speed > 1e-9]
        seconds += step
    rounds = -(-runs // workers)
    assert seconds <= rounds + 1e-6
    if sharing and runs >= workers:
        assert seconds == pytest.approx(runs / workers)


def test_a_single_run_of_large_images_is_told_of_more_threads() -> None:
    (large,), (small,) = jobs_of("mix=real", "dataset.image_size=224"), jobs_of("mix=real")
    assert "threads=8" in hint(large.settings, Machine(8, None))
    assert hint(small.settings, Machine(8, None)) == hint(large.settings, Machine(8, None, devices=1)) == ""
    assert hint(large.settings | {"threads": 8}, Machine(8, None)) == ""
