"""Sweeps through a real Ray of this machine: the results of a local one, also where a process is killed."""

import signal
from pathlib import Path

import pytest

from synthaug.runs import layout
from tests.cluster.studies import STUDY, has_begun, kill, processes, results, run_folder, wait_until
from tests.factories.commands import Commands

pytestmark = pytest.mark.cluster
pytest.importorskip("ray", reason="pip install 'synthaug[ray]'")

SENT = [*STUDY, "cluster=ray", "cluster.gpus=0"]
TASK = "ray::run_task"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def expected(commands: Commands) -> dict[str, bytes]:
    """The results of the study on this machine alone."""
    code, printed = commands.run(*STUDY, "experiment=local", "parallel=1")
    assert code == 0, printed
    return results(commands, "local")


def test_a_process_that_is_killed_is_started_again(commands: Commands, expected: dict[str, bytes]) -> None:
    process = commands.start(*SENT, "experiment=killed")
    wait_until(has_begun(commands, "killed", "real"), process, commands)
    kill(processes(TASK)[:1])
    assert process.wait(200) == 0, commands.printed
    assert "is started again" in commands.printed
    assert results(commands, "killed") == expected
    assert len(list((commands.study("killed") / "jobs").glob("ray-*.log"))) == 2


def test_an_interrupted_command_ends_its_runs_and_resumes(commands: Commands, expected: dict[str, bytes]) -> None:
    code, printed = commands.stop_when(
        has_begun(commands, "left", "real"), signal.SIGINT, *SENT, "experiment=left", "cluster.cpus=2"
    )
    assert code == 130, printed
    assert processes(TASK) == []
    assert not (run_folder(commands, "55", "left") / layout.RESULT).exists()
    code, printed = commands.run(*SENT, "experiment=left")
    assert code == 0, printed
    assert results(commands, "left") == expected


def test_what_no_node_has_is_refused(commands: Commands, tmp_path: Path) -> None:
    code, printed = commands.run(*SENT, "experiment=large", "cluster.cpus=4096")
    assert code == 2, printed
    assert "4096" in printed
    assert "Traceback" not in printed
