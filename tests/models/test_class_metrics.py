"""Metrics of many classes: those of torchmetrics, in less memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics import Accuracy, CalibrationError, F1Score, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from synthaug.models.class_metrics import class_metrics


def plain_metrics(num_classes: int) -> MetricCollection:
    return MetricCollection(
        {
            "accuracy": Accuracy(task="multiclass", num_classes=num_classes),
            "macro_f1": F1Score(task="multiclass", num_classes=num_classes, average="macro"),
            "calibration_error": CalibrationError(task="multiclass", num_classes=num_classes, n_bins=15),
            "class_accuracy": MulticlassAccuracy(num_classes=num_classes, average=None),
        }
    )


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the largest tensor that any operation makes, in elements."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 2**16))
def test_they_are_those_of_torchmetrics_to_the_bit(num_classes: int, batches: list[int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    ours, plain = class_metrics(num_classes), plain_metrics(num_classes)
    for size in batches:
        probabilities = torch.rand(size, num_classes, generator=random).softmax(dim=1)
        labels = torch.randint(num_classes, (size,), generator=random)
        ours.update(probabilities, labels)
        plain.update(probabilities, labels)
    values, expected = ours.compute(), plain.compute()
    assert values.keys() == expected.keys()
    assert all(torch.equal(values[name], expected[name]) for name in expected)


@pytest.mark.parametrize("is_deterministic", [False, True])
def test_a_batch_takes_memory_of_images_times_classes(is_deterministic: bool) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(is_deterministic)
    try:
        with Largest() as largest:  # type: ignore[no-untyped-call]
            class_metrics(300).update(torch.rand(32, 300).softmax(dim=1), torch.arange(32))
    finally:
        torch.use_deterministic_algorithms(before)
    assert 32 * 300 <= largest.elements < 4 * 32 * 300
