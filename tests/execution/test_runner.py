"""One run among others."""

import gc
import weakref
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.execution import runner
from synthaug.execution.memory_errors import with_next_step
from synthaug.execution.parallelism import Concurrency
from synthaug.execution.session import Session
from synthaug.files import read_json, write_json
from synthaug.runs import layout
from tests.factories.commands import jobs_of


class Network:
    """Refers to itself, as a network and its Trainer do."""

    def __init__(self) -> None:
        self.trainer = self


def test_what_a_run_leaves_behind_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[weakref.ref[Network]] = []
    monkeypatch.setattr(runner, "run", lambda session, job: networks.append(weakref.ref(Network())))
    gc.disable()
    try:
        runner.execute(Mock(spec=Session), Mock(spec=Job))
    finally:
        gc.enable()
    assert [network() for network in networks] == [None]


@pytest.mark.parametrize(
    ("earlier", "now", "lacks"), [(False, "all", True), (True, True, False), (False, False, False)]
)
def test_a_model_that_is_not_logged_any_more_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool, now: object, lacks: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    schema.register()
    (job,) = jobs_of("mix=real", "logger=wandb", f"logger.wandb.log_model={now}")
    job.folder.mkdir(parents=True)
    write_json(job.folder / layout.RESULT, {"settings": {"logger": {"wandb": {"log_model": earlier}}}})
    assert ("overwrite=true" in runner.finished_message(job)) == lacks


def test_what_a_killed_process_left_of_a_finished_run_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    schema.register()
    (job,) = jobs_of("mix=real", "logger=none")
    job.folder.mkdir(parents=True)
    for name in (layout.LAST, layout.PREVIOUS, layout.CHECKPOINT):
        (job.folder / name).touch()
    assert not runner.is_finished(job)
    assert (job.folder / layout.LAST).exists()
    write_json(job.folder / layout.RESULT, {})
    assert runner.is_finished(job)
    assert {path.name for path in job.folder.iterdir()} == {layout.CHECKPOINT, layout.RESULT}


@pytest.fixture
def training_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    schema.register()
    return jobs_of("mix=real", "logger=none", "batch_size=32")[0]


def _leave_half_a_file() -> None:
    try:
        raise KeyboardInterrupt
    finally:
        raise RuntimeError("unexpected position")


def test_an_interruption_is_no_failure_whatever_a_library_makes_of_it(training_job: Job) -> None:
    """The writer of `torch.save` raises an error of its own where Ctrl-C leaves it with half a file."""
    session = Session(runner.execute)
    for error in (KeyboardInterrupt(), SystemExit(1)):  # the second is how submitit leaves a job
        with pytest.raises(type(error)), runner.recorded_failure(session, [training_job]):
            raise error
    with pytest.raises(KeyboardInterrupt), runner.recorded_failure(session, [training_job]):
        _leave_half_a_file()
    assert session.failed == []
    assert not training_job.folder.exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("[…] can't allocate memory"), MemoryError()]
)
def test_a_full_memory_is_told_of_with_what_to_do(training_job: Job, error: Exception) -> None:
    session = Session(runner.execute)
    session.concurrency = Concurrency(3, 3)
    released: list[weakref.ref[Network]] = []

    def step() -> None:
        batch = Network()
        released.append(weakref.ref(batch))
        raise error

    with runner.recorded_failure(session, [training_job]):
        step()
    assert session.failed == [training_job.label]
    failure = read_json(training_job.folder / layout.FAILED)
    assert failure["type"] == "UserError"
    assert "parallel=2" in failure["error"]
    assert "batch_size=16" in failure["error"]
    assert [batch() for batch in released] == [None], "other runs may share the device"


def test_a_full_memory_of_a_single_run_has_no_other_runs_to_blame(training_job: Job) -> None:
    message = str(with_next_step(MemoryError(), training_job, None))
    assert "batch_size=16" in message
    assert "parallel" not in message
    other = ValueError("something else")
    assert with_next_step(other, training_job, Concurrency(2, 2)) is other
