"""Metrics of evaluation that count by class in memory of images × classes.

With deterministic algorithms torchmetrics counts a batch in images × classes² numbers: a gigabyte for 128 images of
1,000 classes.
"""

import torch
from torch import Tensor
from torchmetrics import Accuracy, CalibrationError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score


def class_metrics(num_classes: int) -> MetricCollection:
    """Return the metrics of evaluation, which are updated with probabilities (B, classes) and labels (B,).

    Args:
        num_classes: number of classes.
    """
    return MetricCollection(
        {
            "accuracy": Accuracy(task="multiclass", num_classes=num_classes),
            "macro_f1": _MacroF1(num_classes=num_classes, average="macro"),
            "calibration_error": CalibrationError(task="multiclass", num_classes=num_classes, n_bins=15),
            "class_accuracy": _ClassAccuracy(num_classes=num_classes, average=None),
        }
    )


class _MacroF1(MulticlassF1Score):
    def update(self, preds: Tensor, target: Tensor) -> None:
        self._update_state(*_counts(preds, target))


class _ClassAccuracy(MulticlassAccuracy):
    def update(self, preds: Tensor, target: Tensor) -> None:
        self._update_state(*_counts(preds, target))


def _counts(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the true positives, false positives, true negatives and false negatives of each class."""
    classes = torch.arange(probabilities.shape[1], device=labels.device)
    predicted, actual = (numbers[:, None] == classes for numbers in (probabilities.argmax(dim=1), labels))
    right, claimed, present = ((predicted & actual).sum(dim=0), predicted.sum(dim=0), actual.sum(dim=0))
    return right, claimed - right, len(labels) - claimed - present + right, present - right
