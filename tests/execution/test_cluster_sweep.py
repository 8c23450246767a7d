"""The command while its runs are in a cluster: what it logs, what it records, how it is interrupted."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from synthaug import generate
from synthaug.config.job import Job
from synthaug.execution import cluster_sweep, frozen_runs
from synthaug.execution.clusters import Ray
from synthaug.execution.queued_run import Outcome
from synthaug.execution.session import Session
from tests.execution.test_frozen_runs import session_of
from tests.factories.commands import jobs_of

WARNING = {"name": "synthaug.x", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "few images"}


class FakeQueue:
    """Ends one run with each look."""

    name = "Fake"

    def __init__(self, outcomes: dict[Path, Outcome], interrupted_after: int = 99) -> None:
        self.outcomes = outcomes
        self.looks = interrupted_after
        self.sent: list[Path] = []
        self.left = self.closed = False

    def submit(self, runs: Sequence[Path]) -> str:
        self.sent += runs
        return "sent"

    def poll(self) -> tuple[dict[Path, str], list[tuple[Path, Outcome]]]:
        if self.looks == 0:
            raise KeyboardInterrupt
        self.looks -= 1
        run = self.sent.pop(0)
        return dict.fromkeys(self.sent, "queued"), [(run, self.outcomes[run])]

    def leave(self) -> str:
        self.left = True
        return "left"

    def close(self) -> None:
        self.closed = True


class Study:
    """A sweep of three runs in a queue, and what it leaves behind."""

    def __init__(self, tmp_path: Path) -> None:
        self.jobs = jobs_of("-m", "mix=real", "seed=0,1,2", f"output_dir={tmp_path}")
        self.session: Session = session_of(self.jobs)
        self.failures: dict[str, str] = {}
        self.messages: list[str] = []

    def record(self, job: Job, error: Exception) -> None:
        self.failures[job.label] = str(error)

    def wait_for(self, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
        handler = logging.Handler()
        handler.emit = lambda record: self.messages.append(record.getMessage())  # type: ignore[method-assign]
        monkeypatch.setattr(cluster_sweep, "connect", lambda *_: queue)
        monkeypatch.setattr(cluster_sweep, "_TICK", 0.0)
        monkeypatch.setattr(logging.root, "level", logging.INFO)
        monkeypatch.setattr(logging.root, "handlers", [handler])
        cluster_sweep.run_in_cluster(self.session, self.jobs, Ray(), self.record, {self.jobs[0].study: [handler]})


def outcomes_of(study: Study) -> dict[Path, Outcome]:
    def line(text: str) -> dict[str, Any]:
        return {"name": "synthaug.x", "levelno": logging.INFO, "levelname": "INFO", "msg": text}

    first, second, third = (job.folder for job in study.jobs)
    return {
        first: Outcome(False, [WARNING, line("real-seed0: test accuracy 90 %")], ["power"]),
        second: Outcome(True, reason="its job is gone"),
        third: Outcome(True, [WARNING, line("real-seed2 failed: no images")]),
    }


def test_each_run_leaves_its_line_and_failures_do_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path)
    queue = FakeQueue(outcomes_of(study))
    study.wait_for(queue, monkeypatch)
    assert study.session.failed == ["real-seed1", "real-seed2"]
    assert study.failures == {"real-seed1": "its job is gone"}, "the other has written it down itself"
    assert study.session.announced == {"power"}
    kept = [text for text in study.messages if text.startswith(("few", "real-seed"))]
    assert kept == ["few images", "real-seed0: test accuracy 90 %", "real-seed2 failed: no images"]
    assert "python -m synthaug.train" in study.messages[-1]
    assert (queue.closed, queue.left) == (True, False)


def test_an_interruption_asks_the_queue_what_becomes_of_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path)
    queue = FakeQueue(outcomes_of(study), interrupted_after=1)
    with pytest.raises(KeyboardInterrupt):
        study.wait_for(queue, monkeypatch)
    assert (queue.closed, queue.left) == (True, True)
    assert study.messages[-1] == "left"
    assert study.failures == {}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("shards=3 cluster=slurm", "-m shards=3 cluster=slurm shard=0,1,2"),
        ("shards=3 shard=1 cluster=ray", "-m shards=3 shard=1 cluster=ray"),
        ("cluster=slurm", "-m cluster=slurm shards=1 shard=0"),
        ("-m shards=3 shard=0,2 cluster=slurm", "-m shards=3 shard=0,2 cluster=slurm"),
        ("shards=3 shard=1", "shards=3 shard=1"),
        ("shards=3 cluster=local", "shards=3 cluster=local"),
        ("shards=many cluster=slurm", "shards=many cluster=slurm"),
    ],
)
def test_all_shards_are_requested_where_a_cluster_makes_them(typed: str, read: str) -> None:
    assert generate.with_every_shard(typed.split()) == read.split()


def test_shards_are_told_apart(tmp_path: Path) -> None:
    jobs = jobs_of("-m", "shard=0,1", "shards=2", f"output_dir={tmp_path}")
    frozen = frozen_runs.freeze(session_of(jobs), "synthaug.generate:execute")
    assert [path.name for path in frozen] == ["shard0-of-2", "shard1-of-2"]
    session, job = frozen_runs.thaw(list(frozen.values())[1])
    assert job.settings["shard"] == 1
    assert session._execute is generate.execute
    assert [frozen_runs.label(job) for job in jobs] == ["shard 0 of 2", "shard 1 of 2"]
