"""Runs as a cluster gets them: the same when they are read again, and refused where anything has changed."""

import importlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from synthaug import progress_bar
from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution import datasets, frozen_runs, queued_run
from synthaug.execution.frozen_runs import FOLDER, FrozenRun
from synthaug.execution.queued_run import StoppedError
from synthaug.execution.session import Session
from synthaug.files import write_text
from synthaug.progress_bar import Step
from synthaug.runs.layout import LAST
from tests.factories.commands import jobs_of
from tests.factories.images import write_dataset


def no_run(session: Session, job: Job) -> None:
    raise AssertionError(job.label)


def session_of(jobs: Sequence[Job]) -> Session:
    session = Session(no_run)
    session.jobs = {(str(number),): job for number, job in enumerate(jobs)}
    for job in jobs:
        job.study.mkdir(parents=True, exist_ok=True)
    return session


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return jobs_of(
        "-m", "mix=real,fill", "seed=0,1", f"output_dir={tmp_path}", "shift=corruptions_small", "cluster=ray"
    )


def frozen_of(jobs: Sequence[Job]) -> list[FrozenRun]:
    frozen = frozen_runs.freeze(session_of(jobs))
    return [frozen[job.folder] for job in jobs]


def test_a_thawed_run_is_the_run(jobs: list[Job]) -> None:
    frozen = frozen_of(jobs)
    assert len({run.identity for run in frozen}) == len(jobs)
    for job, run in zip(jobs, frozen, strict=True):
        session, thawed = frozen_runs.thaw(run)
        assert (thawed, thawed.folder, thawed.label) == (job, job.folder, job.label)
        assert list(session.jobs.values()) == jobs, "with those beside it, of which it may share images"
        assert (session.is_sweep, session.is_expanded, session.is_local) == (True, True, False)


def test_the_same_runs_are_written_down_once(jobs: list[Job]) -> None:
    first, second = frozen_of(jobs), frozen_of(jobs)
    assert first == second
    fewer = frozen_of(jobs[:2])
    assert [run.identity for run in fewer] == [run.identity for run in first[:2]], "whatever runs beside it"
    assert len(list((jobs[0].study / FOLDER).glob("*.json"))) == 2


def test_no_file_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "hunter2-hunter2")
    overrides = ["generator=hub", "generator.model='${oc.env:TOKEN_OF_MINE}/model'", f"output_dir={tmp_path}"]
    (job,) = jobs_of("-m", "mix=55", *overrides)
    (frozen,) = frozen_of([job])
    assert "hunter2" not in frozen.file.read_text(encoding="utf-8")
    assert frozen_runs.thaw(frozen)[1].settings == job.settings
    assert job.settings["generator"]["model"] == "hunter2-hunter2/model"
    monkeypatch.delenv("TOKEN_OF_MINE")
    with pytest.raises(UserError, match="TOKEN_OF_MINE"):
        frozen_runs.thaw(frozen)


def test_a_changed_file_is_refused(jobs: list[Job]) -> None:
    frozen = frozen_of(jobs)[0]
    text = frozen.file.read_text(encoding="utf-8")
    frozen.file.write_text(text.replace('"seed": 0', '"seed": 7'), encoding="utf-8")
    with pytest.raises(UserError, match="not as it was written"):
        frozen_runs.thaw(frozen)
    other = frozen_of(jobs[:1])[0]
    with pytest.raises(UserError, match="not what this job was queued with"):
        frozen_runs.thaw(FrozenRun(other.file, frozen.digest, 0))


def test_changed_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "networks_of_mine.py"
    module.write_text("class Network:\n    pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    (job,) = jobs_of("-m", "mix=real", f"output_dir={tmp_path}")
    job.settings["model"] = {"_target_": "networks_of_mine.Network"}
    (frozen,) = frozen_of([job])
    assert frozen_runs.thaw(frozen)[1] == job
    module.write_text("class Network:\n    wider = True\n", encoding="utf-8")
    with pytest.raises(UserError, match="has changed since"):
        frozen_runs.thaw(frozen)
    assert frozen_of([job])[0].identity != frozen.identity


def test_changed_images_are_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    (job,) = jobs_of("-m", "mix=real", "dataset=imagefolder", f"dataset.root={root}", f"output_dir={tmp_path / 'out'}")

    def listed() -> Session:
        session = session_of([job])
        datasets.read_real(session, job)
        return session

    frozen = frozen_runs.freeze(listed())[job.folder]
    frozen_runs.require_same_dataset(frozen, listed(), job)
    Image.new("RGB", (20, 16), (1, 2, 3)).save(root / "train" / "cat" / "another.png")
    with pytest.raises(UserError, match=r"train\) have changed since"):
        frozen_runs.require_same_dataset(frozen, listed(), job)
    assert datasets.dataset_key(job) in listed().scans


@pytest.mark.parametrize(
    ("trains", "finishes_an_epoch", "is_stuck"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_run_whose_epoch_takes_longer_than_its_time_is_known(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch, trains: bool, finishes_an_epoch: bool, is_stuck: bool
) -> None:
    frozen = frozen_runs.freeze(session_of(jobs))[jobs[0].folder]
    jobs[0].folder.mkdir(parents=True)
    (jobs[0].folder / LAST).write_bytes(b"of an attempt before")

    def stopped(*_: object) -> None:
        progress_bar.report(Step("epoch 3", 2, 9, trains=trains))
        time.sleep(0.2)
        if finishes_an_epoch:
            write_text(jobs[0].folder / LAST, "of this one")
        raise KeyboardInterrupt

    monkeypatch.setattr(queued_run, "_execute", stopped)
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.INFO)
    monkeypatch.setattr(progress_bar, "_listeners", [])
    monkeypatch.setattr(queued_run, "_MOST", 0.1)  # this process begins slowly
    with pytest.raises(StoppedError) as error:
        queued_run.bring_to_end(frozen)
    assert error.value.is_stuck == is_stuck
