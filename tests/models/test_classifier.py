"""The LightningModule: it learns, normalises, keeps to its schedule, stops on NaN, and its metrics are right."""

import contextlib
import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from synthaug.data.datamodule import Batch
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.models.backbones import IMAGENET_MEAN, IMAGENET_STD, build_backbone
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.training.prediction import classify
from tests.factories.commands import NETWORK, settings, train
from tests.factories.images import write_dataset


class Rates(Callback):
    """Records the learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


class Poison(Callback):
    """Puts a NaN into the network in the middle of an epoch, or after its last step."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.when = (epoch, batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == self.when:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(math.nan)


@pytest.mark.parametrize(
    ("arguments", "is_fused"),
    [({}, True), ({"gradient_clip_val": 1.0}, True), ({"gradient_clip_val": 1.0, "precision": "bf16-mixed"}, False)],
)
def test_a_step_is_one_kernel_unless_gradients_are_clipped_in_mixed_precision(
    tmp_path: Path, arguments: dict[str, Any], is_fused: bool
) -> None:
    batch = Batch(torch.rand(4, 3, 32, 32), torch.arange(4) % 2, torch.zeros(4, dtype=torch.bool), torch.arange(4))
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "accelerator": "cpu",
    }
    trainer = Trainer(max_steps=1, default_root_dir=tmp_path, **quiet, **arguments)
    batches: Any = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    with warnings.catch_warnings(action="ignore"):  # of Lightning, about its number of workers
        trainer.fit(Classifier(["a", "b"], backbone=NETWORK), batches, batches)
    assert trainer.optimizers[0].param_groups[0]["fused"] is (is_fused or None)


def test_it_learns_a_handful_of_images_by_heart() -> None:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(12, 3, 32, 32, generator=generator), torch.arange(12) % 3
    torch.manual_seed(0)
    classifier = Classifier(["a", "b", "c"], backbone=NETWORK)
    batch = Batch(images, labels, torch.zeros(12, dtype=torch.bool), torch.arange(12))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss = classifier.training_step(batch, step)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.9  # about log 3
    assert losses[-1] < 0.05
    assert bool((classifier(images).argmax(dim=1) == labels).all())


def test_the_network_sees_normalised_images() -> None:
    classifier = Classifier(["a", "b"], backbone=NETWORK)
    seen: list[Tensor] = []
    classifier.network = torch.nn.Identity()
    classifier.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    white = torch.ones(1, 3, 2, 2)
    classifier(white)
    classifier(torch.tensor(IMAGENET_MEAN)[None, :, None, None].expand(1, 3, 2, 2))
    expected = (1 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    np.testing.assert_allclose(seen[0][0, :, 0, 0].numpy(), expected, rtol=1e-6)
    assert bool((seen[1] == 0).all())

    configured = Classifier(["a", "b"], backbone=NETWORK, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    configured.network = torch.nn.Identity()
    assert bool((configured(white) == 2).all())


def test_a_constant_rate_stays_and_one_cycle_rises_and_falls(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    seen = {}
    for schedule in ("constant", "one_cycle"):
        run_settings = settings(root, tmp_path)
        run_settings["model"]["schedule"] = schedule
        rates = Rates()
        train(tmp_path / schedule, run_settings, callbacks=[rates])
        seen[schedule] = rates.seen
    assert seen["constant"] == [0.01] * 12
    rates_seen = seen["one_cycle"]
    peak = rates_seen.index(max(rates_seen))
    assert len(rates_seen) == 12
    assert rates_seen[0] == pytest.approx(0.01 / 25)
    assert max(rates_seen) <= 0.01
    assert 2 <= peak <= 4
    assert rates_seen[: peak + 1] == sorted(rates_seen[: peak + 1])
    assert rates_seen[peak:] == sorted(rates_seen[peak:], reverse=True)
    assert rates_seen[-1] < 1e-6


def test_an_unknown_schedule_is_answered_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"model\.schedule=linear.*constant.*cosine"):
        Classifier(["a", "b"], backbone=NETWORK, schedule="linear")


# --- input -------------------------------------------------------------------------------------------------


def normalised(classifier: Classifier) -> tuple[list[float], list[float]]:
    return classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()


def test_statistics_of_the_input_come_with_the_weights(tmp_path: Path) -> None:
    """timm's small transformer was trained on others than ImageNet's."""
    file = tmp_path / "weights.pth"
    torch.save(build_backbone("timm/test_vit", None, 1000).state_dict(), file)
    pretrained = Classifier(["a", "b"], backbone="timm/test_vit", weights=str(file))
    assert normalised(pretrained) == ([0.5] * 3, [0.5] * 3)
    scratch = Classifier(["a", "b"], backbone="timm/test_vit")
    for values, expected in zip(normalised(scratch), (IMAGENET_MEAN, IMAGENET_STD), strict=True):
        assert values == pytest.approx(expected)
    configured = Classifier(["a", "b"], backbone="timm/test_vit", weights=str(file), std=(0.25, 0.25, 0.25))
    assert normalised(configured) == ([0.5] * 3, [0.25] * 3)


def state_of(classifier: Classifier) -> dict[str, Any]:
    return {
        "random": torch.get_rng_state(),
        "modes": [module.training for module in classifier.modules()],
        **{key: value.clone() for key, value in classifier.state_dict().items()},
    }


@pytest.mark.parametrize("settings", [{}, {"train_stages": 1}, {"batch_norm": "per_origin"}])
def test_trying_a_network_out_leaves_no_trace(settings: dict[str, Any]) -> None:
    classifier = Classifier(["a", "b"], backbone=NETWORK, **settings)
    classifier.network.register_forward_hook(lambda *_: torch.rand(2, 2))  # some draw while they are evaluated
    before = state_of(classifier)
    classifier.check_image_size(32)
    after = state_of(classifier)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]) if isinstance(value, Tensor) else value == after[key], key
    assert all(parameter.grad is None for parameter in classifier.parameters())


class Remembering(torch.nn.Module):
    """Keeps what its first call computed, as some networks do with positions."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.kept: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = images.mean()
        logits: Tensor = self.network(images)
        return logits * self.kept


def test_a_network_that_was_tried_out_can_be_trained() -> None:
    classifier = Classifier(["a", "b"], backbone=NETWORK)
    classifier.network = Remembering(classifier.network)
    classifier.check_image_size(32)
    torch.autograd.backward(classifier.training_step(made_up_batch(), 0))
    assert all(parameter.grad is not None for parameter in classifier.parameters())


@pytest.mark.parametrize(
    ("backbone", "size", "usual"),
    [("vit_b_32", 32, 224), ("timm/vit_tiny_patch16_224", 32, 224), ("alexnet", 32, 224), ("timm/test_vit", 161, 160)],
)
def test_images_that_a_network_cannot_take_are_found_out(backbone: str, size: int, usual: int) -> None:
    classifier = Classifier(["a", "b"], backbone=backbone)
    with pytest.raises(UserError) as caught:
        classifier.check_image_size(size)
    message = str(caught.value)
    assert message.startswith(f"model.backbone={backbone} cannot classify images of dataset.image_size={size} (")
    assert message.endswith(
        f"It was made for {usual}: set dataset.image_size={usual}, or choose another model.backbone."
    )
    assert classifier.training
    classifier.check_image_size(usual)


def test_a_batch_of_one_image_that_has_no_variance_is_found_out() -> None:
    state = Classifier(["a", "b"], backbone="resnet18").state_dict()
    classifier = Classifier(["a", "b"], backbone="resnet18")
    classifier.load_state_dict(state)
    with pytest.raises(UserError, match=r"batch_size=1.*raise batch_size"):
        classifier.check_batch_size(1, 32)
    classifier.check_batch_size(2, 32)
    classifier.check_batch_size(1, 64)
    assert all(torch.equal(value, classifier.state_dict()[name]) for name, value in state.items())
    Classifier(["a", "b"], backbone="vgg11", batch_norm="shared").check_batch_size(1, 32)


def test_an_answer_that_is_no_logits_is_found_out() -> None:
    classifier = Classifier(["a", "b"], backbone=NETWORK)
    classifier.network = torch.nn.Flatten()
    with pytest.raises(UserError, match=r"\(2, 76800\).*model\.backbone"):
        classifier.check_image_size(160)


# --- what trains -------------------------------------------------------------------------------------------


def made_up_batch(size: int = 6, synthetic: int = 3, side: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(size, 3, side, side, generator=generator)
    return Batch(images, torch.arange(size) % 2, torch.arange(size) < synthetic, torch.arange(size))


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """First parts of the names of what differs, statistics and counters among them."""
    assert before.keys() == after.keys()
    return {".".join(key.split(".")[:2]) for key, value in before.items() if not torch.equal(value, after[key])}


class Snapshots(Callback):
    """Records, for each epoch, what it changed, and how much the optimizer holds."""

    def __init__(self) -> None:
        self.changed: list[set[str]] = []
        self.held: list[int] = []
        self.before: dict[str, Tensor] = {}

    def _state(self, module: LightningModule) -> dict[str, Tensor]:
        return {key: value.clone() for key, value in module.state_dict().items() if key.startswith("network")}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before = self._state(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        after = self._state(pl_module)
        self.changed.append(moved(self.before, after))
        self.held.append(sum(len(group["params"]) for group in trainer.optimizers[0].param_groups))
        self.before = after


RESNET = "timm/test_resnet"
LAYERS = [f"network.layer{number}" for number in range(1, 5)]


def test_a_probe_moves_nothing_but_the_head(tmp_path: Path) -> None:
    """Weights, and statistics of normalisations too, although Lightning turns training mode on and off."""
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    run_settings["model"] |= {"backbone": RESNET, "train_stages": 0}
    seen = Snapshots()
    train(tmp_path / "run", run_settings, callbacks=[seen])
    assert seen.changed == [{"network.fc"}] * 4
    assert seen.held == [2] * 4


def test_stages_join_in_from_the_last(tmp_path: Path) -> None:
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    run_settings["model"] |= {"backbone": RESNET, "train_stages": 1, "unfreeze_every": 1}
    seen = Snapshots()
    train(tmp_path / "run", run_settings, callbacks=[seen])
    assert seen.changed == [{"network.fc", *LAYERS[-count:]} for count in (1, 2, 3, 4)]
    assert len(set(seen.held)) == 1


def test_unfreezing_begins_with_the_head() -> None:
    classifier = Classifier(["a", "b"], backbone=RESNET, unfreeze_every=2)
    assert classifier.freezing is not None
    assert [classifier.freezing.trained(epoch) for epoch in range(12)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_what_stands_before_the_head_trains_with_it(tmp_path: Path) -> None:
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    run_settings["model"] |= {"backbone": RESNET, "train_stages": 0, "head_batch_norm": True, "head_dropout": 0.5}
    seen = Snapshots()
    train(tmp_path / "run", run_settings, callbacks=[seen])
    assert seen.changed == [{"network.fc"}] * 4
    assert seen.held == [4] * 4


def test_a_probe_of_a_transformer_moves_nothing_but_the_head(tmp_path: Path) -> None:
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    run_settings["model"] |= {"backbone": "timm/test_vit", "train_stages": 0, "image_size": 32, "optimizer": "sgd"}
    seen = Snapshots()
    train(tmp_path / "run", run_settings, callbacks=[seen])
    assert seen.changed == [{"network.head"}] * 4


def test_a_warm_up_of_the_whole_run_is_refused(tmp_path: Path) -> None:
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    run_settings["model"] |= {"schedule": "warmup_cosine", "warmup_epochs": 4}
    with pytest.raises(UserError, match=r"^model\.warmup_epochs=4: the run has 12 steps"):
        train(tmp_path / "run", run_settings)


# --- the average of the weights ----------------------------------------------------------------------------


class Averages(Callback):
    """Computes the average again, after every optimizer step."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.expected: dict[str, Tensor] = {}

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.catch_up(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.catch_up(trainer, pl_module)
        assert isinstance(pl_module, Classifier)
        assert pl_module.average is not None
        assert int(pl_module.average.n_averaged) == trainer.global_step == self.steps
        for name, value in pl_module.average.module.named_parameters():
            torch.testing.assert_close(value, self.expected[name])

    def catch_up(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.steps:
            return
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        assert isinstance(pl_module, Classifier)
        for name, value in pl_module.network.named_parameters():
            weights = value.detach().clone()
            self.expected[name] = keep * self.expected[name] + (1 - keep) * weights if self.steps else weights
        self.steps += 1


@pytest.mark.parametrize("batches", [1, 2])
def test_the_average_is_what_is_validated_tested_and_kept(tmp_path: Path, batches: int) -> None:
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    run_settings["model"] |= {"ema": 0.8}
    train(tmp_path / "run", run_settings, callbacks=[Averages(0.8)], accumulate_grad_batches=batches)
    checkpoint = tmp_path / "run" / layout.CHECKPOINT
    classifier = Classifier.load_from_checkpoint(checkpoint, weights_only=True).eval()
    recorded = contents.read_predictions(tmp_path / "run")
    shown = classify(classifier, [Path(path) for path in recorded.paths])
    np.testing.assert_allclose(shown.probabilities, recorded.probabilities, atol=1e-5)
    classifier.average = None
    plain = classify(classifier, [Path(path) for path in recorded.paths])
    assert np.abs(plain.probabilities - recorded.probabilities).max() > 1e-3


# --- batch normalisation per origin ------------------------------------------------------------------------


def test_real_images_are_judged_by_their_own_normalisations() -> None:
    classifier = Classifier(["a", "b"], backbone=RESNET, batch_norm="per_origin")
    batch = made_up_batch()
    for step in range(3):
        classifier.training_step(batch, step)
    logits = classifier.eval()(batch.images)
    with torch.no_grad():
        for name, value in classifier.named_parameters():
            if ".synthetic." in name:
                value.fill_(math.nan)
    assert torch.equal(classifier(batch.images), logits)


def test_without_real_images_it_is_judged_by_the_synthetic_ones(tmp_path: Path) -> None:
    classifier = Classifier(["a", "b"], backbone=RESNET, batch_norm="per_origin")
    only = made_up_batch(synthetic=6)
    classifier.training_step(only, 0)
    with torch.no_grad():
        for name, value in classifier.named_parameters():
            if ".real." in name:
                value.fill_(math.nan)
    assert bool(classifier.eval()(only.images).isfinite().all())
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    again = Classifier(["a", "b"], backbone=RESNET, batch_norm="per_origin")
    again.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    assert bool(again.eval()(only.images).isfinite().all())


def test_one_batch_norm_for_all_is_the_default_and_leaves_the_checkpoint_as_it_was() -> None:
    keys = Classifier(["a", "b"], backbone=RESNET).state_dict().keys()
    assert keys == {f"network.{key}" for key in build_backbone(RESNET, None, 2).state_dict()}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_norm": "group"}, "model.batch_norm=group: there are 'shared' and 'per_origin'"),
        (
            {"batch_norm": "per_origin", "mixup": 0.2, "cutmix": 1.0},
            "model.batch_norm=per_origin: with model.mixup=0.2 and model.cutmix=1 an image is part real",
        ),
        ({"backbone": "timm/test_vit", "batch_norm": "per_origin"}, "model.batch_norm=per_origin: this network has no"),
        ({"train_stages": 9}, "model.train_stages=9: this network has 5 stages"),
        ({"step_epochs": 2}, "model.step_epochs=2: only for model.schedule=step"),
        (
            {"optimizer": "sgd!", "schedule": "linear", "class_weights": "inverse", "batch_norm": "group"},
            r"Settings of .*\n  - model.optimizer=sgd!.*\n  - model.schedule=.*\n  - model.batch_norm=.*\n  - model.cl",
        ),
        ({"backbone": "squeezenet1_1", "head_dropout": 0.5}, "model.head_batch_norm and model.head_dropout stand"),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Classifier(["a", "b"], **{"backbone": RESNET, **values})


@pytest.mark.parametrize(
    ("values", "strategy", "message"),
    [
        ({"unfreeze_every": 1}, {}, r"^model\.unfreeze_every: .* trainer\.strategy=ddp_find_unused_parameters_true"),
        ({"batch_norm": "per_origin"}, {}, r"^model\.batch_norm=per_origin: .* or trainer\.devices=1"),
        ({"batch_norm": "per_origin"}, {"find_unused_parameters": True}, ""),
        ({"train_stages": 0}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_several_processes_must_expect_missing_gradients(
    values: dict[str, Any], strategy: dict[str, Any], message: str
) -> None:
    classifier = Classifier(["a", "b"], backbone=RESNET, **values)
    trainer = SimpleNamespace(world_size=2, strategy=DDPStrategy(**strategy))
    classifier.trainer = trainer  # type: ignore[assignment]
    with pytest.raises(UserError, match=message) if message else contextlib.nullcontext():
        classifier.on_fit_start()


def test_statistics_of_several_processes_together_are_refused_per_origin() -> None:
    classifier = Classifier(["a", "b"], backbone=RESNET, batch_norm="per_origin")
    convert: Any = torch.nn.SyncBatchNorm.convert_sync_batchnorm
    classifier.network = convert(classifier.network)
    strategy = DDPStrategy(find_unused_parameters=True)
    classifier.trainer = SimpleNamespace(world_size=2, strategy=strategy)  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"^trainer\.sync_batchnorm=true: with model\.batch_norm=per_origin"):
        classifier.on_fit_start()


# --- what goes wrong, and what is measured -----------------------------------------------------------------


@pytest.mark.parametrize(("batch", "split"), [(0, "train"), (2, "val")], ids=["in the middle", "after the last step"])
def test_nan_stops_the_run_with_a_message(tmp_path: Path, batch: int, split: str) -> None:
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    with pytest.raises(UserError, match=rf"Training diverged: {split}/loss of epoch 1 is nan.*model.lr=0.01"):
        train(tmp_path / "run", run_settings, callbacks=[Poison(1, batch)])
    assert not (tmp_path / "run" / layout.RESULT).exists()
    last = torch.load(tmp_path / "run" / layout.LAST, weights_only=True)
    assert last["epoch"] == 0
    assert all(bool(value.isfinite().all()) for value in last["state_dict"].values())


class SpoiledImage(Callback):
    """Makes the pixels of one image of a split no numbers, and remembers the batch it comes in."""

    def __init__(self, split: str, row: int) -> None:
        self.split, self.row = split, row
        self.batch: list[str] = []

    def spoil(self, trainer: Trainer, batch: Batch) -> None:
        if self.row in batch.rows.tolist():
            batch.images[batch.rows == self.row] = math.nan
            images = getattr(trainer.datamodule, self.split)  # type: ignore[attr-defined]
            self.batch = self.batch or [images[row].file for row in batch.rows.tolist()]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if self.split == "train":
            self.spoil(trainer, batch)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, *_: int) -> None:
        if self.split == "val":
            self.spoil(trainer, batch)


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_images_of_the_batch_that_spoils_the_loss_are_named(tmp_path: Path, split: str) -> None:
    spoiled = SpoiledImage(split, row=3)
    run_settings = settings(write_dataset(tmp_path / "photos"), tmp_path)
    with pytest.raises(UserError, match=rf"{split}/loss of epoch 0 is nan, after .* in step \d") as raised:
        train(tmp_path / "run", run_settings, callbacks=[spoiled], num_sanity_val_steps=0)
    assert spoiled.batch
    assert all(file in str(raised.value) for file in spoiled.batch)
    assert not (tmp_path / "run" / layout.RESULT).exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    root = write_dataset(folder / "photos", classes=("cat", "dog", "owl"), test=11)
    run_settings = settings(root, folder)
    run_settings["trainer"]["max_epochs"] = 2
    train(folder / "run", run_settings)
    return folder / "run"


def test_metrics_are_those_of_the_predictions(finished: Path) -> None:
    predictions, result = contents.read_predictions(finished), read_json(finished / layout.RESULT)["test"]
    labels, guesses = predictions.labels, predictions.predicted
    probabilities = predictions.probabilities.astype(np.float64)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert guesses.tolist() == probabilities.argmax(axis=1).tolist()
    assert len(set(guesses.tolist())) > 1  # or the scores below would say little
    scores, by_class = [], {}
    for index, name in enumerate(predictions.classes):
        hits = int(((guesses == index) & (labels == index)).sum())
        by_class[name] = hits / int((labels == index).sum())
        scores.append(2 * hits / int((guesses == index).sum() + (labels == index).sum()))
    assert result["accuracy"] == pytest.approx((guesses == labels).mean(), abs=1e-6)
    assert result["class_accuracy"] == pytest.approx(by_class, abs=1e-6)
    assert result["macro_f1"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert result["calibration_error"] == pytest.approx(calibration_error(labels, probabilities), abs=1e-5)
    assert result["loss"] == pytest.approx(-np.log(probabilities[np.arange(len(labels)), labels]).mean(), abs=1e-4)


def calibration_error(labels: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = 15) -> float:
    """Naeini, Cooper, Hauskrecht 2015: the gap between confidence and accuracy, weighted over equal bins."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        (place == b).mean() * abs(confidence[place == b].mean() - right[place == b].mean()) for b in np.unique(place)
    ]
    return float(sum(gaps))


def test_the_calibration_error_is_over_fifteen_bins() -> None:
    draws = np.random.default_rng(0)
    probabilities = draws.dirichlet([1, 1, 1], size=300)
    labels = np.array([draws.choice(3, p=p) for p in probabilities])  # so that it errs to both sides
    metrics = Classifier(["a", "b", "c"], backbone=NETWORK).test_metrics
    metrics.update(torch.from_numpy(probabilities), torch.from_numpy(labels))
    error = metrics.compute()["calibration_error"].item()
    assert error == pytest.approx(calibration_error(labels, probabilities), abs=1e-6)
    assert error != pytest.approx(calibration_error(labels, probabilities, bins=10), abs=1e-3)


def test_predictions_list_every_test_image_once(finished: Path) -> None:
    predictions = contents.read_predictions(finished)
    paths = [Path(path) for path in predictions.paths]
    photos = finished.parent / "photos"
    assert sorted(paths) == sorted((photos / "test").glob("*/*"))
    assert [predictions.classes[label] for label in predictions.labels] == [path.parent.name for path in paths]
