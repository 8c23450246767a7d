"""The sweep file, run by W&B's own agent without its server: trials are runs of one study, also after a resume."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthaug.config import schema
from synthaug.runs import layout, planning
from synthaug.tracking import run_ids
from tests.factories.commands import ROOT, Commands, jobs_of
from tests.factories.wandb_files import files, offline, records_of, summary_of

FILE = schema.EXPERIMENTS / "wandb" / "sweep.yaml"
SWEEP: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
EPOCHS = "trainer.max_epochs=8"  # enough to be stopped in between
TINY = [
    "--config-dir=conf", "dataset=imagefolder", "dataset.root=photos", "dataset.image_size=32", "generator=painter",
    "model=tiny", "trainer.accelerator=cpu", "batch_size=4", EPOCHS,
]  # fmt: skip
STUDY = next(word.removeprefix("experiment=") for word in SWEEP["command"] if word.startswith("experiment="))


class Agent:
    """What `wandb agent` does with a trial that the server hands out."""

    def __init__(self, sweep: str) -> None:
        from wandb.wandb_agent import Agent as Real

        self.real: Any = Real(None, None, sweep_id=sweep)
        self.real._sweep_command = [*SWEEP["command"], *TINY]

    def run(self, run: str, **parameters: Any) -> int:
        values = {name: {"value": value} for name, value in parameters.items()}
        self.real._command_run({"type": "run", "run_id": run, "program": SWEEP["program"], "args": values})
        code: int = self.real._run_processes[run].wait()
        return code


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Commands, dict[str, int]]:
    """A trial; one whose run was begun by hand and stopped; the first asked for again after it was finished."""
    commands = Commands(tmp_path_factory.mktemp("swept"), {"WANDB_MODE": "offline"})
    commands.stop_when(
        lambda: (commands.run_folder("real", STUDY) / layout.LAST).exists(),
        signal.SIGINT,
        *(f"experiment={STUDY}", "mix=real", "logger=wandb", EPOCHS),
    )
    with offline() as patch:
        patch.chdir(commands.folder)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("HOME", str(commands.folder / "home"))
        for name, value in (("SWEEP_ID", "sweep"), ("PROJECT", "swept"), ("ENTITY", "me"), ("DIR", ".")):
            patch.setenv(f"WANDB_{name}", value)
        patch.setenv("WANDB_SWEEP_PARAM_PATH", "")  # remembered, so that it goes again
        agent = Agent("sweep")
        codes = {
            "first": agent.run("run-first", mix="55", seed=0),
            "begun": agent.run("run-begun", mix="real", seed=0),
            "again": agent.run("run-again", mix=55, seed=0),  # a YAML without quotes has numbers
        }
    return commands, codes


@pytest.mark.slow
def test_each_trial_is_a_run_of_the_study(swept: tuple[Commands, dict[str, int]]) -> None:
    commands, codes = swept
    assert codes == dict.fromkeys(codes, 0), commands.printed
    for arm in ("55", "real"):
        assert (commands.run_folder(arm, STUDY) / layout.RESULT).is_file()
    assert set(planning.read_plan(commands.study(STUDY)).names.values()) == {"55", "real"}


@pytest.mark.slow
def test_trials_belong_to_the_sweep_and_are_the_runs_that_it_made(swept: tuple[Commands, dict[str, int]]) -> None:
    commands, _ = swept
    study = commands.study(STUDY)
    runs = [records_of(path, "run")[0] for path in files(study)]
    by_id = {run["run_id"]: run for run in runs}
    run = by_id["run-first"]
    assert (run["sweep_id"], run["project"], run["entity"]) == ("sweep", "swept", "me")
    assert (run["display_name"], run["run_group"]) == ("55-seed0", STUDY)
    record = run_ids.read_record(commands.run_folder("55", STUDY))
    assert record == {"id": "run-first", "sweep": "sweep", "project": "swept", "entity": "me"}
    assert "run-again" not in by_id, "it was finished before"


@pytest.mark.slow
def test_a_trial_goes_on_with_the_run_that_its_folder_was_begun_as(swept: tuple[Commands, dict[str, int]]) -> None:
    commands, _ = swept
    begun = run_ids.read_record(commands.run_folder("real", STUDY))["id"]
    runs = [path for path in files(commands.study(STUDY)) if records_of(path, "run")[0]["display_name"] == "real-seed0"]
    assert [records_of(path, "run")[0]["run_id"] for path in runs] == [begun, begun]
    assert summary_of(runs[-1])["exit_code"] == 0
    assert "sweep_id" not in records_of(runs[0], "run")[0]
    assert records_of(runs[1], "run")[0]["sweep_id"] == "sweep"


def test_a_trial_is_one_run(tmp_path: Path) -> None:
    """In a sweep W&B takes every run of a process for the trial's: the second would swallow the first."""
    within = Commands(tmp_path, {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "one"})
    code, printed = within.run("-m", "mix=real,55", "experiment=two", "logger=wandb")
    assert code == 2
    assert "-m: the trial of a W&B sweep is one run, and this requests 2; list the mixes and seeds" in printed
    assert not within.study("two").exists()


def test_everything_that_the_file_sweeps_over_can_be_run() -> None:
    assert SWEEP["method"] == "grid"
    assert SWEEP["metric"]["name"].startswith("val/"), "nothing is chosen by the test images"
    schema.register()
    mixes = SWEEP["parameters"]["mix"]["values"]
    assert [job.arm for job in jobs_of("-m", f"mix={','.join(map(str, mixes))}", "seed=0")] == mixes
    assert "wandb" not in {path.stem for path in schema.EXPERIMENTS.glob("*.yaml")}, "no study config"
