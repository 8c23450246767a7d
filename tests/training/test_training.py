"""A run: the same every time, whatever interrupts it, chosen on validation alone, and whole when it is finished."""

import csv
import itertools
import json
import math
import re
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from synthaug.data.augment import Augmentation
from synthaug.errors import UserError
from synthaug.files import read_json, write_rows
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.training import fit
from synthaug.training.callbacks import COLUMNS, History
from synthaug.training.energy import Counter
from tests.factories.commands import KEY, build_arm, settings, train
from tests.factories.images import image, write_dataset

HISTORY = ["epoch", "step", "train/loss", "val/loss", "val/accuracy", "lr"]  # all columns but the seconds


class StoppedError(Exception):
    pass


class Interrupt(Callback):
    """Raises in the middle of an epoch, or while testing."""

    def __init__(self, epoch: int | None) -> None:
        self.epoch = epoch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise StoppedError

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.epoch is None:
            raise StoppedError


class Epochs(Callback):
    """Records the epochs that are trained, and the seeds of what draws at random."""

    def __init__(self) -> None:
        self.trained: set[int] = set()
        self.seeds: set[int] = set()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Classifier)
        data: Any = trainer.train_dataloader
        self.trained.add(trainer.current_epoch)
        self.seeds |= {pl_module.seed, data.dataset.seed, data.batch_sampler.seed}


def weights(folder: Path, name: str = layout.CHECKPOINT) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / name, weights_only=True)["state_dict"]
    return state


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def same_run(one: Path, other: Path) -> bool:
    """Weights, predictions and curves equal bit for bit."""
    curves = [contents.read_history(folder) for folder in (one, other)]
    return (
        same_weights(one, other)
        and (one / layout.PREDICTIONS).read_bytes() == (other / layout.PREDICTIONS).read_bytes()
        and all(np.array_equal(curves[0][name], curves[1][name], equal_nan=True) for name in HISTORY)
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and in `run` an arm of it trained without interruption."""
    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "photos", train=8, val=5)
    train(folder / "run", given(folder))
    return folder


def given(study: Path, **changes: Any) -> dict[str, Any]:
    return settings(study / "photos", study, **changes)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(study: Path, tmp_path: Path) -> None:
    torch.rand(3)  # what was drawn before must not matter
    train(tmp_path / "again", given(study))
    epochs = Epochs()
    train(tmp_path / "other", given(study, seed=1), callbacks=[epochs])
    assert epochs.seeds == {1}  # of dropout, augmentation and order
    assert same_run(study / "run", tmp_path / "again")
    assert not same_weights(study / "run", tmp_path / "other")


def test_batches_of_workers_are_the_same(study: Path, tmp_path: Path) -> None:
    made = given(study)
    made["num_workers"] = 1
    train(tmp_path / "run", made)
    assert same_run(study / "run", tmp_path / "run")


def test_networks_are_built_without_a_word() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        fit.quiet_libraries()
        Classifier(["a", "b"], backbone="googlenet")
    assert not shown


def test_an_arms_own_augmentation_replaces_the_datasets_key_by_key() -> None:
    of_dataset = {"scale": [0.5, 1.0], "ratio": [0.8, 1.25], "horizontal_flip": 0.5}
    assert fit.augmentation(of_dataset, None) == Augmentation((0.5, 1.0), (0.8, 1.25), 0.5)
    made = fit.augmentation(of_dataset, {"scale": [0.25, 1.0], "policy": "rand"})
    assert made == Augmentation((0.25, 1.0), (0.8, 1.25), 0.5, policy="rand")


def test_strong_augmentation_is_an_arm_whose_test_images_are_those_of_the_others(study: Path, tmp_path: Path) -> None:
    made = given(study)
    own = {"policy": "trivial", "erasing": 0.5, "scale": [0.1, 1.0]}
    made["mix"]["augment"] = own
    train(tmp_path / "run", made)
    plain, strong = (read_json(folder / layout.RESULT) for folder in (study / "run", tmp_path / "run"))
    assert strong["mix"] == plain["mix"] | {"augment": own}
    assert (plain["mix"]["augment"], plain["data"]) == (None, strong["data"])
    assert not same_weights(study / "run", tmp_path / "run")
    data = [fit.datamodule(build_arm(settings), settings) for settings in (given(study), made)]
    views = [[each.on_after_batch_transfer(raw, 0).images for raw in each.test_dataloader()] for each in data]
    assert all(torch.equal(*pair) for pair in zip(*views, strict=True))


def test_policies_draw_the_same_with_workers_and_after_a_resume(tmp_path: Path, study: Path) -> None:
    made = given(study)
    made["mix"]["augment"] = {"policy": "trivial", "erasing": 0.5, "hue": 0.1, "blur": 0.5}
    train(tmp_path / "whole", made)
    with pytest.raises(StoppedError):
        train(tmp_path / "resumed", made, callbacks=[Interrupt(2)])
    torch.rand(7)
    train(tmp_path / "resumed", made)
    made["num_workers"] = 1
    train(tmp_path / "workers", made)
    assert same_run(tmp_path / "whole", tmp_path / "resumed")
    assert same_run(tmp_path / "whole", tmp_path / "workers")


@pytest.mark.parametrize("epoch", [0, 1, 3, None], ids=["first", "second", "last", "test"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(study: Path, tmp_path: Path, epoch: int | None) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(folder, given(study), callbacks=[Interrupt(epoch)])
    assert not (folder / layout.RESULT).exists()
    torch.rand(7)
    epochs = Epochs()
    train(folder, given(study), callbacks=[epochs])
    assert epochs.trained == set(range(4 if epoch is None else epoch, 4))
    assert same_run(study / "run", folder)
    assert contents.read_history(folder)["epoch"] == [0, 1, 2, 3]
    assert read_json(folder / layout.RESULT)["training"]["epochs"] == 4


def test_workers_read_what_they_would_have_read_after_a_resume(study: Path, tmp_path: Path) -> None:
    made = given(study)  # its schedule asks for the loader before the progress of the run is restored
    made["num_workers"] = 1
    assert made["model"]["schedule"] == "one_cycle"
    with pytest.raises(StoppedError):
        train(tmp_path / "run", made, callbacks=[Interrupt(2)])
    train(tmp_path / "run", made)
    assert same_run(study / "run", tmp_path / "run")


def test_dropout_draws_the_same_after_a_resume(study: Path, tmp_path: Path) -> None:
    made = given(study)
    made["model"]["backbone"] = "mobilenet_v3_small"
    train(tmp_path / "whole", made)
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", made, callbacks=[Interrupt(2)])
    train(tmp_path / "stopped", made)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")
    assert max(contents.read_history(tmp_path / "stopped")["seconds"]) < 60


@pytest.mark.parametrize(
    "model",
    [
        {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "synthetic_weight": 0.5},
        {"batch_norm": "per_origin"},
        {"train_stages": 0, "unfreeze_every": 1},
        {"train_stages": 1, "head_batch_norm": True, "head_dropout": 0.5},
        {"schedule": "step", "step_epochs": 1, "gamma": 0.5},
        {"schedule": "cosine"},
        {"pretrain_epochs": 2, "batch_norm": "per_origin"},
        {"pretrain_epochs": 3},
    ],
    ids=str,
)
def test_whatever_the_model_a_stopped_run_goes_on_as_if_it_had_not_been(
    study: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    made = given(study)
    made["model"] |= model
    train(tmp_path / "whole", made)
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", made, callbacks=[Interrupt(2)])
    torch.rand(7)
    train(tmp_path / "stopped", made)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")
    assert not same_weights(tmp_path / "whole", study / "run")


def test_a_run_that_was_moved_goes_on_with_its_best_epoch(study: Path, tmp_path: Path) -> None:
    """Nothing in the folder knows where it lies."""
    with pytest.raises(StoppedError):
        train(tmp_path / "here", given(study), callbacks=[Interrupt(3)])
    shutil.move(tmp_path / "here", tmp_path / "there")
    train(tmp_path / "there", given(study))
    assert same_run(study / "run", tmp_path / "there")
    assert not (tmp_path / "here").exists()


def history_of(accuracies: list[float]) -> History:
    history = History(Path())
    history.rows = [[epoch, 0, 0, 0, accuracy, 0, 0] for epoch, accuracy in enumerate(accuracies)]
    return history


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ([0.0], True),
        ([0.5, 0.5], False),
        ([0.5, 0.6], True),
        ([0.6, 0.5, 0.6], False),
        ([math.nan], False),
        ([0.5, math.nan], False),
        ([math.nan, 0.5], True),
        ([0.9, math.nan, 0.5], False),
    ],
)
def test_the_first_of_the_best_epochs_is_the_best(accuracies: list[float], best: bool) -> None:
    assert history_of(accuracies).last_is_best is best


def test_the_checkpoint_is_the_first_best_epoch_on_validation(study: Path) -> None:
    curve = contents.read_history(study / "run")["val/accuracy"]
    epoch = int(np.argmax(curve))
    result = read_json(study / "run" / layout.RESULT)
    assert result["val"] == {"epoch": epoch, "accuracy": curve[epoch]}
    saved = torch.load(study / "run" / layout.CHECKPOINT, weights_only=True)
    assert saved["epoch"] == epoch
    assert epoch < 3, "the last epoch would be chosen by accident too: let the study differ"
    assert "optimizer_states" not in saved


class Origins(Callback):
    """Records, for each epoch, which origins are trained on, in how many steps."""

    def __init__(self) -> None:
        self.seen: dict[int, set[bool]] = {}
        self.steps: dict[int, int] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.seen.setdefault(trainer.current_epoch, set()).update(batch.synthetic.tolist())
        self.steps[trainer.current_epoch] = batch_idx + 1


def test_the_checkpoint_is_chosen_after_pretraining(study: Path, tmp_path: Path) -> None:
    """A network that hardly moves is as good in every epoch: the first would be chosen, if it could be."""
    made = given(study)
    made["model"] |= {"pretrain_epochs": 2, "train_stages": 0, "lr": 1e-12, "schedule": "constant"}
    origins = Origins()
    train(tmp_path / "run", made, callbacks=[origins])
    assert origins.seen == {0: {True}, 1: {True}, 2: {False}, 3: {False}}
    assert origins.steps == dict.fromkeys(range(4), 4)
    curve = contents.read_history(tmp_path / "run")["val/accuracy"]
    assert len(set(curve)) == 1
    assert read_json(tmp_path / "run" / layout.RESULT)["val"] == {"epoch": 2, "accuracy": curve[2]}
    assert torch.load(tmp_path / "run" / layout.CHECKPOINT, weights_only=True)["epoch"] == 2


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ([0.9], False),
        ([0.9, 0.95], False),
        ([0.9, 0.9, 0.1], True),
        ([0.9, 0.9, 0.1, 0.1], False),
        ([0.9, 0.9, 0.1, 0.2], True),
        ([0.9, 0.9, math.nan, 0.2], True),
    ],
)
def test_an_epoch_of_pretraining_is_never_the_best(accuracies: list[float], best: bool) -> None:
    history = history_of(accuracies)
    history.first = 2
    assert history.last_is_best is best


def test_the_result_names_no_epoch_of_pretraining(tmp_path: Path) -> None:
    rows = [[epoch, 0, 0, 0, accuracy, 0, 0] for epoch, accuracy in enumerate([0.9, 0.9, 0.1, math.nan, 0.2, 0.2])]
    write_rows(tmp_path / layout.HISTORY, COLUMNS, rows)
    assert fit.chosen_epoch(tmp_path, first=2) == {"accuracy": 0.2, "epoch": 4}
    assert fit.chosen_epoch(tmp_path) == {"accuracy": 0.9, "epoch": 0}


@pytest.mark.parametrize("epochs", [4, 5])
def test_pretraining_must_leave_an_epoch(study: Path, tmp_path: Path, epochs: int) -> None:
    made = given(study)
    made["model"]["pretrain_epochs"] = epochs
    with pytest.raises(
        UserError, match=rf"^model\.pretrain_epochs={epochs}: with trainer\.max_epochs=4 no epoch is left"
    ):
        train(tmp_path / "run", made)
    assert not (tmp_path / "run" / layout.LAST).exists()


def test_images_that_the_network_cannot_take_are_found_before_training(study: Path, tmp_path: Path) -> None:
    made = given(study)
    made["model"]["backbone"] = "alexnet"
    with pytest.raises(UserError, match=r"^model\.backbone=alexnet cannot classify images of dataset\.image_size=32"):
        train(tmp_path / "run", made)
    assert not (tmp_path / "run" / layout.HISTORY).exists()


def test_an_arm_without_real_images_is_judged_by_the_normalisations_it_has_trained(study: Path, tmp_path: Path) -> None:
    shared, parted = given(study, real=0, synthetic=1), given(study, real=0, synthetic=1)
    parted["model"]["batch_norm"] = "per_origin"
    train(tmp_path / "shared", shared)
    train(tmp_path / "parted", parted)
    predictions = [(tmp_path / name / layout.PREDICTIONS).read_bytes() for name in ("shared", "parted")]
    assert predictions[0] == predictions[1]


def test_the_checkpoint_is_what_was_tested(study: Path) -> None:
    """Images read, warped and classified again by hand."""
    made = given(study)
    classifier = Classifier(["cat", "dog"], **made["model"])
    classifier.load_state_dict(weights(study / "run"))
    data = fit.datamodule(build_arm(made), made)
    with torch.inference_mode():
        batches = [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]
        probabilities = torch.cat([classifier.eval()(batch.images).softmax(dim=1) for batch in batches])
    there = contents.read_predictions(study / "run").probabilities
    np.testing.assert_allclose(there, probabilities.numpy(), atol=1e-5)


def test_test_images_choose_nothing(study: Path, tmp_path: Path) -> None:
    """Other test images: the same weights, other predictions."""
    shutil.copytree(study / "photos", tmp_path / "photos")
    for number, path in enumerate(sorted((tmp_path / "photos" / "test").glob("*/*"))):
        image(1000 + number, (20, 16)).save(path)
    train(tmp_path / "run", settings(tmp_path / "photos", tmp_path))
    assert same_weights(study / "run", tmp_path / "run")
    assert contents.read_history(tmp_path / "run")["val/loss"] == contents.read_history(study / "run")["val/loss"]
    mine, other = (contents.read_predictions(folder / "run") for folder in (tmp_path, study))
    assert not np.array_equal(mine.probabilities, other.probabilities)


def test_the_folder_of_a_finished_run(study: Path) -> None:
    folder = study / "run"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [layout.MIX, layout.HISTORY, layout.PREDICTIONS, layout.CHECKPOINT, layout.RESULT]
    )
    result = json.loads((folder / layout.RESULT).read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert result["counts"]["real"] == result["counts"]["synthetic"] == 8
    assert result["counts"]["per_class"] == {name: {"real": 4, "synthetic": 4} for name in ("cat", "dog")}
    assert result["synthetic_fraction"] == 0.5
    assert result["training"]["steps"] == 16
    assert (result["arm"], result["seed"]) == (KEY.arm, 0)
    assert result["mix"] == {"real": 0.5, "synthetic": 0.5, "augment": None}
    assert (folder / layout.RESULT).stat().st_mtime_ns == max(path.stat().st_mtime_ns for path in folder.iterdir())
    with (folder / layout.MIX).open(newline="", encoding="utf-8") as stream:
        assert [row["origin"] for row in csv.DictReader(stream)].count("synthetic") == 8


def test_the_commit_of_a_checkout_and_whether_files_are_changed(tmp_path: Path) -> None:
    assert fit.commit(tmp_path) == {}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message=first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    found = fit.commit(tmp_path)["commit"]
    assert re.fullmatch("[0-9a-f]{40}", found)
    (tmp_path / "file").write_text("1", encoding="utf-8")
    subprocess.run([*git, "add", "file"], check=True)
    assert fit.commit(tmp_path) == {"commit": f"{found}-dirty"}
    (tmp_path / ".git" / "HEAD").unlink()
    assert fit.commit(tmp_path) == {}


def test_energy_is_written_down_where_the_whole_training_was_measured(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_up(gpus: list[str]) -> list[Counter]:
        assert gpus == []
        joules = itertools.count(0, 3_600_000)
        return [Counter("made up", lambda: float(next(joules)))]

    monkeypatch.setattr(fit, "counters", made_up)
    train(tmp_path / "whole", given(study))
    assert same_run(study / "run", tmp_path / "whole")
    used = read_json(tmp_path / "whole" / layout.RESULT)["training"]
    assert (used["kwh"], used["kwh_of"]) == (1.0, ["made up"])
    with pytest.raises(StoppedError):
        train(tmp_path / "resumed", given(study), callbacks=[Interrupt(2)])
    train(tmp_path / "resumed", given(study))
    assert "kwh" not in read_json(tmp_path / "resumed" / layout.RESULT)["training"]


def test_a_resume_with_other_images_is_refused(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(folder, given(study), callbacks=[Interrupt(1)])
    with pytest.raises(UserError, match=r"was begun with other training images \(see its mix.csv\)"):
        train(folder, given(study, real=0.25, synthetic=0.75))
    train(folder, given(study))
    assert same_run(study / "run", folder)


def test_before_the_first_checkpoint_other_images_are_taken(study: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(tmp_path / "run", given(study, real=0.25, synthetic=0.75), callbacks=[Interrupt(0)])
    train(tmp_path / "run", given(study))
    assert same_run(study / "run", tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit_val_batches", 1),
        ("limit_val_batches", 0.5),
        ("limit_test_batches", 2),
        ("check_val_every_n_epoch", 2),
        ("val_check_interval", 2),
        ("fast_dev_run", True),
        ("max_epochs", -1),
    ],
)
def test_trainer_arguments_that_evaluate_a_part_are_refused(study: Path, tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"trainer\.{name}={value}: "):
        train(tmp_path / "run", given(study), **{name: value})


def test_steps_may_end_in_the_middle_of_an_epoch(study: Path, tmp_path: Path) -> None:
    """That epoch goes without validation, so it cannot be chosen."""
    train(tmp_path / "run", given(study), max_epochs=None, max_steps=10)
    history = contents.read_history(tmp_path / "run")
    assert history["step"] == [4, 8, 10]
    assert [math.isnan(value) for value in history["val/accuracy"]] == [False, False, True]
    result = read_json(tmp_path / "run" / layout.RESULT)
    assert result["training"]["steps"] == 10
    assert result["val"]["accuracy"] == max(history["val/accuracy"][:2])


@pytest.mark.parametrize("epoch", [1, 2, None], ids=["second", "last", "test"])
def test_a_stopped_run_of_so_many_steps_goes_on_as_if_it_had_not_been(
    study: Path, tmp_path: Path, epoch: int | None
) -> None:
    steps: dict[str, Any] = {"max_epochs": None, "max_steps": 10}
    train(tmp_path / "whole", given(study), **steps)
    with pytest.raises(StoppedError):
        train(tmp_path / "run", given(study), callbacks=[Interrupt(epoch)], **steps)
    train(tmp_path / "run", given(study), **steps)
    assert same_run(tmp_path / "whole", tmp_path / "run")
    assert contents.read_history(tmp_path / "run")["step"] == [4, 8, 10]


@pytest.mark.parametrize("accumulated", [1, 3])
def test_the_epochs_to_come_are_counted(
    study: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, accumulated: int
) -> None:
    with caplog.at_level("INFO", "synthaug"):
        train(tmp_path / "run", given(study), max_epochs=2, accumulate_grad_batches=accumulated)
    said = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    assert [text.partition(", ")[0].partition(": ")[2] for text in said] == ["epoch 1/2", "epoch 2/2"]


def test_a_run_without_a_whole_epoch_says_so(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no .*best.ckpt to test: no epoch was finished and validated"):
        train(tmp_path / "run", given(study), max_epochs=None, max_steps=2)


def by_steps(study: Path, real: float, synthetic: float, **changes: Any) -> dict[str, Any]:
    return {**given(study, real=real, synthetic=synthetic), "budget": "steps", **changes}


def training_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(folder / layout.RESULT)["training"]
    return found


@pytest.mark.parametrize(
    ("real", "synthetic", "passes"), [(1, 0, 4.0), (0.5, 0, 8.0), (1, 1.5, 1.6)], ids=["real", "fewer", "more"]
)
@pytest.mark.parametrize(
    ("trainer", "steps", "done"),
    [
        ({}, 16, 1.0),
        ({"max_steps": 10}, 10, 10 / 16),
        ({"accumulate_grad_batches": 3}, 8, 1.0),
        ({"accumulate_grad_batches": 3, "max_steps": 5}, 5, 11 / 16),
        ({"limit_train_batches": 3}, 12, 0.75),
        ({"limit_train_batches": 0.5}, 8, 0.5),
    ],
    ids=str,
)
def test_with_equal_steps_arms_of_every_size_take_as_many(
    study: Path, tmp_path: Path, real: float, synthetic: float, passes: float, trainer: dict[str, Any], steps: int,
    done: float,
) -> None:  # fmt: skip
    """The baseline has 16 images: 4 batches an epoch, 4 epochs."""
    train(tmp_path / "run", by_steps(study, real, synthetic), **trainer)
    found = training_of(tmp_path / "run")
    assert (found["budget"], found["steps"], found["epochs"]) == ("steps", steps, 3 if "max_steps" in trainer else 4)
    assert found["passes"] == pytest.approx(passes * done, abs=1e-4)


def test_with_equal_epochs_an_arm_takes_the_steps_of_its_size(study: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", given(study, real=0.5, synthetic=0))
    assert training_of(tmp_path / "run") | {"seconds": 0} == {
        "budget": "epochs", "steps": 8, "epochs": 4, "batch_size": 4, "seconds": 0, "passes": 4.0
    }  # fmt: skip


def test_the_baseline_is_the_same_run_with_both_budgets(study: Path, tmp_path: Path) -> None:
    """Its images fill their batches."""
    train(tmp_path / "epochs", given(study, real=1, synthetic=0))
    train(tmp_path / "steps", by_steps(study, 1, 0))
    assert same_run(tmp_path / "epochs", tmp_path / "steps")


@pytest.mark.parametrize("epoch", [1, 3, None], ids=["second", "last", "test"])
@pytest.mark.parametrize("model", [{}, {"pretrain_epochs": 2}], ids=str)
def test_a_stopped_run_of_equal_steps_goes_on_as_if_it_had_not_been(
    study: Path, tmp_path: Path, epoch: int | None, model: dict[str, Any]
) -> None:
    made = by_steps(study, 0.5, 1.0)
    made["model"] |= model
    train(tmp_path / "whole", made)
    made["num_workers"] = 1
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", made, callbacks=[Interrupt(epoch)])
    torch.rand(7)
    train(tmp_path / "stopped", made)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")
    one, other = (training_of(tmp_path / name) | {"seconds": 0} for name in ("whole", "stopped"))
    assert one == other


def test_checkpoints_do_not_pass_through_the_temporary_folder(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on another disk, from which a file does not arrive in one piece."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    train(tmp_path / "run", given(study))
    assert same_run(study / "run", tmp_path / "run")


@pytest.mark.slow
def test_two_processes_share_every_image(study: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", given(study), devices=2, strategy="ddp_spawn")
    predictions = contents.read_predictions(tmp_path / "run")
    assert len(set(predictions.paths)) == len(predictions.paths) == 8
    result = read_json(tmp_path / "run" / layout.RESULT)
    right = (predictions.labels == predictions.predicted).mean()
    assert result["test"]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert result["counts"]["real"] + result["counts"]["synthetic"] == 16
    assert (result["training"]["steps"], result["training"]["passes"]) == (8, 4)
    assert result["machine"]["processes"] == 2
    assert contents.read_history(tmp_path / "run")["epoch"] == [0, 1, 2, 3]
    assert not (tmp_path / "run" / layout.LAST).exists()


@pytest.mark.slow
def test_two_processes_take_the_steps_of_the_baseline(study: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", by_steps(study, 0.5, 0), devices=2, strategy="ddp_spawn")
    found = training_of(tmp_path / "run")
    assert (found["steps"], found["epochs"], found["passes"]) == (8, 4, 8)
