"""The LightningModule: it learns, normalises, keeps to its schedule, stops on NaN, and its metrics are right."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_images import write_dataset
from made_up_study import NETWORK, settings, train
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from synthaug import results
from synthaug.backbones import IMAGENET_MEAN, IMAGENET_STD
from synthaug.classifier import Classifier
from synthaug.data.datamodule import Batch
from synthaug.errors import UserError


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

    own = Classifier(["a", "b"], backbone=NETWORK, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    own.network = torch.nn.Identity()
    assert bool((own(white) == 2).all())


def test_a_constant_rate_stays_and_one_cycle_rises_and_falls(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    seen = {}
    for schedule in ("constant", "one_cycle"):
        given = settings(root, tmp_path)
        given["model"]["schedule"] = schedule
        rates = Rates()
        train(tmp_path / schedule, given, callbacks=[rates])
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
    with pytest.raises(UserError, match=r"^model\.schedule=cosine: there are 'constant' and 'one_cycle'"):
        Classifier(["a", "b"], backbone=NETWORK, schedule="cosine")


@pytest.mark.parametrize("batch", [0, 2], ids=["in the middle", "after the last step"])
def test_nan_stops_the_run_with_a_message(tmp_path: Path, batch: int) -> None:
    given = settings(write_dataset(tmp_path / "photos"), tmp_path)
    with pytest.raises(UserError, match=r"Training diverged: val/loss of epoch 1 is nan.*model.lr=0.01"):
        train(tmp_path / "run", given, callbacks=[Poison(1, batch)])
    assert not (tmp_path / "run" / results.RESULT).exists()
    last = torch.load(tmp_path / "run" / results.LAST, weights_only=True)
    assert last["epoch"] == 0
    assert all(bool(value.isfinite().all()) for value in last["state_dict"].values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    root = write_dataset(folder / "photos", classes=("cat", "dog", "owl"), test=11)
    given = settings(root, folder)
    given["trainer"]["max_epochs"] = 2
    train(folder / "run", given)
    return folder / "run"


def test_metrics_are_those_of_the_predictions(finished: Path) -> None:
    predictions, result = results.read_predictions(finished), results.read_json(finished / results.RESULT)["test"]
    labels, guesses, probabilities = predictions.labels, predictions.predicted, predictions.probabilities
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
    there = metrics.compute()["calibration_error"].item()
    assert there == pytest.approx(calibration_error(labels, probabilities), abs=1e-6)
    assert there != pytest.approx(calibration_error(labels, probabilities, bins=10), abs=1e-3)


def test_predictions_list_every_test_image_once(finished: Path) -> None:
    predictions = results.read_predictions(finished)
    paths = [Path(path) for path in predictions.paths]
    photos = finished.parent / "photos"
    assert sorted(paths) == sorted((photos / "test").glob("*/*"))
    assert [predictions.classes[label] for label in predictions.labels] == [path.parent.name for path in paths]
