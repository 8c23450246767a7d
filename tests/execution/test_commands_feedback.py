"""Feedback through the commands as a user types them, each in a process of its own."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synthaug.files import read_json
from synthaug.runs import discovery, layout
from tests.factories.commands import Commands

SWEEP = ("-m", "mix=real,55", "feedback=null,error,entropy", "feedback_rounds=2", "experiment=feedback")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    commands = Commands(tmp_path_factory.mktemp("feedback"))
    code, printed = commands.run(*SWEEP)
    assert code == 0, printed
    return commands


def results(commands: Commands) -> dict[str, dict[str, Any]]:
    runs = discovery.find_runs(commands.study("feedback"))
    return {run.arm: read_json(run.folder / layout.RESULT) for run in runs}


def test_arms_with_feedback_stand_beside_the_arm_without(commands: Commands) -> None:
    by_arm = results(commands)
    assert set(by_arm) == {"real", "55", "55 · feedback entropy", "55 · feedback error"}
    assert {result["counts"]["synthetic"] for arm, result in by_arm.items() if arm != "real"} == {10}
    assert "feedback" not in by_arm["real"]
    assert "feedback" not in by_arm["55"]


def test_images_are_spread_as_the_recorded_scores_say(commands: Commands) -> None:
    for criterion in ("error", "entropy"):
        result = results(commands)[f"55 · feedback {criterion}"]
        (played,) = result["feedback"]
        assert played["synthetic"] == {"cat": 3, "dog": 2}
        further = {
            name: result["counts"]["per_class"][name]["synthetic"] - played["synthetic"][name]
            for name in played["scores"]
        }
        share = played["scores"]["cat"] / sum(played["scores"].values())
        assert abs(further["cat"] - 5 * share) < 1
        assert sum(further.values()) == 5


def uninterrupted(commands: Commands) -> Path:
    return next(run.folder for run in discovery.find_runs(commands.study("feedback")) if "error" in run.arm)


def test_test_images_have_no_say(commands: Commands) -> None:
    elsewhere = commands.folder / "other" / "photos"
    shutil.copytree(commands.photos, elsewhere)
    for path in (elsewhere / "test").rglob("*.png"):
        Image.open(path).rotate(90).save(path)
    arguments = (
        "mix=55",
        "feedback=error",
        "feedback_rounds=2",
        "dataset.root=other/photos",
        "output_dir=other/outputs",
    )
    code, printed = commands.run(*arguments)
    assert code == 0, printed
    (changed,) = (commands.folder / "other" / "outputs").rglob(layout.FEEDBACK)
    assert changed.read_bytes() == (uninterrupted(commands) / layout.FEEDBACK).read_bytes()


@pytest.mark.parametrize("reached", ["last.ckpt", "result.json"])
def test_a_round_that_was_killed_is_resumed(commands: Commands, reached: str) -> None:
    arguments = ("mix=55", "feedback=error", "feedback_rounds=2", f"experiment=killed-{reached.partition('.')[0]}")
    study = commands.study(arguments[-1].partition("=")[2])

    def has_begun() -> bool:
        return any(study.rglob(f"feedback/round1/{reached}")) or any(study.rglob(layout.FEEDBACK))

    commands.stop_when(has_begun, signal.SIGKILL, *arguments)
    code, printed = commands.run(*arguments)
    assert code == 0, printed
    (folder,) = (path.parent for path in study.rglob(layout.FEEDBACK))
    assert not (folder / "feedback").exists()
    for name in (layout.FEEDBACK, layout.PREDICTIONS, layout.MIX):
        assert (folder / name).read_bytes() == (uninterrupted(commands) / name).read_bytes()


def test_feedback_without_validation_images_is_refused_before_the_start(commands: Commands) -> None:
    code, printed = commands.run("mix=55", "feedback=error", "selection=last", "experiment=refused")
    assert code == 2, printed
    assert "selection=last" in printed
    assert not Path(commands.study("refused")).exists()
