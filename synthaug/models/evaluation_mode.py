"""Images through a network that stays as it is."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation without gradients in the block; its modes and all random numbers stay as they were.

    Args:
        network: with modules of any mode.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
