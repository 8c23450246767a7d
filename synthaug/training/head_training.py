"""The heads of many runs on the features of one frozen network, trained together.

Every head has its own weights, rows, order and selection; a step is one batched product for all of them. What a head
becomes does not depend on the others: products are of each head alone, in double precision, where the order in which
numbers are added changes them by 1e-16 and not by 1e-7, and weights are rounded to single precision at the end.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MetricCollection

from synthaug import progress_bar
from synthaug.data.augment import chosen_views
from synthaug.data.batches import Batches
from synthaug.messages import plural
from synthaug.models import optimizers, schedules
from synthaug.models.classifier import Classifier
from synthaug.runs.epoch_choice import epoch_to_test

_LARGEST = torch.finfo(torch.float32).max  # in which the chosen weights are kept and tested
_MOST_BYTES = 2**30  # of the weights, gradients and moments of the heads that are trained together


@dataclass
class Head:
    """The head of one run, before and after its training.

    Attributes:
        seed: of the run.
        batches: of its training images.
        images: `image_numbers` of their random keys, (n,).
        rows: row of each of their views among the features, (n, views).
        labels: of the training images, (n,).
        masses: what each of them weighs, (n,).
        val_rows: rows of the validation images.
        val_labels: their classes.
        chooses: whether these choose the epoch, or it is the last.
        detailed: whether all metrics are computed after every epoch.
        history: one row per epoch, see `callbacks.COLUMNS`.
        metrics: of each epoch, where they are detailed.
        weight: of the chosen epoch, (classes, D).
        bias: likewise, (classes,).
        problem: why the training failed; empty where it did not.
    """

    seed: int
    batches: Batches
    images: NDArray[np.uint64]
    rows: NDArray[np.int64]
    labels: Tensor
    masses: Tensor
    val_rows: Tensor
    val_labels: Tensor
    chooses: bool
    detailed: bool = False
    history: list[list[float]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    weight: Tensor = field(default_factory=lambda: torch.empty(0))
    bias: Tensor = field(default_factory=lambda: torch.empty(0))
    problem: str = ""


def train_heads(
    heads: Sequence[Head],
    features: Tensor,
    classifier: Classifier,
    epochs: int,
) -> None:
    """Train heads; those with as many steps together.

    Args:
        heads: all with the settings of one classifier.
        features: (rows, D) of all images that they are trained and validated on.
        classifier: with these settings.
        epochs: of the training.
    """
    size = 8 * 4 * len(classifier.classes) * (features.shape[1] + 1)
    together = max(1, _MOST_BYTES // size)
    alike: dict[tuple[int, int], list[Head]] = {}
    for head in heads:
        alike.setdefault((len(head.batches), head.batches.batch_size), []).append(head)
    steps = epochs * sum(len(head.batches) for head in heads)
    with progress_bar.bar(f"training {plural(len(heads), 'head')}", steps, unit="step") as bar:
        for members in alike.values():
            for start in range(0, len(members), together):
                _train(members[start : start + together], features, classifier, epochs, bar)


def _train(
    heads: Sequence[Head],
    features: Tensor,
    classifier: Classifier,
    epochs: int,
    bar: progress_bar.Bar,
) -> None:
    """Train heads that take the same number of steps in batches of the same size."""
    started = time.perf_counter()
    stack = _Stack(heads, features.shape[1], len(classifier.classes))
    per_epoch, size = len(heads[0].batches), heads[0].batches.batch_size
    steps = epochs * per_epoch
    optimizer = optimizers.build_optimizer(
        classifier.optimizer, [stack.weight, stack.bias], classifier.lr, classifier.weight_decay, classifier.momentum
    )
    schedule: dict[str, Any] = schedules.lightning_schedule(
        optimizer, classifier.schedule, classifier.lr, steps, classifier.step_epochs, classifier.gamma,
        classifier.warmup(steps, per_epoch),
    ) or {"scheduler": None, "interval": "never"}  # fmt: skip
    for epoch in range(epochs):
        drawn = [_drawn(head, epoch, classifier.views or 1) for head in heads]
        rows, labels, masses = (
            torch.stack(column).view(len(heads), per_epoch, size) for column in zip(*drawn, strict=True)
        )
        losses = torch.zeros(len(heads), 2, dtype=torch.float64)  # sums of loss times mass, and of mass
        for step in range(per_epoch):
            logits = stack.logits(features.index_select(0, rows[:, step].flatten()).view(len(heads), size, -1))
            each = cross_entropy(
                logits.flatten(0, 1), labels[:, step].flatten(), reduction="none",
                label_smoothing=classifier.objective.label_smoothing,
            ).view(len(heads), size)  # fmt: skip
            mass = masses[:, step]
            loss = (each * mass).sum(dim=1) / mass.sum(dim=1)
            optimizer.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if schedule["interval"] == "step":
                schedule["scheduler"].step()
            losses += torch.stack([loss.detach() * mass.sum(dim=1), mass.sum(dim=1)], dim=1)
            bar.update(len(heads))
        if schedule["interval"] == "epoch":
            schedule["scheduler"].step()
        rate = optimizer.param_groups[0]["lr"]
        for number, head in enumerate(heads):
            train_loss = float(losses[number, 0] / losses[number, 1])
            val = _validate(head, stack.head(number), features, classifier.val_metrics)
            seconds = round((time.perf_counter() - started) / len(heads), 6)  # a head's share of the epoch
            head.history.append([epoch, (epoch + 1) * per_epoch, train_loss, *val, rate, seconds])
            _judge(head, stack.head(number), classifier, epoch)
        started = time.perf_counter()


class _Stack:
    """The weights of heads, in double precision."""

    def __init__(self, heads: Sequence[Head], dimension: int, classes: int) -> None:
        layers = [initial_head(head.seed, dimension, classes) for head in heads]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().double() for layer in layers]))
        # Of one dimension, as biases are: optimizers leave those without weight decay.
        self.bias = nn.Parameter(torch.cat([layer.bias.detach().double() for layer in layers]))
        self._classes = classes

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits (heads, B, classes) of features (heads, B, D)."""
        products = torch.bmm(self.weight, features.double().transpose(1, 2)).transpose(1, 2)
        return products + self.bias.view(-1, 1, self._classes)

    def head(self, number: int) -> tuple[Tensor, Tensor]:
        """Return weight and bias of one head."""
        return self.weight.detach()[number], self.bias.detach().view(-1, self._classes)[number]


def initial_head(seed: int, dimension: int, classes: int) -> nn.Linear:
    """Return a head with random weights.

    Args:
        seed: of the run.
        dimension: of the features.
        classes: number of outputs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(dimension, classes)


def _drawn(head: Head, epoch: int, views: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows of the features, labels and masses of an epoch, batch after batch."""
    head.batches.set_epoch(epoch)
    draws, places = head.batches.drawn().T
    shown = chosen_views(head.seed, draws, head.images[places], views)
    images = torch.from_numpy(places)
    return torch.from_numpy(head.rows[places, shown]), head.labels[images], head.masses[images]


def _validate(
    head: Head, weights: tuple[Tensor, Tensor], features: Tensor, metrics: MetricCollection
) -> tuple[float, float]:
    """Return loss and accuracy on the validation images."""
    logits = nn.functional.linear(features.index_select(0, head.val_rows).double(), *weights)
    loss = float(cross_entropy(logits, head.val_labels))
    if head.detailed:
        metrics.reset()
        metrics.update(logits.softmax(dim=1).float(), head.val_labels)
        values = metrics.compute()
        head.metrics.append({name: float(value) for name, value in values.items() if name != "class_accuracy"})
    return loss, float((logits.argmax(dim=1) == head.val_labels).double().mean())


def _judge(head: Head, weights: tuple[Tensor, Tensor], classifier: Classifier, epoch: int) -> None:
    """Keep the weights of the epoch that is to be tested, as far as is known; say why a head has failed."""
    for split, value in (("train", head.history[-1][2]), ("val", head.history[-1][3])):
        if not head.problem and not abs(value) <= _LARGEST:
            head.problem = classifier.divergence(split, epoch, value)
    accuracies = [row[4] for row in head.history]
    if epoch_to_test(accuracies, classifier.pretrain_epochs, not head.chooses) == epoch:
        head.weight, head.bias = (value.float() for value in weights)
