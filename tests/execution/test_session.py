"""One command: how often it composes and parses, what runs, and that nothing runs where something is wrong."""

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from synthaug.config import compose, naming, schema
from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution.session import Session

QUIET = "hydra/job_logging=none"  # Hydra would give the root logger handlers


class Recorded:
    """A session whose runs are only noted."""

    def __init__(self, finished: Sequence[str] = ()) -> None:
        self.checked: list[list[str]] = []
        self.ran: list[str] = []
        self.session = Session(self.execute, self.check, lambda job: job.label in finished)

    def check(self, _: Session, jobs: Sequence[Job]) -> None:
        assert not self.ran, "all checks come before the first run"
        self.checked.append([job.label for job in jobs])

    def execute(self, _: Session, job: Job) -> None:
        self.ran.append(job.label)


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HYDRA_FULL_ERROR", "HF_HUB_VERBOSITY"):  # set by the session; taken back after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls of what takes long, from here on."""
    counter: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    schema.register()
    with compose.initialized_hydra(None):
        count(type(GlobalHydra.instance().config_loader()), "load_configuration")
    count(compose, "compose")
    count(argparse.ArgumentParser, "parse_args")
    return counter


def run(recorded: Recorded, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments, QUIET])
    recorded.session.run()


def test_each_run_is_composed_at_most_once_by_us_and_once_by_hydra(
    monkeypatch: pytest.MonkeyPatch, counts: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Recorded()
    run(recorded, monkeypatch, "-m", "mix=64", "seed=0,1", "controls=true")
    labels = ["64-seed0", "64-seed1", "real40-seed0", "real40-seed1"]
    assert recorded.checked == [labels]
    assert recorded.ran == labels
    assert capsys.readouterr().out == "controls=true adds real40: 2 of 4 runs.\n"
    # Hydra composes the sweep itself twice, once for its mode; all of ours are derived from one.
    assert counts == {"compose": 1, "load_configuration": 2 + 4 + 1, "parse_args": 1}
    assert recorded.session.is_sweep


def test_finished_runs_are_checked_and_not_launched(monkeypatch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    recorded = Recorded(finished=["real-seed0", "55-seed0"])
    run(recorded, monkeypatch, "-m", "mix=real,55")
    assert recorded.checked == [["real-seed0", "55-seed0"]]
    assert recorded.ran == []
    assert counts["load_configuration"] == 2 + 1


def test_a_single_run_is_composed_by_hydra_alone(monkeypatch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    recorded = Recorded()
    run(recorded, monkeypatch, "mix=55", "generator.device=cpu")
    assert (recorded.checked, recorded.ran) == ([["55-seed0"]], ["55-seed0"])
    assert counts == {"load_configuration": 2, "parse_args": 1}
    assert not recorded.session.is_sweep


def test_another_sweeper_has_each_run_checked_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(recorded.session, "_check", lambda _, jobs: recorded.checked.append([j.arm for j in jobs]))
    run(recorded, monkeypatch, "-m", "mix=real,55", "hydra/sweeper=basic")
    assert recorded.checked == [["real"], ["55"]]
    assert recorded.ran == ["real-seed0", "55-seed0"]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["sed=1"], ["sed=1"]),
        (["batch_size=0"], ["batch_size"]),
        (["-m", "mix=real,56", "sed=1"], ["sed=1", "mix=56"]),
        (["-m", "mix=real,55", "batch_size=0"], ["batch_size"]),
        (["-m", "mix=64", "hydra/sweeper=basic", "controls=true"], ["controls=true"]),
        (["--config-dir", "nowhere", "mix=55"], ["--config-dir nowhere"]),
    ],
)
def test_nothing_runs_where_something_is_wrong(
    arguments: list[str], keys: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded = Recorded()
    with pytest.raises(UserError) as caught:
        run(recorded, monkeypatch, *arguments)
    assert all(key in str(caught.value) for key in keys)
    assert (recorded.checked, recorded.ran) == ([], [])
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files <= {"multirun.yaml"}, "which Hydra's own sweeper writes"


def test_what_the_checks_raise_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Session, jobs: Sequence[Job]) -> None:
        raise UserError(f"{len(jobs)} runs")

    for arguments, message in ((["mix=55"], "1 runs"), (["-m", "mix=real,55"], "2 runs")):
        recorded = Recorded()
        monkeypatch.setattr(recorded.session, "_check", refuse)
        with pytest.raises(UserError, match=message):
            run(recorded, monkeypatch, *arguments)
        assert recorded.ran == []


def test_a_file_is_read_again_only_once_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mix.yaml"
    path.write_text("real: 1\n", encoding="utf-8")
    assert naming.read_settings(path) == {"real": 1}
    with monkeypatch.context() as patch:
        patch.setattr(OmegaConf, "load", lambda _: pytest.fail("read twice"))
        assert naming.read_settings(path) == {"real": 1}
    path.write_text("real: 0.5\n", encoding="utf-8")
    assert naming.read_settings(path) == {"real": 0.5}


def test_an_output_folder_that_cannot_be_written_into_is_refused_before_anything_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "deep")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "pixels").write_text("a file")
    for folder in ("file", "file/out", "dangling", "dangling/out", "half", "x" * 300):
        recorded = Recorded()
        monkeypatch.setattr(sys, "argv", ["train", f"output_dir={folder}", QUIET])
        with pytest.raises(UserError, match=re.escape(f"output_dir={folder}: ")):
            recorded.session.run()
        assert (recorded.checked, recorded.ran) == ([], [])


def test_the_hub_is_told_to_print_no_attempts_unless_it_was_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for level in ("error", "debug"):
        monkeypatch.setattr(sys, "argv", ["train", "mix=real", QUIET])
        Recorded().session.run()
        assert os.environ["HF_HUB_VERBOSITY"] == level
        monkeypatch.setenv("HF_HUB_VERBOSITY", "debug")


def keep_none(session: Session, config: Any, combinations: Sequence[Any]) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("sends", "arguments", "reason"),
    [
        (False, ["cluster=ray"], "this command works on this machine"),
        (False, ["-m", "cluster=ray"], "this command works on this machine"),
        (True, ["cluster=ray"], "add -m"),
        (True, ["-m", "cluster=ray", "hydra/launcher=basic"], "another launcher"),
        (True, ["-m", "cluster=ray", "hydra/sweeper=basic"], "another launcher or sweeper"),
        (True, ["-m", "cluster=ray"], ""),
    ],
)
def test_a_cluster_is_refused_where_nothing_would_be_sent(
    sends: bool, arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    session = Session(recorded.execute, recorded.check, launch=keep_none if sends else None)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "mix=real", QUIET])
    if reason:
        with pytest.raises(UserError, match=reason):
            session.run()
        assert recorded.checked == []
    else:
        session.run()
        assert recorded.checked == [["real-seed0"]]
    assert recorded.ran == []
