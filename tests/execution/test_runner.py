"""One run among others."""

import gc
import weakref
from pathlib import Path
from unittest.mock import Mock

import pytest

from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.execution import runner
from synthaug.execution.session import Session
from synthaug.files import write_json
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
