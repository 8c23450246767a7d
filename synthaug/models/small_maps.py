"""Layers that compute the same in less time on the processor where feature maps have few pixels.

PyTorch's kernels for the processor are made for large maps. On images of 32 pixels, ResNet18's last stage has maps of
one pixel and the one before of 2 × 2; measured figures are in `benchmarks/speed.md`.
"""

import functools

from torch import Tensor, nn

from synthaug.models.evaluation_mode import evaluating

_FEW = 4  # pixels of a map


class OnePixelConv2d(nn.Conv2d):
    """A convolution without padding; where its output is one pixel, a product of two matrices, as fast as those are."""

    def forward(self, input: Tensor) -> Tensor:
        rows, columns = self.kernel_size
        spare = [side - taps for side, taps in zip(input.shape[-2:], self.kernel_size, strict=True)]
        is_one_pixel = all(0 <= left < stride for left, stride in zip(spare, self.stride, strict=True))
        if not (input.is_cpu and input.dim() == 4 and is_one_pixel):
            return super().forward(input)
        patch = input[:, :, :rows, :columns].flatten(1)
        return nn.functional.linear(patch, self.weight.flatten(1), self.bias)[:, :, None, None]


class FewPixelsBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation that takes the pixels of small maps for so many more images: its loop is over the maps."""

    def forward(self, input: Tensor) -> Tensor:
        if not (input.is_cpu and input.dim() == 4 and 1 < input.shape[2] * input.shape[3] <= _FEW):
            return super().forward(input)
        images, channels, height, width = input.shape
        pixels = super().forward(input.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1))
        return pixels.view(images, height, width, channels).permute(0, 3, 1, 2).contiguous()


class LastChannelsLastPool(nn.MaxPool2d):
    """The pooling behind which channels come first: it takes a tenth of the time where they are last."""

    def forward(self, input: Tensor) -> Tensor:
        pooled: Tensor = super().forward(input)
        return pooled.contiguous()


def speed_up(network: nn.Module) -> None:
    """Turn layers of a network into those of this module; their parameters stay the same objects.

    Args:
        network: of any kind; layers of other classes than PyTorch's own stay as they are.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = FewPixelsBatchNorm2d
        elif type(module) is nn.Conv2d and (module.padding, module.dilation, module.groups) == ((0, 0), (1, 1), 1):
            module.__class__ = OnePixelConv2d


def begin_channels_last(network: nn.Module, image_size: int) -> bool:
    """Let a network that has its channels first have them last until its pooling; True where it is to be given such.

    That is so where there is one maximum pooling, with one convolution before it, as in ResNet.

    Args:
        network: which must take images of this size.
        image_size: side of the images in pixels.
    """
    pools = [module for module in network.modules() if isinstance(module, nn.MaxPool2d)]
    if len(pools) != 1 or type(pools[0]) is not nn.MaxPool2d or pools[0].return_indices:
        return False
    called: list[nn.Module] = []
    kinds = (nn.Conv2d, nn.MaxPool2d)
    hooks = [
        module.register_forward_pre_hook(functools.partial(_note, called))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    try:
        with evaluating(network):
            network(next(network.parameters()).new_zeros(1, 3, image_size, image_size))
    finally:
        for hook in hooks:
            hook.remove()
    if called.count(pools[0]) != 1 or called.index(pools[0]) != 1:
        return False
    pools[0].__class__ = LastChannelsLastPool
    return True


def _note(called: list[nn.Module], module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    called.append(module)
