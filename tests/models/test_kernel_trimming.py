"""Kernels without what only meets padding: the same output, gradients and checkpoints."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from synthaug.models.classifier import Classifier
from synthaug.models.kernel_trimming import trim_kernels


class _Padded(nn.Module):
    """One convolution of any shape; its input is three channels."""

    def __init__(self, **shape: Any) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, **shape)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convolution(images)
        return result


@settings(max_examples=200, deadline=None)
@given(
    side=st.integers(1, 6),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    padding=st.integers(0, 6),
    dilation=st.integers(1, 4),
)
def test_trimmed_convolution_equals_the_whole(side: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    if side + 2 * padding < dilation * (kernel - 1) + 1:
        return  # no output
    torch.manual_seed(0)
    shape = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    whole = _Padded(**shape).double()
    trimmed = copy.deepcopy(whole)
    kernels = trim_kernels(trimmed.float(), side)
    trimmed.double()
    images = torch.rand(2, 3, side, side, dtype=torch.double)
    expected, actual = whole(images), trimmed(images)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)  # the trimmed one was rounded to float
    expected.square().sum().backward()
    actual.square().sum().backward()
    gradient = whole.convolution.weight.grad
    assert gradient is not None
    for taps in kernels.values():
        torch.testing.assert_close(
            taps.trimmed(gradient), trimmed.convolution.weight.grad, rtol=1e-4, atol=1e-4, check_dtype=False
        )
        outside = gradient.clone()
        outside[:, :, taps.rows, taps.columns] = 0
        assert not outside.any()  # what was left out would not have been trained


def test_resnet_of_small_images_trains_half_of_its_weights() -> None:
    network = models.resnet18(num_classes=3)
    kernels = trim_kernels(network, 32)
    shapes = {name: tuple(network.get_parameter(name).shape[2:]) for name in kernels}
    assert shapes == {
        "layer4.0.conv1.weight": (2, 2),
        "layer4.0.conv2.weight": (1, 1),
        "layer4.1.conv1.weight": (1, 1),
        "layer4.1.conv2.weight": (1, 1),
    }
    assert not trim_kernels(models.resnet18(num_classes=3), 224)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"])
def test_other_networks_keep_their_logits(name: str) -> None:
    network = models.get_model(name, weights=None, num_classes=3).eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected = network(images)
        assert trim_kernels(network, 32)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_modes_and_shared_weights_stay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1))
    network[1].weight = network[0].weight
    network[2].eval()
    weight = network[2].weight
    assert set(trim_kernels(network, 1)) == {"2.weight"}
    assert [module.training for module in network] == [True, True, False]
    assert network[2].weight is weight  # for who holds the parameter
    assert network[0].weight.shape == (3, 3, 3, 3)


def test_training_and_checkpoint_are_those_of_whole_kernels() -> None:
    def trained(trims: bool) -> Classifier:
        torch.manual_seed(0)
        model = Classifier(["a", "b", "c"], backbone="shufflenet_v2_x0_5", ema=0.9)
        if trims:
            model.speed_up(32)
        model.double()
        optimizer = torch.optim.SGD(model.network.parameters(), lr=0.01)
        for _ in range(3):
            loss = model.loss(model(torch.rand(8, 3, 32, 32, dtype=torch.double)), torch.arange(8) % 3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert model.average is not None
            model.average.update_parameters(model.network)
        return model

    states = []
    for trims in (False, True):
        model = trained(trims)
        checkpoint = {"state_dict": model.state_dict(), Classifier.CHECKPOINT_HYPER_PARAMS_KEY: dict(model.hparams)}
        model.on_save_checkpoint(checkpoint)
        states.append(dict(checkpoint["state_dict"]))
        again = trained(trims)
        again.on_load_checkpoint(checkpoint)
        again.load_state_dict(checkpoint["state_dict"])
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-5, atol=1e-7, msg=name)
