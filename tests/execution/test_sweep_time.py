"""The time left of a sweep."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.execution.parallelism import Load
from synthaug.execution.sweep_time import expected_seconds, extent
from synthaug.files import write_json
from synthaug.runs.layout import RESULT
from tests.factories.commands import jobs_of


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema.register()


def finish(job: Job, seconds: float, trained: float = 0.0) -> None:
    started = datetime(2026, 1, 1, tzinfo=UTC)
    job.folder.mkdir(parents=True)
    finished = started + timedelta(seconds=seconds)
    result = {"started": started.isoformat(), "finished": finished.isoformat(), "training": {"seconds": trained}}
    write_json(job.folder / RESULT, result)


def test_nothing_is_said_before_a_run_is_finished() -> None:
    jobs = jobs_of("-m", "mix=real,real20", "seed=0,1")
    assert expected_seconds(jobs, jobs[0]) == (None, None)


def test_runs_are_scaled_by_their_images_until_one_of_as_many_is_finished() -> None:
    jobs = jobs_of("-m", "mix=real,real20,55", "seed=0,1", "budget=epochs")
    finish(jobs[0], 100)
    assert expected_seconds(jobs, jobs[1]) == pytest.approx((100, 20 + 20 + 100 + 100))
    finish(jobs[2], 50)
    assert expected_seconds(jobs, jobs[3]) == pytest.approx((50, 100 + 100))
    assert expected_seconds(jobs, jobs[5]) == pytest.approx((100, 0))


def test_finished_runs_take_nothing_and_a_resumed_one_took_all_its_epochs() -> None:
    jobs = jobs_of("-m", "mix=real", "seed=0,1,2,3")
    finish(jobs[0], 10, trained=100)
    finish(jobs[2], 100)
    assert expected_seconds(jobs, jobs[1]) == pytest.approx((100, 100))


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        (["mix=real,real20"], 100),
        (["mix=real", "trainer.max_epochs=8,16"], 200),
        (["mix=real,real20", "trainer.max_steps=50"], 100),
        (["mix=real", "model=resnet18,vit_b_16"], None),
    ],
)
def test_what_a_run_is_judged_by(arguments: list[str], seconds: float | None) -> None:
    experiment = "experiment=x-${trainer.max_epochs}"
    jobs = jobs_of("-m", *arguments, experiment)
    finish(jobs[0], 100)
    expected, later = expected_seconds(jobs, jobs[1])
    assert expected == pytest.approx(seconds)
    assert later == 0


def test_the_extent_of_a_sweep_is_said_before_it_begins() -> None:
    jobs = jobs_of("-m", "mix=real,64", "seed=0,1", "generator.guidance_scale=2,4")
    assert extent(jobs, {}) == "6 runs of 3 arms"
    finish(jobs[0], 30)
    text = extent(jobs, {job.folder: Load(44_000_000, 0, 44_000_000) for job in jobs})
    assert text == "6 runs of 3 arms, 1 finished; about 2 min; checkpoints of 220 MB"
    assert extent(jobs, {}, "cpu in 32-true").endswith("; on cpu in 32-true")
    for job in jobs[1:]:
        finish(job, 30)
    assert extent(jobs, {}) == ""
