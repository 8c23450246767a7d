"""A run: the same every time, whatever interrupts it, chosen on validation alone, and whole when it is finished."""

import csv
import errno
import json
import math
import re
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from synthaug.arms.epoch_images import EpochImages
from synthaug.arms.real_share import AdaptedImages
from synthaug.data.augment import Augmentation
from synthaug.errors import UserError
from synthaug.files import read_json, write_rows
from synthaug.models import checkpoints
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.training import checkpoint_files, fit, progress
from synthaug.training.callbacks import COLUMNS
from synthaug.training.checkpoint_files import AtomicCheckpointIO
from tests.factories.commands import KEY, build_arm, settings, train
from tests.factories.images import image, sample, write_dataset

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


def same_weights(left: Path, right: Path) -> bool:
    first, second = weights(left), weights(right)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def same_run(left: Path, right: Path) -> bool:
    """Weights, predictions and curves equal bit for bit."""
    curves = [contents.read_history(folder) for folder in (left, right)]
    return (
        same_weights(left, right)
        and (left / layout.PREDICTIONS).read_bytes() == (right / layout.PREDICTIONS).read_bytes()
        and all(np.array_equal(curves[0][name], curves[1][name], equal_nan=True) for name in HISTORY)
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and in `run` an arm of it trained without interruption."""
    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "photos", train=8, val=5)
    train(folder / "run", run_settings(folder))
    return folder


def run_settings(study: Path, **changes: Any) -> dict[str, Any]:
    return settings(study / "photos", study, **changes)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(study: Path, tmp_path: Path) -> None:
    torch.rand(3)  # what was drawn before must not matter
    train(tmp_path / "again", run_settings(study))
    epochs = Epochs()
    train(tmp_path / "other", run_settings(study, seed=1), callbacks=[epochs])
    assert epochs.seeds == {1}  # of dropout, augmentation and order
    assert same_run(study / "run", tmp_path / "again")
    assert not same_weights(study / "run", tmp_path / "other")


def test_a_result_says_what_the_adapters_of_its_generator_saw(study: Path) -> None:
    configured = run_settings(study)
    arm = build_arm(configured)
    assert "adapters" not in fit.run_fields(KEY, configured, arm)
    adapted = replace(arm, adapted=(AdaptedImages("adapters/mine", 8, 4),))
    recorded = fit.run_fields(KEY, configured, adapted)["adapters"]
    assert recorded == [{"folder": "adapters/mine", "images": 8, "foreign": 4}]


def test_batches_of_workers_are_the_same(study: Path, tmp_path: Path) -> None:
    changed = run_settings(study)
    changed["num_workers"] = 1
    train(tmp_path / "run", changed)
    assert same_run(study / "run", tmp_path / "run")


def test_an_arms_own_augmentation_replaces_the_datasets_key_by_key() -> None:
    of_dataset = {"scale": [0.5, 1.0], "ratio": [0.8, 1.25], "horizontal_flip": 0.5}
    assert fit.augmentation(of_dataset, None) == Augmentation((0.5, 1.0), (0.8, 1.25), 0.5)
    augmentation = fit.augmentation(of_dataset, {"scale": [0.25, 1.0], "policy": "rand"})
    assert augmentation == Augmentation((0.25, 1.0), (0.8, 1.25), 0.5, policy="rand")


def test_strong_augmentation_is_an_arm_whose_test_images_are_those_of_the_others(study: Path, tmp_path: Path) -> None:
    changed = run_settings(study)
    augment = {"policy": "trivial", "erasing": 0.5, "scale": [0.1, 1.0]}
    changed["mix"]["augment"] = augment
    train(tmp_path / "run", changed)
    plain, strong = (read_json(folder / layout.RESULT) for folder in (study / "run", tmp_path / "run"))
    assert strong["settings"]["mix"] == plain["settings"]["mix"] | {"augment": augment}
    assert plain["data"] == strong["data"]
    assert not same_weights(study / "run", tmp_path / "run")
    data = [fit.datamodule(build_arm(settings), settings) for settings in (run_settings(study), changed)]
    views = [[each.on_after_batch_transfer(raw, 0).images for raw in each.test_dataloader()] for each in data]
    assert all(torch.equal(*pair) for pair in zip(*views, strict=True))


def test_policies_draw_the_same_with_workers_and_after_a_resume(tmp_path: Path, study: Path) -> None:
    changed = run_settings(study)
    changed["mix"]["augment"] = {"policy": "trivial", "erasing": 0.5, "hue": 0.1, "blur": 0.5}
    train(tmp_path / "whole", changed)
    with pytest.raises(StoppedError):
        train(tmp_path / "resumed", changed, callbacks=[Interrupt(2)])
    torch.rand(7)
    train(tmp_path / "resumed", changed)
    changed["num_workers"] = 1
    train(tmp_path / "workers", changed)
    assert same_run(tmp_path / "whole", tmp_path / "resumed")
    assert same_run(tmp_path / "whole", tmp_path / "workers")


@pytest.mark.parametrize("epoch", [0, 1, 3, None], ids=["first", "second", "last", "test"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(study: Path, tmp_path: Path, epoch: int | None) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(folder, run_settings(study), callbacks=[Interrupt(epoch)])
    assert not (folder / layout.RESULT).exists()
    if epoch != 0:  # the last epoch has nothing to train after it, so its optimizer's state is not kept
        states = torch.load(folder / layout.LAST, weights_only=True)["optimizer_states"]
        assert bool(states) is (epoch is not None)
    torch.rand(7)
    epochs = Epochs()
    train(folder, run_settings(study), callbacks=[epochs])
    assert epochs.trained == set(range(4 if epoch is None else epoch, 4))
    assert same_run(study / "run", folder)
    assert contents.read_history(folder)["epoch"] == [0, 1, 2, 3]
    assert read_json(folder / layout.RESULT)["training"]["epochs"] == 4


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        ({layout.LAST: 0.5}, 1),
        ({layout.LAST: 0}, 1),
        ({layout.LAST: None}, 1),
        ({layout.LAST: "flipped"}, 1),
        ({layout.LAST: 0.9, layout.PREVIOUS: "flipped"}, 0),
        ({layout.CHECKPOINT: 0.5}, 0),
    ],
    ids=str,
)
def test_a_checkpoint_that_is_not_whole_costs_an_epoch_and_no_result(
    study: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: dict[str, float | str | None], first: int
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(folder, run_settings(study), callbacks=[Interrupt(2)])
    for name, kind in damage.items():
        path = folder / name
        content = bytearray(path.read_bytes())
        if kind is None:
            path.unlink()
        elif kind == "flipped":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        else:
            path.write_bytes(content[: int(len(content) * float(kind))])
    epochs = Epochs()
    train(folder, run_settings(study), callbacks=[epochs])
    assert min(epochs.trained) == first
    assert same_run(study / "run", folder)
    warned = [name for name in damage if any(name in record.getMessage() for record in caplog.records)]
    assert warned == [name for name, kind in damage.items() if kind is not None]
    assert not (folder / layout.PREVIOUS).exists()


class Command:
    """What a pickle may hold: a call that is made while it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", [layout.LAST, layout.CHECKPOINT])
def test_a_checkpoint_calls_nothing(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # the default of libraries
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(folder, run_settings(study), callbacks=[Interrupt(None)])
    content = torch.load(folder / name, weights_only=True)
    torch.save({**content, "more": Command(tmp_path / "called")}, folder / name)
    checkpoints.seal(folder / name)
    with pytest.raises(UserError, match=rf"{name} cannot be loaded"):
        train(folder, run_settings(study))
    assert not (tmp_path / "called").exists()


def test_a_run_has_a_last_checkpoint_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last, previous = tmp_path / layout.LAST, tmp_path / layout.PREVIOUS
    for text in ("first", "second"):
        checkpoint_files._keep(last, previous)
        last.unlink(missing_ok=True)
        last.write_text(text)
    assert (last.read_text(), previous.read_text()) == ("second", "first")

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    checkpoint_files._keep(last, previous)
    assert previous.read_text() == "second"


def test_a_run_whose_folder_is_removed_ends_at_the_next_epoch(study: Path, tmp_path: Path) -> None:
    class Remove(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 2:
                files: Any = trainer.strategy.checkpoint_io
                files.wait()  # or a file might appear while its folder is being removed
                shutil.rmtree(tmp_path / "run")

    epochs = Epochs()
    with pytest.raises(UserError, match="removed"):
        train(tmp_path / "run", run_settings(study), callbacks=[Remove(), epochs])
    assert epochs.trained == {0, 1, 2}
    assert not (tmp_path / "run" / layout.RESULT).exists()
    assert not (tmp_path / "run" / layout.LAST).exists()


def test_workers_read_what_they_would_have_read_after_a_resume(study: Path, tmp_path: Path) -> None:
    changed = run_settings(study)  # its schedule asks for the loader before the progress of the run is restored
    changed["num_workers"] = 1
    assert changed["model"]["schedule"] == "one_cycle"
    with pytest.raises(StoppedError):
        train(tmp_path / "run", changed, callbacks=[Interrupt(2)])
    train(tmp_path / "run", changed)
    assert same_run(study / "run", tmp_path / "run")


def test_dropout_draws_the_same_after_a_resume(study: Path, tmp_path: Path) -> None:
    changed = run_settings(study)
    changed["model"]["backbone"] = "mobilenet_v3_small"
    train(tmp_path / "whole", changed)
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", changed, callbacks=[Interrupt(2)])
    train(tmp_path / "stopped", changed)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")
    assert max(contents.read_history(tmp_path / "stopped")["seconds"]) < 60


@pytest.mark.parametrize(
    "model",
    [
        {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1, "synthetic_weight": 0.5, "schedule": "cosine"},
        {"train_stages": 0, "unfreeze_every": 1, "schedule": "step", "step_epochs": 1, "gamma": 0.5},
        {"train_stages": 1, "head_batch_norm": True, "head_dropout": 0.5},
        {"pretrain_epochs": 2, "batch_norm": "per_origin"},
        {"pretrain_epochs": 3},
        {"optimizer": "sgd", "momentum": 0.8, "weight_decay": 1e-4, "schedule": "warmup_cosine", "warmup_epochs": 1},
        {"optimizer": "adamw", "ema": 0.9, "class_weights": "balanced", "batch_norm": "per_origin"},
    ],
    ids=str,
)
def test_whatever_the_model_a_stopped_run_goes_on_as_if_it_had_not_been(
    study: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    changed = run_settings(study)
    changed["model"] |= model
    train(tmp_path / "whole", changed)
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", changed, callbacks=[Interrupt(2)])
    torch.rand(7)
    train(tmp_path / "stopped", changed)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")
    assert not same_weights(tmp_path / "whole", study / "run")


def test_classes_of_different_size_weigh_alike_if_they_are_told_to(tmp_path: Path) -> None:
    photos = write_dataset(tmp_path / "photos", train=8)
    for path in sorted((photos / "train" / "dog").iterdir())[4:]:
        path.unlink()
    runs = {}
    for name in ("plain", "balanced"):
        changed = settings(photos, tmp_path)
        changed["model"] |= {"class_weights": "balanced"} if name == "balanced" else {}
        train(tmp_path / name, changed)
        runs[name] = contents.read_history(tmp_path / name)["train/loss"]
    assert not same_weights(tmp_path / "plain", tmp_path / "balanced")
    assert runs["plain"] != runs["balanced"]


class Rates(Callback):
    """Records the learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_a_cosine_schedule_falls_with_every_step(study: Path, tmp_path: Path) -> None:
    """Stepped per epoch it would hardly have moved after 4 of 16 steps."""
    changed = run_settings(study)
    changed["model"]["schedule"] = "cosine"
    rates = Rates()
    train(tmp_path / "run", changed, callbacks=[rates])
    assert rates.seen == pytest.approx([0.01 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)])


def test_a_run_that_was_moved_goes_on_with_its_best_epoch(study: Path, tmp_path: Path) -> None:
    """Nothing in the folder knows where it lies."""
    with pytest.raises(StoppedError):
        train(tmp_path / "here", run_settings(study), callbacks=[Interrupt(3)])
    shutil.move(tmp_path / "here", tmp_path / "there")
    train(tmp_path / "there", run_settings(study))
    assert same_run(study / "run", tmp_path / "there")
    assert not (tmp_path / "here").exists()


def test_the_checkpoint_is_the_first_best_epoch_on_validation(study: Path) -> None:
    curve = contents.read_history(study / "run")["val/accuracy"]
    epoch = int(np.argmax(curve))
    result = read_json(study / "run" / layout.RESULT)
    assert result["val"] == {"epoch": epoch, "accuracy": curve[epoch], "images": 10, "n_selection": 10}
    saved = torch.load(study / "run" / layout.CHECKPOINT, weights_only=True)
    assert saved["epoch"] == epoch
    assert epoch < 3, "the last epoch would be chosen by accident too: let the study differ"
    assert "optimizer_states" not in saved


def test_the_last_epoch_is_tested_if_none_is_chosen(study: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", run_settings(study) | {"selection": "last"})
    curve = contents.read_history(tmp_path / "run")["val/accuracy"]
    assert curve == contents.read_history(study / "run")["val/accuracy"]
    result = read_json(tmp_path / "run" / layout.RESULT)
    assert result["val"] == {"epoch": 3, "accuracy": curve[3], "images": 10, "n_selection": 0}
    assert torch.load(tmp_path / "run" / layout.CHECKPOINT, weights_only=True)["epoch"] == 3
    assert not same_weights(study / "run", tmp_path / "run")


def test_an_arm_is_validated_on_its_own_share(study: Path, tmp_path: Path) -> None:
    changed = run_settings(study) | {"selection": "own_share"}
    train(tmp_path / "run", changed)
    result, curves = read_json(tmp_path / "run" / layout.RESULT), contents.read_history(tmp_path / "run")
    assert (result["val"]["images"], result["val"]["n_selection"], result["counts"]["val"]) == (6, 6, 10)
    assert result["val"]["epoch"] == int(np.argmax(curves["val/accuracy"]))
    classifier = Classifier(["cat", "dog"], **changed["model"])
    classifier.load_state_dict(weights(tmp_path / "run"))
    data = fit.datamodule(build_arm(changed), changed)
    with torch.inference_mode():
        (batch,) = [data.on_after_batch_transfer(batch, 0) for batch in data.val_dataloader()]
        correct = classifier.eval()(batch.images).argmax(dim=1) == batch.labels
    assert len(correct) == 6
    assert float(correct.double().mean()) == pytest.approx(result["val"]["accuracy"], abs=1e-6)


@pytest.mark.parametrize("selection", ["last", "own_share"])
def test_however_it_is_chosen_a_stopped_run_goes_on(study: Path, tmp_path: Path, selection: str) -> None:
    changed = run_settings(study) | {"selection": selection}
    train(tmp_path / "whole", changed)
    for epoch in (2, None):
        with pytest.raises(StoppedError):
            train(tmp_path / "stopped", changed, callbacks=[Interrupt(epoch)])
    train(tmp_path / "stopped", changed)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")


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
    changed = run_settings(study)
    changed["model"] |= {"pretrain_epochs": 2, "train_stages": 0, "lr": 1e-12, "schedule": "constant"}
    origins = Origins()
    train(tmp_path / "run", changed, callbacks=[origins])
    assert origins.seen == {0: {True}, 1: {True}, 2: {False}, 3: {False}}
    assert origins.steps == dict.fromkeys(range(4), 4)
    curve = contents.read_history(tmp_path / "run")["val/accuracy"]
    assert len(set(curve)) == 1
    assert read_json(tmp_path / "run" / layout.RESULT)["val"]["epoch"] == 2
    assert torch.load(tmp_path / "run" / layout.CHECKPOINT, weights_only=True)["epoch"] == 2


def test_the_result_names_no_epoch_of_pretraining(tmp_path: Path) -> None:
    rows = [[epoch, 0, 0, 0, accuracy, 0, 0] for epoch, accuracy in enumerate([0.9, 0.9, 0.1, math.nan, 0.2, 0.2])]
    write_rows(tmp_path / layout.HISTORY, COLUMNS, rows)
    best, last = (EpochImages([sample(0)], choose=choose) for choose in (True, False))
    numbers = {"images": 1, "n_selection": 1}
    assert fit.chosen_epoch(tmp_path, best, first=2) == {"accuracy": 0.2, "epoch": 4, **numbers}
    assert fit.chosen_epoch(tmp_path, best) == {"accuracy": 0.9, "epoch": 0, **numbers}
    numbers["n_selection"] = 0
    assert fit.chosen_epoch(tmp_path, last) == {"accuracy": 0.2, "epoch": 5, **numbers}
    write_rows(tmp_path / layout.HISTORY, COLUMNS, rows[:4])
    assert fit.chosen_epoch(tmp_path, last) == {"accuracy": None, "epoch": 3, **numbers}


@pytest.mark.parametrize(
    ("model", "trainer", "key"),
    [
        ({"pretrain_epochs": 4}, {}, "model.pretrain_epochs=4"),
        ({}, {"limit_val_batches": 0.5}, "trainer.limit_val_batches=0.5"),
        ({}, {"fast_dev_run": True}, "trainer.fast_dev_run=True"),
    ],
)
def test_what_lightning_may_not_do_is_refused_before_training(
    study: Path, tmp_path: Path, model: dict[str, Any], trainer: dict[str, Any], key: str
) -> None:
    changed = run_settings(study)
    changed["model"] |= model
    with pytest.raises(UserError, match=re.escape(key)):
        train(tmp_path / "run", changed, **trainer)
    assert not (tmp_path / "run" / layout.HISTORY).exists()


def test_images_that_the_network_cannot_take_are_found_before_training(study: Path, tmp_path: Path) -> None:
    changed = run_settings(study)
    changed["model"]["backbone"] = "alexnet"
    with pytest.raises(UserError, match=r"model\.backbone=alexnet.*dataset\.image_size=32"):
        train(tmp_path / "run", changed)
    assert not (tmp_path / "run" / layout.HISTORY).exists()


def test_an_arm_without_real_images_is_judged_by_the_normalisations_it_has_trained(study: Path, tmp_path: Path) -> None:
    shared, parted = run_settings(study, real=0, synthetic=1), run_settings(study, real=0, synthetic=1)
    parted["model"]["batch_norm"] = "per_origin"
    train(tmp_path / "shared", shared)
    train(tmp_path / "parted", parted)
    predictions = [(tmp_path / name / layout.PREDICTIONS).read_bytes() for name in ("shared", "parted")]
    assert predictions[0] == predictions[1]


def test_the_checkpoint_is_what_was_tested(study: Path) -> None:
    """Images read, warped and classified again by hand."""
    changed = run_settings(study)
    classifier = Classifier(["cat", "dog"], **changed["model"])
    classifier.load_state_dict(weights(study / "run"))
    data = fit.datamodule(build_arm(changed), changed)
    with torch.inference_mode():
        batches = [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]
        probabilities = torch.cat([classifier.eval()(batch.images).softmax(dim=1) for batch in batches])
    recorded = contents.read_predictions(study / "run").probabilities
    np.testing.assert_allclose(recorded, probabilities.numpy(), atol=1e-5)


def test_test_images_choose_nothing(study: Path, tmp_path: Path) -> None:
    """Other test images: the same weights, other predictions."""
    shutil.copytree(study / "photos", tmp_path / "photos")
    for number, path in enumerate(sorted((tmp_path / "photos" / "test").glob("*/*"))):
        image(1000 + number, (20, 16)).save(path)
    train(tmp_path / "run", settings(tmp_path / "photos", tmp_path))
    assert same_weights(study / "run", tmp_path / "run")
    assert contents.read_history(tmp_path / "run")["val/loss"] == contents.read_history(study / "run")["val/loss"]
    predictions, original = (contents.read_predictions(folder / "run") for folder in (tmp_path, study))
    assert not np.array_equal(predictions.probabilities, original.probabilities)


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
    assert (folder / layout.RESULT).stat().st_mtime_ns == max(path.stat().st_mtime_ns for path in folder.iterdir())
    with (folder / layout.MIX).open(newline="", encoding="utf-8") as stream:
        assert [row["origin"] for row in csv.DictReader(stream)].count("synthetic") == 8


def test_a_resume_with_other_images_is_refused(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(folder, run_settings(study), callbacks=[Interrupt(1)])
    with pytest.raises(UserError, match=r"mix\.csv.*experiment=<name>"):
        train(folder, run_settings(study, real=0.25, synthetic=0.75))
    train(folder, run_settings(study))
    assert same_run(study / "run", folder)


def test_before_the_first_checkpoint_other_images_are_taken(study: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(tmp_path / "run", run_settings(study, real=0.25, synthetic=0.75), callbacks=[Interrupt(0)])
    train(tmp_path / "run", run_settings(study))
    assert same_run(study / "run", tmp_path / "run")


def test_steps_may_end_in_the_middle_of_an_epoch(study: Path, tmp_path: Path) -> None:
    """That epoch goes without validation, so it cannot be chosen."""
    train(tmp_path / "run", run_settings(study), max_epochs=None, max_steps=10)
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
    train(tmp_path / "whole", run_settings(study), **steps)
    with pytest.raises(StoppedError):
        train(tmp_path / "run", run_settings(study), callbacks=[Interrupt(epoch)], **steps)
    train(tmp_path / "run", run_settings(study), **steps)
    assert same_run(tmp_path / "whole", tmp_path / "run")
    assert contents.read_history(tmp_path / "run")["step"] == [4, 8, 10]


def test_a_run_whose_time_is_over_goes_on_with_the_next_epoch(study: Path, tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        with pytest.raises(UserError, match=rf"{attempt} of 4 epochs"):
            train(tmp_path / "run", run_settings(study), max_time={"microseconds": 1})
        assert contents.read_history(tmp_path / "run")["step"] == [4 * epoch for epoch in range(1, attempt + 1)]
        assert not (tmp_path / "run" / layout.RESULT).exists()
    train(tmp_path / "run", run_settings(study), max_time={"microseconds": 1})
    assert same_run(study / "run", tmp_path / "run")


def test_slurm_leaves_no_checkpoint_of_its_own(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("NTASKS", "1"), ("JOB_NAME", "study"), ("JOB_ID", "1"), ("PROCID", "0"), ("LOCALID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    before = signal.getsignal(signal.SIGUSR1)
    handlers: list[object] = []

    class Look(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            handlers.append(signal.getsignal(signal.SIGUSR1))

    train(tmp_path / "run", run_settings(study), callbacks=[Look()])
    assert handlers == [before]
    assert same_run(study / "run", tmp_path / "run")


@pytest.mark.parametrize("accumulated", [1, 3])
def test_the_epochs_to_come_are_counted(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, accumulated: int
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    with caplog.at_level("INFO", "synthaug"):
        train(tmp_path / "run", run_settings(study), max_epochs=2, accumulate_grad_batches=accumulated)
    messages = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    assert [text.partition(", ")[0].partition(": ")[2] for text in messages] == ["epoch 1/2", "epoch 2/2"]


def test_a_run_without_a_whole_epoch_says_so(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.max_steps=2: .* 4 steps"):
        train(tmp_path / "run", run_settings(study), max_epochs=None, max_steps=2)


def by_steps(study: Path, real: float, synthetic: float, **changes: Any) -> dict[str, Any]:
    return {**run_settings(study, real=real, synthetic=synthetic), "budget": "steps", **changes}


def training_of(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = read_json(folder / layout.RESULT)["training"]
    return fields


@pytest.mark.parametrize(
    ("real", "synthetic", "passes", "trainer", "steps", "done"),
    [
        (1, 0, 4.0, {}, 16, 1.0),
        (0.5, 0, 8.0, {}, 16, 1.0),
        (1, 1.5, 1.6, {}, 16, 1.0),
        (0.5, 0, 8.0, {"max_steps": 10}, 10, 10 / 16),
        (1, 1.5, 1.6, {"accumulate_grad_batches": 3}, 8, 1.0),
        (0.5, 0, 8.0, {"accumulate_grad_batches": 3, "max_steps": 5}, 5, 11 / 16),
        (0.5, 0, 8.0, {"limit_train_batches": 3}, 12, 0.75),
        (1, 1.5, 1.6, {"limit_train_batches": 0.5}, 8, 0.5),
    ],
)
def test_with_equal_steps_arms_of_every_size_take_as_many(
    study: Path, tmp_path: Path, real: float, synthetic: float, passes: float, trainer: dict[str, Any], steps: int,
    done: float,
) -> None:  # fmt: skip
    """The baseline has 16 images: 4 batches an epoch, 4 epochs."""
    train(tmp_path / "run", by_steps(study, real, synthetic), **trainer)
    training = training_of(tmp_path / "run")
    epochs = 3 if "max_steps" in trainer else 4
    assert (training["budget"], training["steps"], training["epochs"]) == ("steps", steps, epochs)
    assert training["passes"] == pytest.approx(passes * done, abs=1e-4)


def test_resampled_classes_take_the_steps_of_the_baseline(study: Path, tmp_path: Path) -> None:
    settings = by_steps(study, 1, 0, sampling="balanced")
    assert fit.datamodule(build_arm(settings), settings).train_batches().sampling == "balanced"
    train(tmp_path / "run", settings)
    assert training_of(tmp_path / "run")["steps"] == 16


def test_with_equal_epochs_an_arm_takes_the_steps_of_its_size(study: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", run_settings(study, real=0.5, synthetic=0))
    assert training_of(tmp_path / "run") | {"seconds": 0} == {
        "budget": "epochs", "steps": 8, "epochs": 4, "batch_size": 4, "seconds": 0, "passes": 4.0
    }  # fmt: skip


def test_the_baseline_is_the_same_run_with_both_budgets(study: Path, tmp_path: Path) -> None:
    """Its images fill their batches."""
    train(tmp_path / "epochs", run_settings(study, real=1, synthetic=0))
    train(tmp_path / "steps", by_steps(study, 1, 0))
    assert same_run(tmp_path / "epochs", tmp_path / "steps")


@pytest.mark.parametrize(
    ("epoch", "model"), [(1, {}), (3, {"pretrain_epochs": 2}), (None, {})], ids=["second", "last", "test"]
)
def test_a_stopped_run_of_equal_steps_goes_on_as_if_it_had_not_been(
    study: Path, tmp_path: Path, epoch: int | None, model: dict[str, Any]
) -> None:
    changed = by_steps(study, 0.5, 1.0)
    changed["model"] |= model
    train(tmp_path / "whole", changed)
    changed["num_workers"] = 1
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", changed, callbacks=[Interrupt(epoch)])
    torch.rand(7)
    train(tmp_path / "stopped", changed)
    assert same_run(tmp_path / "whole", tmp_path / "stopped")
    whole, stopped = (training_of(tmp_path / name) | {"seconds": 0} for name in ("whole", "stopped"))
    assert whole == stopped


def test_checkpoints_do_not_pass_through_the_temporary_folder(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on another disk, from which a file does not arrive in one piece."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    train(tmp_path / "run", run_settings(study))
    assert same_run(study / "run", tmp_path / "run")


def test_weights_that_lightning_hands_over_from_its_processes_are_loaded(tmp_path: Path) -> None:
    """The two tests below take a minute; without them, a check of checkpoints refused these."""
    weights = {"layer.weight": torch.ones(2)}
    AtomicCheckpointIO().save_checkpoint(weights, tmp_path / ".temp.ckpt")
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(tmp_path / ".temp.ckpt")["layer.weight"], torch.ones(2))
    files = AtomicCheckpointIO()
    files.save_checkpoint(weights, tmp_path / layout.LAST)
    files.wait()
    with pytest.raises(UserError, match="state_dict"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / layout.LAST)


@pytest.mark.slow
def test_two_processes_share_every_image(study: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", run_settings(study), devices=2, strategy="ddp_spawn")
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
    training = training_of(tmp_path / "run")
    assert (training["steps"], training["epochs"], training["passes"]) == (8, 4, 8)


@pytest.mark.slow
def test_two_processes_train_as_one_does_on_batches_of_the_same_images(study: Path, tmp_path: Path) -> None:
    """Without batch normalisation, which each process does on its part of a batch."""
    changed = run_settings(study)
    changed["model"] |= {"backbone": "timm/test_convnext", "schedule": "constant"}
    train(tmp_path / "one", changed)
    train(tmp_path / "two", changed | {"batch_size": changed["batch_size"] // 2}, devices=2, strategy="ddp_spawn")
    curves = [contents.read_history(tmp_path / name) for name in ("one", "two")]
    assert curves[0]["train/loss"][0] != pytest.approx(curves[0]["train/loss"][-1], rel=0.01)
    assert curves[0]["step"] == curves[1]["step"]
    assert curves[0]["train/loss"] == pytest.approx(curves[1]["train/loss"], rel=1e-4)
    weights_of = [weights(tmp_path / name) for name in ("one", "two")]
    assert all(torch.allclose(weights_of[0][key], weights_of[1][key], atol=1e-4) for key in weights_of[0])
