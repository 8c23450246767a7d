"""The mean of values with weights."""

import torch
from torch import Tensor
from torchmetrics import MeanMetric


class WeightedMean(MeanMetric):
    """A mean in which NaNs count, and weights as well: torchmetrics leaves out one or the other."""

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")

    def update(self, value: Tensor, weight: float | Tensor) -> None:  # type: ignore[override]
        """Add a value.

        Args:
            value: a number.
            weight: of the value.
        """
        weight = torch.as_tensor(weight, dtype=value.dtype, device=value.device)
        self.mean_value += value * weight
        self.weight += weight
