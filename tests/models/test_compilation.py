import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func

from synthaug.models.compilation import compile_network


def test_a_network_that_cannot_be_compiled_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no compiler")

    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    images = torch.rand(5, 3)
    expected = network(images)
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_module(self, backend=fails))
    compile_network(network)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(network(images), expected)
        assert torch.equal(network(images), expected)
    assert len(caplog.records) == 1, "said once"


def test_a_network_whose_gradients_cannot_be_compiled_is_trained_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no compiler of gradients")

    backend = aot_autograd(fw_compiler=lambda module, _: make_boxed_func(module.forward), bw_compiler=fails)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_module(self, backend=backend))
    compile_network(network)
    with caplog.at_level(logging.WARNING):
        for images in (5, 4):
            network(torch.rand(images, 3)).sum().backward()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert all(weights.grad is not None for weights in network.parameters())


def test_the_compiled_network_is_what_runs_and_its_weights_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def backend(module: Any, _: Any) -> Any:
        calls.append(module)
        return module.forward

    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    names = list(network.state_dict())
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_module(self, backend=backend))
    compile_network(network)
    network(torch.rand(5, 3)).sum().backward()
    assert calls
    assert list(network.state_dict()) == names
