"""A study of heads on a frozen network: one command, its runs as any others."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug import files
from synthaug.files import read_json
from synthaug.models import frozen_weights
from synthaug.runs import contents, layout
from synthaug.training.checkpoint_files import load_tensors
from tests.factories.commands import NETWORK, Commands
from tests.factories.probes import write_weights

SWEEP = ("-m", "model=probe_of_file", "mix=real,82", "seed=0,1", "logger=csv")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    commands = Commands(tmp_path_factory.mktemp("swept"))
    write_weights(commands.folder / "weights.pth")
    (commands.folder / "conf" / "model" / "probe_of_file.yaml").write_text(
        f"_target_: synthaug.models.classifier.Classifier\nbackbone: {NETWORK}\nweights: weights.pth\n"
        "train_stages: 0\nviews: 2\nlr: 1e-2\n",
        encoding="utf-8",
    )
    code, printed = commands.run(*SWEEP)
    assert code == 0, printed
    return commands


def run_folders(commands: Commands, experiment: str = "default") -> list[Path]:
    return sorted(path.parent for path in commands.study(experiment).glob(f"*/*/seed*/{layout.RESULT}"))


def test_every_run_has_its_folder_and_the_frozen_network_is_there_once(swept: Commands) -> None:
    folders = run_folders(swept)
    assert len(folders) == 4
    (weights,) = (swept.study() / frozen_weights.FOLDER).iterdir()
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {
            layout.CONFIG, layout.MIX, layout.PREDICTIONS, layout.HISTORY, layout.CHECKPOINT, layout.RESULT,
            "csv", ".lock",
        }  # fmt: skip
        assert (folder / layout.CHECKPOINT).stat().st_size < weights.stat().st_size / 10
        (curves,) = folder.glob("csv/*/metrics.csv")
        with curves.open(encoding="utf-8") as stream:
            logged = list(csv.DictReader(stream))
        assert {"train/loss", "val/accuracy", "val/macro_f1", "test/accuracy"} <= logged[0].keys()
    assert (swept.study() / layout.PAGE).is_file()


def test_a_run_by_itself_is_the_same(swept: Commands) -> None:
    code, printed = swept.run("model=probe_of_file", "mix=82", "seed=1", "experiment=alone")
    assert code == 0, printed
    (alone,) = run_folders(swept, "alone")
    together = swept.study() / alone.relative_to(swept.study("alone"))
    assert (alone / layout.PREDICTIONS).read_bytes() == (together / layout.PREDICTIONS).read_bytes()
    assert read_json(alone / layout.RESULT)["test"] == read_json(together / layout.RESULT)["test"]


def test_what_is_missing_is_trained_and_new_photographs_are_classified(swept: Commands) -> None:
    first, *others = run_folders(swept)
    before = {folder: (folder / layout.RESULT).stat().st_mtime_ns for folder in others}
    predictions = (first / layout.PREDICTIONS).read_bytes()
    shutil.rmtree(first)
    code, printed = swept.run(*SWEEP)
    assert code == 0, printed
    assert (first / layout.PREDICTIONS).read_bytes() == predictions
    assert {folder: (folder / layout.RESULT).stat().st_mtime_ns for folder in others} == before
    process_code, printed = classify(swept, first)
    assert process_code == 0, printed
    with (swept.folder / "classified.csv").open(encoding="utf-8") as stream:
        classified = {row["path"]: row["predicted"] for row in csv.DictReader(stream)}
    with (first / layout.PREDICTIONS).open(encoding="utf-8") as stream:
        expected = {row["path"]: row["predicted"] for row in csv.DictReader(stream)}
    assert classified == expected


def test_shift_sets_are_evaluated_as_lightning_does_and_without_training(swept: Commands) -> None:
    (swept.folder / "conf" / "shift").mkdir()
    (swept.folder / "conf" / "shift" / "blurred.yaml").write_text(
        "blur:\n  _target_: synthaug.arms.shifts.Corruptions\n"
        "  transform: torchvision.transforms.v2.GaussianBlur\n  severities:\n    '5': {kernel_size: 9, sigma: 3.0}\n",
        encoding="utf-8",
    )
    before = {folder: (folder / layout.RESULT).stat().st_mtime_ns for folder in run_folders(swept)}
    code, printed = swept.run(*SWEEP, "shift=blurred")
    assert code == 0, printed
    assert {folder: (folder / layout.RESULT).stat().st_mtime_ns for folder in before} == before
    run = run_folders(swept)[-1]
    ours = contents.read_predictions(layout.shift_folder(run, "blur-5"))
    shutil.rmtree(run / layout.SHIFTS)
    whole = load_tensors(run / layout.CHECKPOINT)  # with the network in it, as Lightning writes checkpoints
    del whole[frozen_weights.REFERENCE]
    torch.save(whole, run / layout.CHECKPOINT)
    result = read_json(run / layout.RESULT)
    result["files"][layout.CHECKPOINT] = files.sha256(run / layout.CHECKPOINT)
    files.write_json(run / layout.RESULT, result)
    code, printed = swept.run(*SWEEP, "shift=blurred")
    assert code == 0, printed
    theirs = contents.read_predictions(layout.shift_folder(run, "blur-5"))
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    assert ours.paths == theirs.paths


def classify(commands: Commands, run: Path) -> tuple[int, str]:
    from tests.factories.processes import start_process

    process = start_process(
        "synthaug.predict",
        [str(run), "photos/test", "--output", "classified.csv"],
        commands.folder,
        {"PATH": "", "OMP_NUM_THREADS": "1"},
    )
    return process.wait(timeout=120), commands.printed
