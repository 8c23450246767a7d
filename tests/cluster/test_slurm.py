"""Sweeps through a real Slurm: the results of a local one, whatever happens to the jobs."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthaug.files import read_json
from synthaug.runs import layout
from tests.cluster.slurm import SlurmNode, running_slurm, why_not
from tests.cluster.studies import (
    ARMS,
    STUDY,
    has_begun,
    kill,
    processes,
    results,
    run_folder,
    wait_until,
)
from tests.factories.commands import Commands

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(why_not()), reason=why_not() or "Slurm is here")]
pytest.importorskip("submitit", reason="pip install 'synthaug[slurm]'")

SENT = [*STUDY, "cluster=slurm", "cluster.gpus=0", "cluster.cpus=1"]
TRACE = "sacct-was-called"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNode]:
    """A cluster without accounting, whose `sacct` leaves a trace when it is called."""
    folder = tmp_path_factory.mktemp("slurm")
    sacct = folder / "bin" / "sacct"
    sacct.parent.mkdir()
    sacct.write_text(f"#!/bin/sh\ntouch {folder / TRACE}\nexit 1\n", encoding="utf-8")
    sacct.chmod(0o755)
    environment = {**os.environ, "PATH": f"{sacct.parent}{os.pathsep}{os.environ['PATH']}"}
    with running_slurm(folder / "node", environment, cpus=2) as node:
        yield node
    assert not (folder / TRACE).exists()


@pytest.fixture(scope="module")
def commands(slurm: SlurmNode, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    variables = {name: slurm.environment[name] for name in ("SLURM_CONF", "PATH")}
    return Commands(tmp_path_factory.mktemp("study"), variables)


@pytest.fixture(scope="module")
def expected(commands: Commands) -> dict[str, bytes]:
    """The results of the study on this machine alone."""
    code, printed = commands.run(*STUDY, "experiment=local", "parallel=1")
    assert code == 0, printed
    return results(commands, "local")


def job_of(commands: Commands, experiment: str, arm: str) -> str:
    recorded = read_json(commands.study(experiment) / "jobs" / "slurm.json")
    (job,) = (entry["job"] for run, entry in recorded.items() if f"/{arm}-" in run)
    return str(job)


def log_of(commands: Commands, experiment: str, job: str) -> str:
    return (commands.study(experiment) / "jobs" / f"{job}_0_log.out").read_text(encoding="utf-8")


def submissions(commands: Commands, experiment: str) -> int:
    return len(list((commands.study(experiment) / "jobs").glob("[0-9]*_submission.sh")))


def test_a_sweep_has_the_results_of_a_local_one(commands: Commands, expected: dict[str, bytes]) -> None:
    code, printed = commands.run(*SENT, "experiment=sent")
    assert code == 0, printed
    assert results(commands, "sent") == expected
    for arm in ARMS:
        assert re.search(rf"{arm}-seed0:\s+test accuracy", printed), "a line is kept of each run"
    assert (commands.study("sent") / "report.html").is_file()
    assert submissions(commands, "sent") == 1
    code, printed = commands.run(*SENT, "experiment=sent")
    assert code == 0
    assert submissions(commands, "sent") == 1, "what is finished is not sent again"


def test_a_job_that_is_queued_again_resumes(slurm: SlurmNode, commands: Commands, expected: dict[str, bytes]) -> None:
    process = commands.start(*SENT, "experiment=requeued")
    wait_until(has_begun(commands, "requeued", *ARMS), process, commands)
    by_slurm, by_signal = (job_of(commands, "requeued", arm) for arm in ARMS)
    slurm.call("scontrol", "requeue", by_slurm)
    slurm.call("scancel", "--signal=USR2", by_signal)  # as Slurm sends it before the time limit
    assert process.wait(200) == 0, commands.printed
    assert results(commands, "requeued") == expected
    for job in (by_slurm, by_signal):
        assert log_of(commands, "requeued", job).count("Starting with JobEnvironment") == 2
    assert "queued again, 1 of 20" in log_of(commands, "requeued", by_signal)
    assert submissions(commands, "requeued") == 1


def test_jobs_that_are_gone_fail_alone_and_the_same_command_resumes(
    slurm: SlurmNode, commands: Commands, expected: dict[str, bytes]
) -> None:
    process = commands.start(*SENT, "experiment=killed", "cluster.array_parallelism=1")
    wait_until(has_begun(commands, "killed", "real"), process, commands)
    array, task = job_of(commands, "killed", "real").split("_")
    kill(processes("submitit.core._submit", SLURM_ARRAY_JOB_ID=array, SLURM_ARRAY_TASK_ID=task))
    wait_until(has_begun(commands, "killed", "55"), process, commands)
    slurm.call("scancel", job_of(commands, "killed", "55"))
    assert process.wait(200) == 1, commands.printed
    failures = [read_json(run_folder(commands, arm, "killed") / layout.FAILED)["error"] for arm in ARMS]
    assert "FAILED" in failures[0]
    assert "CANCELLED" in failures[1]
    assert "python -m synthaug.train --config-dir conf -m" in commands.printed
    code, printed = commands.run(*SENT, "experiment=killed")
    assert code == 0, printed
    assert results(commands, "killed") == expected


def test_an_interrupted_command_leaves_its_jobs_and_waits_for_them_again(
    slurm: SlurmNode, commands: Commands, expected: dict[str, bytes]
) -> None:
    typed = [*SENT, "experiment=left", "cluster.array_parallelism=1"]
    code, printed = commands.stop_when(has_begun(commands, "left", "real"), signal.SIGINT, *typed)
    assert code == 130, printed
    job = job_of(commands, "left", "real")
    assert f"scancel {job.partition('_')[0]}" in printed
    assert slurm.jobs()[job] == "RUNNING"
    code, printed = commands.run(*typed)
    assert code == 0, printed
    assert submissions(commands, "left") == 1
    assert results(commands, "left") == expected


def test_a_queued_run_refuses_what_has_changed(commands: Commands) -> None:
    images: list[Path] = sorted((commands.photos / "train" / "cat").glob("*.png"))
    process = commands.start(*SENT, "experiment=changed", "cluster.array_parallelism=1")
    wait_until(has_begun(commands, "changed", "real"), process, commands)
    content = images[0].read_bytes()
    images[0].write_bytes(images[1].read_bytes()[:-1] + b"\0")
    try:
        assert process.wait(200) == 1, commands.printed
    finally:
        images[0].write_bytes(content)
    assert "have changed since" in commands.printed
    assert not (run_folder(commands, "55", "changed") / layout.RESULT).exists()


def test_shards_make_the_images_of_one_process(commands: Commands) -> None:
    typed = ["per_class=7", "quality=null", "parallel=auto", "generator.prompt='an old {class_name}'"]
    code, printed = commands.run(*typed, "output_dir=alone", command="generate")
    assert code == 0, printed
    sent = [*typed, "output_dir=sent", "shards=3", "cluster=slurm", "cluster.gpus=0", "cluster.cpus=1"]
    code, printed = commands.run(*sent, command="generate")
    assert code == 0, printed
    alone, together = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}
        for root in (commands.folder / name / "synthetic" for name in ("alone", "sent"))
    )
    assert len(alone) == 14
    assert together == alone
    code, printed = commands.run(*sent, command="generate")
    assert code == 0, printed
    assert "0 images generated" in printed


def test_runs_make_their_images_together(commands: Commands) -> None:
    typed = ["quality=null", "parallel=auto", "generator.prompt='a plain {class_name}'"]
    code, printed = commands.run(*typed, "mix=55", "output_dir=by_one", command="generate")
    assert code == 0, printed
    sent = ["-m", "mix=55", "seed=0,1", *typed, "cluster=slurm", "cluster.gpus=0", "cluster.cpus=1"]
    code, printed = commands.run(*sent, "output_dir=by_all", "trainer.max_epochs=1")
    assert code == 0, printed
    by_one, by_all = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}
        for root in (commands.folder / name / "synthetic" for name in ("by_one", "by_all"))
    )
    assert by_all == by_one
    assert len(by_one) > 2
    logs = [file.read_text(encoding="utf-8") for file in commands.folder.glob("by_all/*/jobs/*_log.out")]
    assert sorted(number for log in logs for number in re.findall(r"generating shard (\d) of 2", log)) == ["0", "1"]
