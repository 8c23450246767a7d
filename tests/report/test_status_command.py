"""How far a study is, and runs that are taken out of it: states, what to type, and reports without them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from synthaug import locks, occupancy
from synthaug.analysis.comparison.compare import compare
from synthaug.files import read_json, write_json
from synthaug.report.__main__ import main
from synthaug.runs import dropping, layout, planning, study_commands
from synthaug.runs.layout import RunKey
from tests.factories.studies import MadeUp, make_study, run_folder

LONG = {"real": (1.0, 0.0), "55": (0.5, 0.5), "64": (0.4, 0.6), "82": (0.2, 0.8)}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Finished, failed, stopped after three epochs, running elsewhere, and not begun: one run of each."""
    content = MadeUp(
        arms=LONG, seeds=(0, 1), n_test=40, failed=[("55", 0)], unfinished=[("64", 0), ("64", 1)], missing=[("82", 1)]
    )
    study = make_study(tmp_path / "study", content)
    stopped = run_folder(study, "64", 0)
    shutil.copy(run_folder(study, "real") / layout.HISTORY, stopped)
    (stopped / layout.LAST).touch()
    shutil.copy(run_folder(study, "real") / layout.HISTORY, run_folder(study, "64", 1))
    (run_folder(study, "64", 1) / layout.LAST).touch()
    study_commands.record(study, "python -m synthaug.train -m mix=real,55,64,82", [])
    keys = [run.key for run in planning.read_plan(study).runs]
    study_commands.record(study, "python -m synthaug.train -m mix=real,55,64,82 seed=0,1", keys)
    return study


@pytest.fixture
def elsewhere(study: Path) -> Path:
    folder = run_folder(study, "64", 1)
    write_json(folder / occupancy.HOLDER, {"host": "node7", "process": 4711, "since": time.time() - 60})
    return folder


def status(study: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["status", str(study), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_each_run_has_its_state_and_the_study_its_command(
    study: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, content = status(study, capsys)
    assert code == 1
    runs = {run["label"]: run for run in content["runs"]}
    states = {label: run["state"] for label, run in runs.items()}
    assert states == {
        "real-seed0": "finished", "real-seed1": "finished", "55-seed0": "failed", "55-seed1": "finished",
        "64-seed0": "stopped", "64-seed1": "running", "82-seed0": "finished", "82-seed1": "not begun",
    }  # fmt: skip
    assert content["counts"] == {"finished": 4, "running": 1, "stopped": 1, "failed": 1, "not begun": 1}
    assert (runs["64-seed0"]["epoch"], runs["64-seed1"]["host"], runs["64-seed1"]["process"]) == (8, "node7", 4711)
    assert runs["55-seed0"]["reason"]
    assert [command["line"].partition("-m ")[2] for command in content["commands"]] == [
        "synthaug.train -m mix=real,55,64,82 seed=0,1"
    ]


def test_the_table_fits_a_terminal(
    study: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthaug.analysis.text import document

    monkeypatch.setattr(document, "PIPE_WIDTH", 80)
    name = "guidance 7.5 · strong augmentation · stable diffusion"
    names = planning.read_plan(study).names
    monkeypatch.setattr(
        "synthaug.runs.discovery.names_of_arms", lambda arms: {key: f"{names[key]} · {name}" for key in arms}
    )
    assert main(["status", str(study)]) == 1
    printed = capsys.readouterr().out
    assert "node7" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith("    "))
    assert main(["status", str(study), "--markdown"]) == 1
    assert "| --- | --- | --- |" in capsys.readouterr().out


def test_a_finished_study_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1.0, 0.0)}, n_test=20))
    code, content = status(study, capsys)
    assert (code, content["commands"], content["counts"]["finished"]) == (0, [], 1)
    assert main(["status", str(tmp_path / "nothing")]) == 2


def test_a_process_is_believed_to_live_by_its_lock_here_and_by_its_touches_elsewhere(study: Path) -> None:
    folder = run_folder(study, "64", 0)
    with locks.without_waiting(folder / occupancy.LOCK), occupancy.held(folder):
        current = occupancy.holder(folder)
        assert current is not None
        assert (current.process, current.is_local) == (os.getpid(), True)
        assert occupancy.living_elsewhere(folder) is None
        recorded = read_json(folder / occupancy.HOLDER)
    assert not (folder / occupancy.HOLDER).exists()
    write_json(folder / occupancy.HOLDER, recorded)  # left by a killed process, whose lock went with it
    assert occupancy.holder(folder) is None
    write_json(folder / occupancy.HOLDER, {**recorded, "host": "node7"})
    assert occupancy.holder(folder) is not None
    assert occupancy.living_elsewhere(folder, patience=0.2) is None, "no touch"
    write_json(folder / occupancy.HOLDER, {**recorded, "host": "node7"})
    before = time.time() - occupancy.DEAD_AFTER - 10
    os.utime(folder / occupancy.HOLDER, (before, before))
    assert occupancy.holder(folder) is None
    (folder / occupancy.HOLDER).write_text("{", encoding="utf-8")
    assert occupancy.holder(folder) is None


_TOUCHING = "import os, sys, time\nwhile True:\n    os.utime(sys.argv[1])\n    time.sleep(0.1)"


def test_a_process_of_another_machine_that_goes_on_touching_is_seen(study: Path, elsewhere: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _TOUCHING, str(elsewhere / occupancy.HOLDER)])
    try:
        assert occupancy.living_elsewhere(elsewhere) is not None
    finally:
        process.kill()
        process.wait()


def test_dropped_runs_are_neither_compared_nor_waited_for_and_stay_on_the_disk(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run_folder(study, "82") / layout.RESULT).read_bytes()
    assert main(["drop", str(study), "82", "55-seed0", str(run_folder(study, "64")), "64-seed1"]) == 0
    printed = capsys.readouterr().out
    assert "dropped1" in printed
    assert "1 finished run" in printed
    assert next((study / "dropped1").glob(f"digits/82*/seed0/{layout.RESULT}")).read_bytes() == before
    comparison = compare(study)
    assert comparison.complete
    assert {(run.run.arm, run.run.key.seed) for group in comparison.groups for run in group.runs} == {
        ("real", 0), ("real", 1), ("55", 1)
    }  # fmt: skip
    assert status(study, capsys)[0] == 0
    assert main(["drop", str(study), "55-seed1"]) == 0
    assert (study / "dropped2").is_dir()


def test_what_cannot_be_dropped_is_named_and_nothing_is(
    study: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planning.read_plan(study)
    assert main(["drop", str(study), "real", "no such arm"]) == 2
    assert "no such arm" in capsys.readouterr().err
    assert main(["drop", str(study), "real", "64"]) == 2
    assert "node7" in capsys.readouterr().err
    assert planning.read_plan(study) == plan
    assert run_folder(study, "real").is_dir()
    assert not (study / "dropped1").exists()


def test_a_failed_trial_on_another_dataset_is_planned_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study, arms = tmp_path / "study", {"real": (1.0, 0.0), "55": (0.5, 0.5)}
    wrong = MadeUp(arms=arms, dataset="wrong", failed=[("real", 0)], missing=[("55", 0)])
    make_study(study, wrong)
    assert {run.key.dataset for run in planning.read_plan(study).runs} == {"wrong"}
    make_study(study, MadeUp(arms=arms, n_test=40))
    assert {run.key.dataset for run in planning.read_plan(study).runs} == {"digits"}
    assert "wrong" in caplog.text
    comparison = compare(study)
    assert ([group.dataset for group in comparison.groups], comparison.complete) == (["digits"], True)
    # Runs that have trained are evidence, and those that nobody has begun yet may be about to.
    for name, content in (("trained", {"failed": [("real", 0)]}), ("waiting", {"missing": [("real", 0), ("55", 0)]})):
        make_study(study, MadeUp(arms=arms, dataset=name, n_test=40, **content))  # type: ignore[arg-type]
    make_study(study, MadeUp(arms=arms, n_test=40))
    assert {run.key.dataset for run in planning.read_plan(study).runs} == {"digits", "trained", "waiting"}
    dropping.drop(study, ["waiting", "trained"])
    assert {run.key.dataset for run in planning.read_plan(study).runs} == {"digits"}


def test_commands_cover_what_is_left_with_the_latest(tmp_path: Path) -> None:
    keys = [RunKey("digits", arm, 0) for arm in ("a", "b", "c")]
    for line, wanted in (("first", keys[:2]), ("second", keys[1:]), ("first", keys[:2])):
        study_commands.record(tmp_path, line, wanted)
    commands = study_commands.read(tmp_path)
    assert [command.line for command in commands] == ["second", "first"]
    needed = study_commands.covering(commands, [str(key.folder) for key in keys])
    assert [command.line for command in needed] == ["first", "second"]
    assert [command.line for command in study_commands.covering(commands, ["digits/b/seed0"])] == ["first"]
    (tmp_path / layout.COMMANDS).write_text("{", encoding="utf-8")
    assert study_commands.read(tmp_path) == []
