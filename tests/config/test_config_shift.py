"""Further test sets on the command line and in YAML files: what is taken, and what each mistake is answered with."""

from pathlib import Path

import pytest

from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.runs import identity
from tests.factories import commands


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own `shift/` folder, in the folder that the command is run in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine" / "shift"
    folder.mkdir(parents=True)
    return folder


def jobs_of(*arguments: str) -> list[Job]:
    return commands.jobs_of("--config-dir=mine", *arguments)


def shift_of(*arguments: str) -> dict[str, dict[str, object]]:
    (job,) = jobs_of(*arguments)
    nodes: dict[str, dict[str, object]] = job.settings["shift"] or {}
    return nodes


def problems(*arguments: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        jobs_of(*arguments)
    headline, *lines = str(caught.value).split("\n  - ")
    assert headline == "The configuration cannot be used:"
    return lines


def corruption(path: Path, key: str = "fog", **changed: str) -> None:
    """Write a corruption of one's own; None leaves a line out."""
    lines = {
        "_target_": "synthaug.arms.shifts.Corruptions",
        "transform": "torchvision.transforms.v2.GaussianBlur",
        "severities": "{1: {kernel_size: 3}, 5: {kernel_size: 9, sigma: 2.0}}",
    } | changed
    text = "".join(f"  {name}: {value}\n" for name, value in lines.items())
    path.write_text(f"{key}:\n{text}", encoding="utf-8")


def test_there_is_none_unless_asked_for() -> None:
    assert shift_of() == shift_of("shift=none") == shift_of("~shift") == {}


def test_several_choices_at_once_and_values_of_each() -> None:
    nodes = shift_of(
        "shift=[corruptions_small,folder,synthetic]", "shift.folder.root=photos/Füchse", "shift.synthetic.per_class=7"
    )
    assert {"small_gaussian_noise", "small_jpeg", "folder", "synthetic"} <= nodes.keys()
    assert (nodes["folder"]["root"], nodes["folder"]["name"]) == ("photos/Füchse", "Füchse")
    assert nodes["synthetic"]["per_class"] == 7
    assert shift_of("shift=folder", "shift.folder.root=x", "shift.folder.origin=synthetic")["folder"]["origin"]


def test_a_run_is_the_same_with_other_test_sets() -> None:
    plain, shifted = (jobs_of(*overrides)[0] for overrides in ([], ["shift=[corruptions,synthetic]"]))
    assert identity.describe_differences(plain.recorded, shifted.recorded) == []
    assert plain.folder == shifted.folder


def test_a_corruption_of_ones_own_needs_a_yaml_and_nothing_else(mine: Path) -> None:
    corruption(mine / "fog.yaml")
    nodes = shift_of("shift=[fog,synthetic]")
    assert list(nodes) == ["fog", "synthetic"]


@pytest.mark.parametrize(
    ("changed", "start"),
    [
        (
            {"transform": "torchvision.transforms.v2.GausianBlur"},
            "shift.fog.severities.1: unknown target torchvision.transforms.v2.GausianBlur",
        ),
        ({"severities": "{1: {kernel: 3}}"}, "shift.fog.severities.1: unknown argument 'kernel' of torchvision"),
        ({"severities": "{1: {}}"}, "shift.fog.severities.1: missing argument 'kernel_size' of torchvision"),
        ({"severities": "{}"}, "shift.fog.severities: must map each severity to the arguments of its transform"),
        ({"severities": "[1, 2]"}, "shift.fog.severities: must map each severity to the arguments of its transform"),
        ({"severities": "{1: 3}"}, "shift.fog.severities.1=3: must map arguments of torchvision"),
        ({"severities": "{a/b: {kernel_size: 3}}"}, "shift.fog.severities.a/b: must be a name that a folder can have"),
        ({"name": "a/b"}, "shift.fog.name='a/b': must be a name that a folder can have"),
        ({"severity": "3"}, "shift.fog: unknown argument 'severity' of synthaug.arms.shifts.Corruptions"),
        (
            {"_target_": "synthaug.arms.shifts.Corruption5"},
            "shift.fog: unknown target synthaug.arms.shifts.Corruption5",
        ),
    ],
)
def test_mistakes_in_a_yaml_are_answered_before_anything_runs(changed: dict[str, str], start: str, mine: Path) -> None:
    corruption(mine / "fog.yaml", **changed)
    lines = problems("shift=fog")
    assert lines[0].startswith(start), lines


def test_mistakes_on_the_command_line() -> None:
    (line,) = problems("shift=corruption")
    assert line.startswith("shift=corruption: ")
    assert "did you mean 'corruptions'" in line
    (line,) = problems("shift=folder")
    assert line.startswith("shift.folder.root: ")
    (line,) = problems("shift=synthetic", "shift.synthetic.per_class=many")
    assert "per_class='many'" in line
    assert line.endswith("must be int")
    (line,) = problems("experiment=held_out")
    assert line.startswith("experiment='held_out': ")


def test_an_unknown_name_in_a_list_is_answered_with_the_choices() -> None:
    shift, logger = problems("shift=[corruptions_small,sythetic]", "logger=[csv,wandv]")
    assert shift.endswith("did you mean 'synthetic'? choices: corruptions, corruptions_small, folder, none, synthetic")
    assert logger.endswith("did you mean 'wandb'? choices: csv, none, tensorboard, wandb")


def test_two_sets_of_one_name_are_refused(mine: Path) -> None:
    text = "{}:\n  _target_: synthaug.arms.shifts.Folder\n  root: {}\n  name: dusk\n"
    (mine / "two.yaml").write_text(text.format("first", "a") + text.format("second", "b"), encoding="utf-8")
    (line,) = problems("shift=two")
    assert line.startswith("shift.first and shift.second: ")
    assert "'dusk'" in line
