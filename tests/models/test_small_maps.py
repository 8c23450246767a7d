"""Layers for small feature maps: outputs, gradients and statistics are those of PyTorch's own."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models

from synthaug.models import small_maps
from synthaug.models.classifier import Classifier


def compare(layer: nn.Module, images: Tensor) -> nn.Module:
    """Compare a layer in training and evaluation, and what it leaves in parameters and buffers; return the fast one."""
    fast = copy.deepcopy(layer)
    small_maps.speed_up(nn.ModuleList([fast]))
    assert type(fast) is not type(layer)
    outputs = []
    for each in (layer, fast):
        inputs = images.clone().requires_grad_()
        output = each(inputs)
        (output * torch.arange(output.numel()).reshape(output.shape)).sum().backward()
        assert inputs.grad is not None
        gradients = [parameter.grad for parameter in each.parameters()]
        evaluated = each.eval()(images)
        outputs.append([output, inputs.grad, evaluated, *gradients, *each.buffers()])
    for expected, computed in zip(*outputs, strict=True):
        torch.testing.assert_close(computed, expected)
    return fast


@given(
    taps=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    side=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    has_bias=st.booleans(),
)
def test_a_convolution_is_itself(
    taps: tuple[int, int], side: tuple[int, int], stride: tuple[int, int], has_bias: bool
) -> None:
    if any(length < covered for length, covered in zip(side, taps, strict=True)):
        return
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, taps, stride, bias=has_bias).double()
    compare(layer, torch.rand(2, 3, *side, dtype=torch.double))


@given(
    height=st.integers(1, 3),
    width=st.integers(1, 3),
    is_affine=st.booleans(),
    tracks=st.booleans(),
    momentum=st.sampled_from([None, 0.3]),
)
def test_a_batch_normalisation_is_itself(
    height: int, width: int, is_affine: bool, tracks: bool, momentum: float | None
) -> None:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(3, affine=is_affine, track_running_stats=tracks, momentum=momentum).double()
    compare(layer, torch.rand(4, 3, height, width, dtype=torch.double))


def test_few_pixels_are_not_computed_as_many_are(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def forward(layer: nn.Module, images: Tensor) -> Tensor:
        calls.append(type(layer).__name__)
        return images

    for kind in (nn.Conv2d, nn.BatchNorm2d):
        monkeypatch.setattr(kind, "forward", forward)
    layers = nn.ModuleList([nn.Conv2d(3, 3, 2), nn.BatchNorm2d(3)])
    small_maps.speed_up(layers)
    assert layers[0](torch.rand(2, 3, 2, 2)).shape == (2, 3, 1, 1)
    assert not calls
    layers[0](torch.rand(2, 3, 3, 2))
    assert layers[1](torch.rand(2, 3, 2, 2)).shape == (2, 3, 2, 2)
    assert calls == ["OnePixelConv2d", "FewPixelsBatchNorm2d"]


@pytest.mark.parametrize(
    ("name", "begins"), [("resnet18", True), ("densenet121", True), ("vgg11", False), ("mobilenet_v3_small", False)]
)
def test_channels_are_last_until_the_only_pooling(name: str, begins: bool) -> None:
    network = models.get_model(name, weights=None, num_classes=3).double().eval()
    images = torch.rand(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        expected = network(images)
        assert small_maps.begin_channels_last(network, 32) == begins
        layout = torch.channels_last if begins else torch.contiguous_format
        layouts: list[bool] = []
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(lambda _, inputs: layouts.append(inputs[0].is_contiguous()))
        torch.testing.assert_close(network(images.contiguous(memory_format=layout)), expected)
    assert layouts == [not begins] + [True] * (len(layouts) - 1)


def test_a_classifier_computes_what_it_does_without() -> None:
    torch.manual_seed(0)
    plain = Classifier(["a", "b", "c"], backbone="resnet18")
    fast = copy.deepcopy(plain)
    fast.speed_up(32)
    for model in (plain, fast):
        model.double()
    images, labels = torch.rand(4, 3, 32, 32, dtype=torch.double), torch.tensor([0, 1, 2, 0])
    losses = [each.loss(each(images), labels) for each in (plain, fast)]
    torch.testing.assert_close(losses[1], losses[0])
    for loss in losses:
        loss.backward()
    for before, after in zip(plain.network.parameters(), fast.network.parameters(), strict=True):
        if before.shape == after.shape:  # else it was trimmed
            torch.testing.assert_close(after.grad, before.grad)
