"""The LightningModule: a backbone with a new head, its loss, learning rate and metrics."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import Accuracy, CalibrationError, F1Score, MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from synthaug.backbones import build_backbone
from synthaug.data.datamodule import Batch
from synthaug.errors import UserError

# Statistics of ImageNet, which all pretrained torchvision classifiers expect.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Classifier(LightningModule):
    """An image classifier trained by Adam and cross entropy.

    Args:
        classes: names; the new head has one output for each.
        seed: of what the network itself draws at random while it trains.
        backbone: a classifier of `torchvision.models` by name, or of timm as "timm/<name>".
        weights: None trains from scratch; "DEFAULT" or another entry of the model's weights enum
            (torchvision), or "DEFAULT" (timm: pretrained=True); or the path of a state dict.
        lr: learning rate; the peak of a one-cycle schedule.
        schedule: "constant", or "one_cycle" (Smith, Topin 2018; PyTorch's OneCycleLR over all steps).
        weight_decay: of Adam.
        mean, std: per channel, of images in [0, 1]; ImageNet's by default.

    Raises:
        UserError: unknown backbone, weights or schedule, with what there is; weights that cannot be fetched.
    """

    def __init__(
        self,
        classes: Sequence[str],
        seed: int = 0,
        backbone: str = "resnet18",
        weights: str | None = None,
        lr: float = 1e-4,
        schedule: str = "constant",
        weight_decay: float = 0.0,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if schedule not in ("constant", "one_cycle"):
            raise UserError(f"model.schedule={schedule}: there are 'constant' and 'one_cycle'.")
        num_classes = len(classes)
        self.classes = list(classes)
        self.seed = seed
        self.lr = lr
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.network = build_backbone(backbone, weights, num_classes)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.loss = nn.CrossEntropyLoss()
        metrics = MetricCollection(
            {
                "accuracy": Accuracy(task="multiclass", num_classes=num_classes),
                "macro_f1": F1Score(task="multiclass", num_classes=num_classes, average="macro"),
                "calibration_error": CalibrationError(task="multiclass", num_classes=num_classes, n_bins=15),
                "class_accuracy": MulticlassAccuracy(num_classes=num_classes, average=None),
            }
        )
        # Metrics of its own for each split: Lightning may validate while a training epoch is open.
        self.val_metrics, self.test_metrics = metrics.clone(), metrics.clone()
        # By default the mean would leave NaNs out.
        self.train_loss, self.val_loss, self.test_loss = (MeanMetric(nan_strategy="disable") for _ in range(3))
        self.predicted: list[tuple[Tensor, Tensor]] = []  # (rows, probabilities) of this process's test images

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of float images (B, 3, S, S) in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss: Tensor = self.loss(self(batch.images), batch.labels)
        self.train_loss.update(loss.detach(), weight=len(batch.labels))
        return loss

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # What a network draws itself (dropout, stochastic depth) is tied to (seed, epoch), so that a resumed run draws
        # what an uninterrupted one would have drawn. Not in on_train_epoch_start: Lightning leaves that hook out of
        # the first epoch after a resume.
        if batch_idx == 0:
            torch.manual_seed((self.seed << 20) + self.current_epoch)

    def on_train_epoch_end(self) -> None:
        self._log_loss("train", self.train_loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, self.val_metrics, self.val_loss)

    def on_validation_epoch_end(self) -> None:
        self._log_loss("val", self.val_loss)
        self._log_metrics("val", self.val_metrics)

    def on_test_epoch_start(self) -> None:
        self.predicted = []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self._evaluate(batch, self.test_metrics, self.test_loss)
        self.predicted.append((batch.rows.cpu(), logits.softmax(dim=1).double().cpu()))

    def on_test_epoch_end(self) -> None:
        self._log_loss("test", self.test_loss)
        self._log_metrics("test", self.test_metrics)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        if self.schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _evaluate(self, batch: Batch, metrics: MetricCollection, loss: MeanMetric) -> Tensor:
        logits: Tensor = self(batch.images)
        metrics.update(logits.softmax(dim=1), batch.labels)
        loss.update(self.loss(logits, batch.labels), weight=len(batch.labels))
        return logits

    def _log_loss(self, split: str, metric: MeanMetric) -> None:
        value: Tensor = metric.compute()
        metric.reset()
        if not torch.isfinite(value):
            # Lightning would train on, and a network of NaNs scores like chance without a word.
            raise UserError(
                f"Training diverged: {split}/loss of epoch {self.current_epoch} is {float(value)}. Lower the learning "
                f"rate (model.lr={self.lr:g}) or look at the training images; overwrite=true begins the run afresh."
            )
        self.log(f"{split}/loss", value, sync_dist=True)

    def _log_metrics(self, split: str, metrics: MetricCollection) -> None:
        values = metrics.compute()
        metrics.reset()
        by_class = values.pop("class_accuracy")
        if split == "test":
            values |= {f"class_accuracy/{name}": by_class[i] for i, name in enumerate(self.classes)}
        # Every process holds the same totals already; sync_dist keeps Lightning from warning that it may not.
        self.log_dict({f"{split}/{name}": value for name, value in values.items()}, sync_dist=True)
