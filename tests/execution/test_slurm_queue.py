"""What is sent to Slurm, what is waited for, and when a job is given up; Slurm's commands are scripts here."""

import dataclasses
import importlib.util
import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.execution import clusters, partitions, slurm_queue
from synthaug.execution.clusters import Slurm
from synthaug.execution.frozen_runs import FOLDER, FrozenRun
from synthaug.execution.queued_run import QUEUED, RUNNING, Outcome
from synthaug.execution.slurm_queue import SlurmQueue, parse_states
from synthaug.files import read_json, write_json
from tests.factories.commands import jobs_of

pytest.importorskip("submitit")

RUNS = [Path(f"study/digits/real/seed{seed}") for seed in range(3)]
SCRIPTS = {
    "sbatch": 'n=$(($(cat count) + 1)); echo $n > count; cp "$1" sent$n; echo Submitted batch job $n',
    "squeue": '[ -f broken ] && { echo "slurmctld: connection refused" >&2; exit 1; }; cat states',
    "scancel": 'echo "$@" >> cancelled',
    "srun": "true",
}


@dataclasses.dataclass
class FakeSlurm:
    folder: Path

    def say(self, **states: str) -> None:
        """Let squeue list jobs: `_1_0="RUNNING"` is job 1_0."""
        rows = [(job.removeprefix("_"), *state.split("|"), "None") for job, state in states.items()]
        lines = "".join(f"{'|'.join(row[:3])}\n" for row in rows)
        (self.folder / "states").write_text(lines, encoding="utf-8")

    @property
    def sent(self) -> list[list[str]]:
        """The settings of each submission, in their order."""
        files = sorted(self.folder.glob("sent*"))
        return [
            [line.removeprefix("#SBATCH --") for line in file.read_text().splitlines() if line.startswith("#SBATCH")]
            for file in files
        ]

    @property
    def cancelled(self) -> str:
        file = self.folder / "cancelled"
        return file.read_text(encoding="utf-8") if file.exists() else ""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    (tmp_path / "bin").mkdir()
    for name, script in SCRIPTS.items():
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)
    (tmp_path / "count").write_text("0", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    fake = FakeSlurm(tmp_path)
    fake.say()
    (tmp_path / "study" / FOLDER).mkdir(parents=True)
    return fake


@pytest.fixture
def queue(slurm: FakeSlurm) -> Callable[..., SlurmQueue]:
    def connect(identity: str = "a", **cluster: object) -> SlurmQueue:
        frozen = {run: FrozenRun(Path("runs.json"), "digest", n, f"{identity}{n}") for n, run in enumerate(RUNS)}
        return SlurmQueue(dataclasses.replace(Slurm(), **cluster), slurm.folder / "study", frozen)  # type: ignore[arg-type]

    return connect


@pytest.fixture
def leaping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 100 seconds go by between two looks at the clock."""
    now = itertools.count(0, 100)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))


Connect = Callable[..., SlurmQueue]


def jobs_in(queue: SlurmQueue) -> dict[int, str]:
    return {RUNS.index(run): sent.job for run, sent in queue.jobs.items()}


def test_keys_become_settings_of_sbatch(tmp_path: Path, slurm: FakeSlurm, queue: Connect) -> None:
    overrides = ["partition=long", "gpus=2", "cpus=3", "memory_gb=1.5", "timeout_min=90", "array_parallelism=2"]
    overrides += ["warning_s=45", "account=lab", "qos=low", "constraint=a100"]
    (job,) = jobs_of(
        "-m", "mix=real", "cluster=slurm", *(f"cluster.{text}" for text in overrides), f"output_dir={tmp_path}"
    )
    cluster = clusters.cluster_of([job])
    assert isinstance(cluster, Slurm)
    queue(**dataclasses.asdict(cluster)).submit(RUNS)
    assert {
        *("partition=long", "gpus-per-node=2", "cpus-per-task=3", "mem=1536MB", "time=90", "array=0-2%2"),
        *("signal=USR2@45", "account=lab", "qos=low", "constraint=a100", "requeue", "job-name=synthaug"),
    } <= set(slurm.sent[0])
    queue(gpus=0).submit(RUNS[:1])
    assert not [line for line in slurm.sent[1] if line.startswith(("gpus", "mem", "partition", "array"))]


def test_runs_that_are_queued_or_running_are_not_sent_again(slurm: FakeSlurm, queue: Connect) -> None:
    first = queue()
    first.submit(RUNS)
    assert jobs_in(first) == {0: "1_0", 1: "1_1", 2: "1_2"}
    slurm.say(_1_0="RUNNING", _1_1="PENDING", _1_2="CANCELLED by 0")
    second = queue()
    second.submit(RUNS)
    assert jobs_in(second) == {0: "1_0", 1: "1_1", 2: "2"}, "the last had ended without a result"
    assert len(slurm.sent) == 2
    assert slurm.cancelled == ""
    slurm.say(_1_0="RUNNING", _1_1="PENDING", _2="PENDING")
    assert queue().poll() == ({}, []), "of runs that were not asked for"
    second._refresh_states()
    assert second.poll()[0] == {RUNS[0]: RUNNING, RUNS[1]: QUEUED, RUNS[2]: QUEUED}


def test_a_queued_run_of_another_program_is_sent_anew_and_a_running_one_goes_on(
    slurm: FakeSlurm, queue: Connect
) -> None:
    queue().submit(RUNS)
    slurm.say(_1_0="RUNNING", _1_1="PENDING", _1_2="PENDING")
    changed = queue("b")
    changed.submit(RUNS)
    assert slurm.cancelled.split() == ["1_1", "1_2"]
    assert jobs_in(changed) == {0: "1_0", 1: "2_0", 2: "2_1"}


@pytest.mark.usefixtures("leaping_clock")
def test_an_answer_ends_a_run_and_silence_does_after_a_while(slurm: FakeSlurm, queue: Connect) -> None:
    sent = queue()
    slurm.say(_1_0="RUNNING", _1_1="RUNNING", _1_2="PENDING")
    sent.submit(RUNS)
    answered = Outcome(failed=False, records=[{"name": "a", "levelno": 20, "msg": "done"}], announced=["power"])
    write_json(Path(sent.jobs[RUNS[0]].answer), answered.content)
    assert sent.poll() == ({RUNS[1]: RUNNING, RUNS[2]: QUEUED}, [(RUNS[0], answered)])
    slurm.say(_1_1="NODE_FAIL")
    assert sent.poll() == ({RUNS[1]: RUNNING, RUNS[2]: RUNNING}, []), "the answer may be on its way"
    ((_, first), (_, second)) = sent.poll()[1]
    assert first.failed
    assert second.failed
    assert "NODE_FAIL" in first.reason
    assert "nothing of it" in second.reason
    assert sent.jobs == {}


@pytest.mark.usefixtures("leaping_clock")
def test_a_controller_that_does_not_answer_is_waited_for(slurm: FakeSlurm, queue: Connect) -> None:
    sent = queue()
    slurm.say(_1_0="RUNNING", _1_1="RUNNING", _1_2="RUNNING")
    sent.submit(RUNS)
    (slurm.folder / "broken").touch()
    assert [sent.poll() for _ in range(4)] == [(dict.fromkeys(RUNS, RUNNING), [])] * 4
    slurm.say()
    (slurm.folder / "broken").unlink()
    sent.poll()
    assert len(sent.poll()[1]) == len(RUNS)


def test_more_runs_than_an_array_may_have_are_several(
    slurm: FakeSlurm, queue: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_queue, "_MOST_OF_ARRAY", 2)
    sent = queue()
    sent.submit(RUNS)
    assert jobs_in(sent) == {0: "1_0", 1: "1_1", 2: "2"}


def test_a_refused_submission_is_a_sentence(slurm: FakeSlurm, queue: Connect) -> None:
    script = slurm.folder / "bin" / "sbatch"
    script.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: night' >&2\nexit 1\n")
    with pytest.raises(UserError, match="invalid partition specified: night"):
        queue(partition="night").submit(RUNS)
    assert not (slurm.folder / "study" / FOLDER / "slurm.json").exists()


def test_what_is_recorded_is_what_was_sent(slurm: FakeSlurm, queue: Connect) -> None:
    queue().submit(RUNS[:1])
    slurm.say(_1="PENDING")
    queue().submit(RUNS)
    recorded = read_json(slurm.folder / "study" / FOLDER / "slurm.json")
    assert {run: entry["job"] for run, entry in recorded.items()} == {
        str(RUNS[0]): "1", str(RUNS[1]): "2_0", str(RUNS[2]): "2_1",
    }  # fmt: skip
    assert len({entry["answer"] for entry in recorded.values()}) == len(RUNS)


def test_states_are_read() -> None:
    text = "1_0|RUNNING|None\n12|CANCELLED by 0|launch failed requeued held\n\nslurm_load_jobs error\n"
    assert parse_states(text) == {
        "1_0": ("RUNNING", "None"),
        "12": ("CANCELLED", "launch failed requeued held"),
    }


def test_a_job_that_slurm_will_not_begin_is_told_of_once(
    slurm: FakeSlurm, queue: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    sent = queue()
    slurm.say(_1_0="PENDING|Priority", _1_1="PENDING|PartitionTimeLimit", _1_2="PENDING|PartitionTimeLimit")
    sent.submit(RUNS)
    sent._refresh_states()
    (record,) = caplog.records
    assert "1_1" in record.getMessage()
    assert "PartitionTimeLimit" in record.getMessage()


def refusal(*arguments: str) -> str:
    with pytest.raises(UserError) as raised:
        jobs_of(*arguments)
    return str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["parallel=4"], ["parallel=4", "cluster.array_parallelism"]),
        (["trainer=ddp"], ["trainer.strategy=ddp"]),
        (["trainer.devices=2"], ["trainer.devices=2"]),
        (["trainer.num_nodes=2"], ["trainer.strategy=auto", "trainer=auto"]),
        (["cluster.cpus=0"], ["cluster.cpus=0"]),
        (["threads=4"], ["threads=4", "cluster.cpus=2", "cluster.cpus=4"]),
        (["num_workers=3"], ["num_workers=3", "cluster.cpus=3"]),
        (["cluster.timeout_min=2:00:00"], ["cluster.timeout_min='2:00:00'", "minutes"]),
        (["cluster.setup=module"], ["cluster.setup='module'", "[module load cuda]"]),
        (["cluster.gpus=many"], ["gpus='many'"]),
        (["cluster.address=auto"], ["cluster.address=auto"]),
        (["cluster=slurm,ray"], ["cluster=slurm,ray"]),
    ],
)
def test_what_does_not_fit_a_cluster_is_refused(arguments: Sequence[str], named: Sequence[str]) -> None:
    text = refusal("-m", "mix=real,55", "cluster=slurm", *arguments)
    assert all(name in text for name in named), text


def test_a_share_of_a_processor_is_enough_for_one_thread(tmp_path: Path) -> None:
    overrides = ["-m", "mix=real", "cluster=ray", "cluster.cpus=0.5", f"output_dir={tmp_path}"]
    assert len(jobs_of(*overrides)) == 1
    with pytest.raises(UserError, match=r"threads=2"):
        jobs_of(*overrides, "threads=2")


SINFO = """\
short*|1:00:00|8|16000|(null)
short*|1:00:00|4|64000|(null)
gpu|1-00:00:00|16|128000|gpu:a100:4(S:0,1),shard:8
gpu|1-00:00:00|64|128000|gpu:2
open|infinite|2|1|(null)
sinfo: a warning
"""


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"gpus": 0, "timeout_min": 60, "cpus": 8}, []),
        ({"gpus": 0, "timeout_min": 61}, ["cluster.timeout_min=61"]),
        ({"gpus": 0, "timeout_min": 61, "qos": "long"}, []),
        ({"gpus": 1, "timeout_min": 60, "cpus": 9}, ["cluster.gpus=1", "cluster.cpus=9"]),
        ({"gpus": 0, "timeout_min": 60, "cpus": 8, "memory_gb": 60}, ["all of this at once"]),
        ({"partition": "gpu", "gpus": 4, "timeout_min": 1440, "cpus": 16, "memory_gb": 125}, []),
        ({"partition": "gpu", "gpus": 4, "timeout_min": 1440, "cpus": 17}, ["all of this at once"]),
        ({"partition": "gpu", "gpus": 5, "memory_gb": 126}, ["cluster.gpus=5", "cluster.memory_gb=126"]),
        ({"partition": "short,gpu", "gpus": 4, "timeout_min": 1440}, []),
        ({"partition": "gqu"}, ["did you mean 'gpu'?"]),
        ({"partition": "night", "gpus": 9}, ["short, gpu and open"]),
        ({"partition": "open", "gpus": 0, "memory_gb": 500, "timeout_min": 99_999}, []),
    ],
)
def test_what_no_node_has_is_named_before_anything_is_sent(request_: dict[str, Any], named: Sequence[str]) -> None:
    problems = clusters.node_problems(dataclasses.replace(Slurm(), **request_), partitions.parse_nodes(SINFO))
    assert len(problems) == len(named), problems
    assert all(text in problem for text, problem in zip(sorted(named), sorted(problems), strict=True)), problems


def test_sinfo_is_asked_and_its_silence_is_no_refusal(slurm: FakeSlurm, tmp_path: Path) -> None:
    (job,) = jobs_of("-m", "mix=real", "cluster=slurm", "cluster.partition=night", f"output_dir={tmp_path}")
    assert clusters.cluster_problems([job]) == []
    script = slurm.folder / "bin" / "sinfo"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{SINFO}END\n", encoding="utf-8")
    script.chmod(0o755)
    (problem,) = clusters.cluster_problems([job])
    assert "night" in problem
    script.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert clusters.cluster_problems([job]) == []


def test_a_missing_package_or_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (slurm_job,) = jobs_of("-m", "mix=real", "cluster=slurm", f"output_dir={tmp_path}")
    (ray_job,) = jobs_of("-m", "mix=real", "cluster=ray", f"output_dir={tmp_path}")
    (local_job,) = jobs_of("-m", "mix=real", f"output_dir={tmp_path}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    package, command = clusters.cluster_problems([slurm_job])
    assert "pip install 'synthaug[slurm]'" in package
    assert "sbatch" in command
    assert "pip install 'synthaug[ray]'" in clusters.cluster_problems([ray_job])[0]
    assert clusters.cluster_problems([local_job]) == []
