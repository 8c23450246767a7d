"""The fastest plain PyTorch loop for a network: tensors in memory, no Lightning, no files, nothing augmented."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from synthaug.models.backbones import build_backbone
from synthaug.models.optimizers import build_optimizer


@dataclass(frozen=True)
class Images:
    """Random images in memory.

    Attributes:
        train: float (N, 3, S, S).
        val: float (M, 3, S, S).
        train_labels: int64 (N,).
        val_labels: int64 (M,).
    """

    train: Tensor
    val: Tensor
    train_labels: Tensor
    val_labels: Tensor


def random_images(train: int, val: int, size: int, classes: int = 10) -> Images:
    """Return noise with labels at random.

    Args:
        train: number of training images.
        val: number of validation images.
        size: side in pixels.
        classes: number of classes.
    """
    random = torch.Generator().manual_seed(0)
    pixels = [torch.rand(count, 3, size, size, generator=random) for count in (train, val)]
    labels = [torch.randint(classes, (count,), generator=random) for count in (train, val)]
    return Images(pixels[0], pixels[1], labels[0], labels[1])


class BareLoop:
    """A network, Adam and an epoch, as few lines as they take.

    Args:
        backbone: name of the network.
        images: of training and validation.
        batch_size: images per step.
        channels_last: whether images and network are in that memory format.
        fused: whether Adam is the fused one.
    """

    def __init__(
        self, backbone: str, images: Images, batch_size: int = 32, channels_last: bool = False, fused: bool = True
    ) -> None:
        torch.manual_seed(0)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network: nn.Module = build_backbone(backbone, None, 10).to(memory_format=layout)
        self.train = images.train.contiguous(memory_format=layout)
        self.val = images.val.contiguous(memory_format=layout)
        self.images = images
        self.batch_size = batch_size
        self.optimizer = build_optimizer("adam", self.network.parameters(), 1e-3)
        for group in self.optimizer.param_groups:
            group["fused"], group["foreach"] = fused, False
        self.name = ", ".join(["channels_last"] * channels_last + ["fused Adam"] * fused) or "eager"

    def epoch(self) -> float:
        """Train and validate once; return the validation accuracy."""
        self.network.train()
        steps = len(self.train) // self.batch_size
        for start in range(0, steps * self.batch_size, self.batch_size):
            batch = slice(start, start + self.batch_size)
            self.optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(self.network(self.train[batch]), self.images.train_labels[batch]))
            self.optimizer.step()
        self.network.eval()
        with torch.inference_mode():
            parts = [self.val[start : start + 128] for start in range(0, len(self.val), 128)]
            predicted = torch.cat([self.network(part).argmax(dim=1) for part in parts])
            return float((predicted == self.images.val_labels).float().mean())

    def seconds(self, epochs: int) -> float:
        """Return the processor seconds of so many epochs."""
        started = time.process_time()
        for _ in range(epochs):
            self.epoch()
        return time.process_time() - started


def fastest(loops: Sequence[BareLoop], rounds: int = 2) -> BareLoop:
    """Return the loop with the fewest processor seconds per epoch, as the least of a few rounds says.

    Args:
        loops: candidates.
        rounds: epochs of each, alternating, after a first one that does not count.
    """
    for loop in loops:
        loop.epoch()
    times = [[loop.seconds(1) for loop in loops] for _ in range(rounds)]
    best = [min(column) for column in zip(*times, strict=True)]
    for loop, seconds in zip(loops, best, strict=True):
        print(f"bare loop, {loop.name}: {seconds:.2f} processor seconds an epoch", flush=True)
    return loops[best.index(min(best))]
