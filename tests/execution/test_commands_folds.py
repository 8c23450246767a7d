"""A study in folds, by the commands as a user types them."""

import shlex
from pathlib import Path

import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.explain.image_report import find_image
from synthaug.analysis.explain.run_explanation import explain
from synthaug.files import read_json
from synthaug.runs import contents, layout
from tests.factories.commands import Commands


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    commands = Commands(tmp_path_factory.mktemp("folds"))
    code, printed = commands.run("-m", "mix=real,55", "folds=2", "trainer.max_epochs=1", "logger=wandb")
    assert code == 0, printed
    return commands


def folder(commands: Commands, arm: str, fold: int) -> Path:
    return commands.run_folder(arm).parent / f"seed0-fold{fold}"


def test_every_photograph_is_tested_once_by_each_arm(commands: Commands) -> None:
    everything = sorted(path.relative_to(commands.folder).as_posix() for path in commands.photos.rglob("*.png"))
    for arm in ("real", "55"):
        paths = [contents.read_predictions(folder(commands, arm, fold)).paths for fold in (0, 1)]
        assert sorted(paths[0] + paths[1]) == everything
    (group,) = compare(commands.study()).groups
    assert (group.n_folds, group.n_test) == (2, len(everything))
    difference = next(arm.difference for arm in group.arms if arm.name == "55")
    assert difference is not None
    assert difference.p_value is not None, "folds tell how much runs differ, with one seed too"


def test_arms_have_the_same_training_images_of_a_fold_and_weights_of_their_own_in_each(commands: Commands) -> None:
    results = [[read_json(folder(commands, arm, fold) / layout.RESULT) for fold in (0, 1)] for arm in ("real", "55")]
    for real, mixed in zip(*results, strict=True):
        assert real["data"]["scanned"] == mixed["data"]["scanned"]
        assert mixed["counts"]["synthetic"] + mixed["counts"]["real"] == real["counts"]["real"]
    rows = [
        {row.sha256 for row in contents.read_mix(folder(commands, "real", fold))}
        | {row.sha256 for row in contents.read_mix(folder(commands, "55", fold)) if row.origin == "real"}
        for fold in (0, 1)
    ]
    tested = [set(contents.read_predictions(folder(commands, "real", fold)).paths) for fold in (0, 1)]
    trained = [{row.file for row in contents.read_mix(folder(commands, "55", fold))} for fold in (0, 1)]
    assert all(not trained[fold] & tested[fold] for fold in (0, 1))
    assert rows[0] != rows[1]


def test_the_same_command_has_nothing_left_to_do(commands: Commands) -> None:
    code, printed = commands.run("-m", "mix=real,55", "folds=2", "trainer.max_epochs=1", "logger=wandb")
    assert code == 0, printed
    assert printed.count("already finished") == 4


def test_a_run_of_a_fold_is_explained_by_its_name(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(commands.folder)
    explanation = explain(folder(commands, "55", 1))
    assert (explanation.run.label, explanation.problems) == ("55-seed0-fold1", ())
    tested = contents.read_predictions(folder(commands, "55", 1)).paths[0]
    report = find_image(folder(commands, "55", 1), tested)
    assert {run.label for run, _ in report.predictions} == {"real-seed0-fold1", "55-seed0-fold1"}


def test_a_single_run_of_a_fold_leads_to_a_sweep_over_all(commands: Commands) -> None:
    arguments = ("folds=2", "fold=1", "trainer.max_epochs=1", "experiment=single")
    code, printed = commands.run("mix=real", *arguments)
    assert code == 0, printed
    words = shlex.split(printed.splitlines()[-1])
    assert "folds=2" in words
    assert "fold=1" not in words


def test_a_changed_dataset_is_refused_before_anything_starts(commands: Commands) -> None:
    photograph = next(commands.photos.rglob("*.png"))
    content = photograph.read_bytes()
    photograph.unlink()
    try:
        code, printed = commands.run("-m", "mix=real,55", "folds=2", "seed=1", "trainer.max_epochs=1")
    finally:
        photograph.write_bytes(content)
    assert code == 2, printed
    assert "No run was started:" in printed
    assert f"gone or changed: {photograph.relative_to(commands.folder)}" in printed
