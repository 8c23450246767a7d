"""Smaller kernels for small images, with the same output.

Where a convolution's input is smaller than its kernel, some of the kernel's weights only ever meet padding: of a 3 × 3
kernel on an input of 1 × 1 that are eight of nine. ResNet18 on images of 32 pixels has 6.6 of its 11.2 million weights
there. They take no part in the output and have a gradient of zero, so training leaves them out.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from synthaug.models.evaluation_mode import evaluating


@dataclass(frozen=True)
class TrimmedKernel:
    """The weights of a convolution that are trained, and those around them."""

    initial: Tensor  # (out, in, H, W), as before any training
    rows: slice  # of those that are trained
    columns: slice

    def trimmed(self, weight: Tensor) -> Tensor:
        """Return the trained part of a whole kernel."""
        return weight[:, :, self.rows, self.columns].contiguous()

    def whole(self, weight: Tensor) -> Tensor:
        """Return a trained part with the initial weights around it."""
        kernel = self.initial.to(weight.device, weight.dtype, copy=True)
        kernel[:, :, self.rows, self.columns] = weight
        return kernel


def trim_kernels(network: nn.Module, image_size: int) -> dict[str, TrimmedKernel]:
    """Leave the weights that only meet padding out of a network's convolutions; its output stays the same.

    Convolutions of other classes than PyTorch's own, with shared weights, or called with inputs of several sizes, stay
    as they are.

    Args:
        network: which must take images of this size; its parameters stay the same objects.
        image_size: side of all images in pixels.

    Returns:
        Name in the network's state dict → what was trimmed.
    """
    owners: dict[int, int] = {}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    trimmed = {}
    for name, (convolution, sizes) in _input_sizes(network, image_size).items():
        is_shared = parametrize.is_parametrized(convolution) or owners[id(convolution.weight)] > 1
        kernel = None if is_shared or len(sizes) > 1 else _trim(convolution, *sizes)
        if kernel is not None:
            trimmed[f"{name}.weight"] = kernel
    return trimmed


def _input_sizes(network: nn.Module, image_size: int) -> dict[str, tuple[nn.Conv2d, set[tuple[int, int]]]]:
    """Return name → (convolution, heights and widths of what it is called with), of those that pad with zeros."""
    seen: dict[str, tuple[nn.Conv2d, set[tuple[int, int]]]] = {}
    hooks = []
    for name, module in network.named_modules():
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            seen[name] = module, set()
            hooks.append(module.register_forward_pre_hook(functools.partial(_note_size, seen[name][1])))
    try:
        with evaluating(network):
            network(torch.zeros(1, 3, image_size, image_size, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (module, sizes) for name, (module, sizes) in seen.items() if sizes}


def _note_size(sizes: set[tuple[int, int]], convolution: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    sizes.add((inputs[0].shape[-2], inputs[0].shape[-1]))


def _trim(convolution: nn.Conv2d, size: tuple[int, int]) -> TrimmedKernel | None:
    """Trim one convolution for inputs of a height and width; None where all its weights meet some."""
    spans = [_span(convolution, size[axis], axis) for axis in (0, 1)]
    if [span.stop - span.start for span in spans] == list(convolution.kernel_size):
        return None
    kernel = TrimmedKernel(convolution.weight.detach().cpu(), *spans)
    padding, dilation = convolution.padding, convolution.dilation
    assert not isinstance(padding, str)
    convolution.weight.data = kernel.trimmed(convolution.weight.data)
    convolution.kernel_size = tuple(span.stop - span.start for span in spans)
    convolution.padding = tuple(padding[axis] - spans[axis].start * dilation[axis] for axis in (0, 1))
    return kernel


def _span(convolution: nn.Conv2d, length: int, axis: int) -> slice:
    """Return the rows (axis 0) or columns (1) of a kernel that meet more than padding, or all of them.

    Row k of the kernel meets, for output row o, the input row o · stride − padding + k · dilation. All stay
    where less padding would change the size of the output.
    """
    taps, stride = convolution.kernel_size[axis], convolution.stride[axis]
    dilation, padding = convolution.dilation[axis], convolution.padding[axis]
    assert isinstance(padding, int)
    outputs = _outputs(length, taps, stride, padding, dilation)
    used = [
        tap
        for tap in range(taps)
        if any(0 <= output * stride - padding + tap * dilation < length for output in range(outputs))
    ]
    if not used:
        return slice(0, taps)
    span = slice(used[0], used[-1] + 1)
    left = padding - span.start * dilation
    same = left >= 0 and _outputs(length, span.stop - span.start, stride, left, dilation) == outputs
    return span if same else slice(0, taps)


def _outputs(length: int, taps: int, stride: int, padding: int, dilation: int) -> int:
    return (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
