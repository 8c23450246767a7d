"""Exponential moving average of the weights of a network."""

import functools

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """Return the moving average of a network, to be updated after every optimizer step.

    After step t = 0, 1, … it is d · average + (1 - d) · weights with d = min(decay, (1 + t) / (10 + t)): of a short run
    too, it is hardly of the weights that training began with (TensorFlow's `ExponentialMovingAverage` with its
    `num_updates`). In the long run it averages over about 1 / (1 - decay) steps. Statistics of batch normalisations
    are averaged alike, as timm's `ModelEmaV3` does; integers, such as positions and counters, are those of the network.

    Args:
        network: whose weights are averaged.
        decay: more than 0 and less than 1.
    """
    average = AveragedModel(network, multi_avg_fn=functools.partial(_update, decay), use_buffers=True)
    average.requires_grad_(requires_grad=False)
    return average


def _update(decay: float, averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
    """Update tensors of one kind; on whole numbers PyTorch's own would round down, and spoil an index."""
    if averaged[0].is_floating_point():
        count = int(updates)
        update = get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))  # type: ignore[no-untyped-call]
        update(averaged, current, count)
    else:
        for average, value in zip(averaged, current, strict=True):
            average.copy_(value)
