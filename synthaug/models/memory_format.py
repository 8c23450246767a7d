"""The memory format in which a network's convolutions are fastest."""

import torch
from torch import Tensor, nn

_LARGE = 96  # side of an image in pixels; smaller ones are up to 1.4 times slower so (benchmarks/README.md)


def channels_last_from(network: nn.Module) -> int:
    """Return the side of an image, in pixels, from which on a network takes its channels last.

    Convolutions within single channels (MobileNet, EfficientNet) are faster so at any size.
    """
    within = (isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1 for module in network.modules())
    return 0 if any(within) else _LARGE


def arranged(images: Tensor, channels_last: int) -> Tensor:
    """Return images in the format that their size asks for; the layers of a network pass it on.

    Args:
        images: (B, C, S, S).
        channels_last: from `channels_last_from`.
    """
    layout = torch.channels_last if images.shape[-1] >= channels_last else torch.contiguous_format
    return images.contiguous(memory_format=layout)
