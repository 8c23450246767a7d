"""Which W&B run a folder is: one for each, the sweep's in a sweep, the same after a resume."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from synthaug.tracking import run_ids
from tests.factories.commands import ROOT
from tests.factories.processes import start_process


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sweep, and nothing that a test sets stays."""
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


def trial(monkeypatch: pytest.MonkeyPatch, sweep: str, run: str) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", sweep)
    monkeypatch.setenv("WANDB_RUN_ID", run)


def heeded() -> str:
    """The run that W&B will take in a sweep, whatever it is told."""
    return os.environ["WANDB_RUN_ID"]


def test_a_folder_keeps_its_run_and_another_has_another(tmp_path: Path) -> None:
    first = run_ids.init_arguments(tmp_path / "a")
    assert first.keys() == {"id"}
    assert run_ids.init_arguments(tmp_path / "a") == first
    assert run_ids.init_arguments(tmp_path / "b") != first


def test_it_is_resumed_where_it_was_begun(tmp_path: Path) -> None:
    begun = run_ids.init_arguments(tmp_path)
    run_ids.update_record(tmp_path, {"project": "mine", "entity": "me"})
    run_ids.update_record(tmp_path, {"project": "mine", "entity": ""})  # offline W&B knows of none
    assert run_ids.init_arguments(tmp_path) == {**begun, "project": "mine", "entity": "me"}


def test_a_trial_is_the_run_that_its_sweep_has_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial(monkeypatch, "sweep", "first")
    assert run_ids.init_arguments(tmp_path) == {"id": "first"}
    assert run_ids.is_sweep_trial()


def test_a_trial_that_is_finished_by_hand_stays_the_sweeps_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial(monkeypatch, "sweep", "first")
    run_ids.init_arguments(tmp_path)
    run_ids.update_record(tmp_path, {"project": "swept", "entity": "me"})
    trial(monkeypatch, "", "")
    assert run_ids.init_arguments(tmp_path) == {"id": "first", "project": "swept", "entity": "me"}
    assert not run_ids.is_sweep_trial()


def test_a_sweep_over_a_folder_that_was_begun_goes_on_with_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = run_ids.init_arguments(tmp_path)
    trial(monkeypatch, "sweep", "another")
    assert run_ids.init_arguments(tmp_path) == begun
    assert heeded() == begun["id"]
    trial(monkeypatch, "second sweep", "a third")
    assert run_ids.init_arguments(tmp_path) == begun
    assert heeded() == begun["id"]


def test_a_run_that_was_deleted_from_its_sweep_gives_way_to_the_sweeps_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(monkeypatch, "sweep", "deleted")
    run_ids.init_arguments(tmp_path)
    trial(monkeypatch, "sweep", "next")
    assert run_ids.init_arguments(tmp_path)["id"] == "next"
    assert heeded() == "next"


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_a_mode_from_the_environment_stands(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("WANDB_FINISH_TIMEOUT", "WANDB_FINISH_TIMEOUT_RAISES"):
        monkeypatch.setenv(name, "1")
    begun = []
    monkeypatch.setattr("synthaug.tracking.connection.problem", lambda: "")
    monkeypatch.setattr("wandb.setup", lambda: begun.append(mode))
    assert run_ids.configure_mode(tmp_path) == mode
    assert begun == ([] if mode == "disabled" else [mode])


def test_lightning_makes_wandb_say_nothing(tmp_path: Path) -> None:
    """In a process of its own: W&B reads once whether it is to be silent, and says each warning once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_MODE": "offline", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    (tmp_path / "run").mkdir()
    process = start_process("tests.factories.logger_session", [str(tmp_path)], tmp_path, environment)
    assert process.wait(120) == 0
    assert list(tmp_path.glob("wandb/offline-run-*"))
    assert "wandb:" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_server_out_of_reach_is_no_reason_not_to_train(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: object) -> bool:
        raise OSError("no route\nto host")

    run_ids._reachable_mode.cache_clear()
    monkeypatch.setattr("wandb.login", refuse)
    assert run_ids._reachable_mode() == "offline"
    assert "no route to host" in caplog.text
    run_ids._reachable_mode.cache_clear()


def test_the_command_for_uploading_can_be_pasted(tmp_path: Path) -> None:
    study = tmp_path / "a study"
    (study / "wandb" / "offline-run-1").mkdir(parents=True)
    command = run_ids.upload_hint(study).splitlines()[1].partition("wandb sync ")[2]
    done = subprocess.run(["bash", "-c", f"printf '%s\n' {command}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(study / "wandb" / "offline-run-1")]


def test_uploading_is_told_of_only_where_there_is_something_to_upload(tmp_path: Path) -> None:
    assert run_ids.upload_hint(tmp_path) == ""
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    assert run_ids.upload_hint(tmp_path).endswith(f"wandb login && wandb sync {tmp_path}/wandb/offline-run-*")
    view = f"python -m synthaug.report {tmp_path} --wandb"
    run_ids.update_record(tmp_path, {"id": "summary"})
    assert run_ids.upload_hint(tmp_path).endswith(view)
    run_ids.update_record(tmp_path, {"view": "https://wandb.example"})
    assert view not in run_ids.upload_hint(tmp_path)


def test_a_run_that_was_logged_offline_is_lost_with_its_files(tmp_path: Path) -> None:
    study, folder = tmp_path, tmp_path / "real" / "seed0"
    folder.mkdir(parents=True)
    assert not run_ids.is_lost(study, folder), "it was never logged"
    begun = run_ids.init_arguments(folder)["id"]
    assert not run_ids.is_lost(study, folder), "W&B was not started"
    run_ids.update_record(folder, {"project": "mine"})
    assert run_ids.is_lost(study, folder)
    (study / "wandb" / f"offline-run-20260102_030405-{begun}").mkdir(parents=True)
    assert not run_ids.is_lost(study, folder)
    shutil.rmtree(study / "wandb")
    run_ids.update_record(folder, {"entity": "me"})
    assert not run_ids.is_lost(study, folder), "it is online"
