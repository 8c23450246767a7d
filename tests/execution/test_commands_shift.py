"""Further test sets as a user asks for them: with the training, after it, and never twice."""

import os
import shutil
from pathlib import Path

import pytest

from synthaug.files import read_json
from synthaug.runs import layout
from tests.factories.commands import Commands
from tests.factories.images import image

CORRUPTIONS = """
blur:
  _target_: synthaug.arms.shifts.Corruptions
  transform: torchvision.transforms.v2.GaussianBlur
  severities:
    "1": {kernel_size: 3}
    "5": {kernel_size: 9, sigma: 3.0}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Two arms, the first of which was evaluated on two corruptions; the tests below go on in its folder."""
    commands = Commands(tmp_path_factory.mktemp("swept"))
    (commands.folder / "conf" / "shift").mkdir()
    (commands.folder / "conf" / "shift" / "blurred.yaml").write_text(CORRUPTIONS, encoding="utf-8")
    for number in range(3):
        folder = commands.folder / "dusk" / "dog"
        folder.mkdir(parents=True, exist_ok=True)
        image(700 + number).save(folder / f"{number}.png")
    code, printed = commands.run("mix=real", "shift=blurred")
    assert code == 0, printed
    assert "real-seed0: evaluating 2 shift sets" in printed
    code, printed = commands.run("mix=82")
    assert code == 0, printed
    return commands


def evaluated(commands: Commands, arm: str) -> set[str]:
    return {path.parent.name for path in commands.run_folder(arm).glob(f"shifts/*/{layout.RESULT}")}


def without(commands: Commands, module: str) -> Commands:
    """The same folder, where importing a module fails."""
    blocked = commands.folder / f"without-{module}"
    blocked.mkdir(exist_ok=True)
    (blocked / f"{module}.py").write_text(f"raise ImportError('{module} is not for this command')\n")
    path = os.pathsep.join(map(str, [blocked, Path(__file__).parent, Path(__file__).parents[2]]))
    return Commands.attach(commands, {"PYTHONPATH": path})


def test_finished_runs_are_evaluated_without_being_trained_again(swept: Commands) -> None:
    assert evaluated(swept, "real") == {"blur-1", "blur-5"}
    assert evaluated(swept, "82") == set()
    before = {
        path: path.stat().st_mtime_ns
        for arm in ("real", "82")
        for path in swept.run_folder(arm).rglob("*.*")
        if path.is_file() and not path.name.startswith(".")
    }
    overrides = ["shift=[blurred,folder,synthetic]", "shift.folder.root=dusk", "shift.synthetic.per_class=2"]
    code, printed = swept.run("-m", "mix=real,82", *overrides)
    assert code == 0, printed
    assert "epoch 1" not in printed
    assert "real-seed0: evaluating 2 shift sets" in printed
    assert "82-seed0: evaluating 4 shift sets" in printed
    assert "dusk has no image of 1 class: cat" in printed
    assert evaluated(swept, "real") == evaluated(swept, "82") == {"blur-1", "blur-5", "dusk", "synthetic"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (group,) = read_json(swept.study() / "results.json")["groups"]
    assert [entry["name"] for entry in group["robustness"]["sets"]] == [
        "test",
        "corruptions, mean",
        "blur-1",
        "blur-5",
        "dusk",
        "synthetic",
    ]
    images = list((swept.folder / "outputs" / "held_out" / "photos").glob("painter-*/*/*.png"))
    assert len(images) == 4, "once for both runs"

    code, printed = without(swept, "torch").run("-m", "mix=real,82", *overrides)
    assert code == 0, printed
    assert printed.count("already finished") == 2


def test_what_is_wrong_with_a_set_stops_the_command_before_training(swept: Commands) -> None:
    shutil.copytree(swept.folder / "dusk", swept.folder / "foreign", dirs_exist_ok=True)
    (swept.folder / "foreign" / "fox").mkdir(exist_ok=True)
    for root, text in (("nowhere", "nowhere"), ("foreign", "fox/")):
        code, printed = swept.run("-m", "mix=real50", "shift=folder", f"shift.folder.root={root}")
        assert code == 2, printed
        assert printed.startswith("No run was started:\n")
        assert text in printed
        assert "Traceback" not in printed
    code, printed = swept.run("mix=real50", "shift=folder", "shift.folder.root=photos/train")
    assert code == 1, printed
    assert "20 images" in printed
    assert "photos/train" in printed
    assert not (swept.run_folder("real50") / layout.CHECKPOINT).exists()


def test_other_settings_under_the_same_name_are_refused(swept: Commands) -> None:
    code, printed = swept.run("mix=real", "shift=blurred", "shift.blur.severities.5.sigma=2.0")
    assert code == 2, printed
    assert "shifts/blur-5" in printed
    assert "{'kernel_size': 9, 'sigma': 3.0} there, {'kernel_size': 9, 'sigma': 2.0} now" in printed
    assert "Traceback" not in printed
