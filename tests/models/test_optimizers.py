"""Optimizers: what decays, by how much, and values that do not go together."""

from typing import Any

import pytest
import torch
from torch import nn

from synthaug.models import optimizers
from synthaug.models.backbones import build_backbone
from tests.factories.commands import NETWORK


def layer() -> nn.Module:
    """A layer whose parameters are all of one, so that a step without gradients shows the decay alone."""
    linear = nn.Linear(2, 2)
    for parameter in linear.parameters():
        nn.init.ones_(parameter)
    return linear


def after_a_step(name: str, **values: Any) -> dict[str, float]:
    """What a step with gradients of zero leaves of each parameter."""
    network = layer()
    optimizer = optimizers.build_optimizer(name, network.parameters(), lr=0.5, **values)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {key: float(value.detach().flatten()[0]) for key, value in network.named_parameters()}


@pytest.mark.parametrize(
    ("name", "values", "weight"),
    [
        ("adamw", {"weight_decay": 0.1}, 1 - 0.5 * 0.1),
        ("adamw", {}, 1 - 0.5 * 0.01),
        ("sgd", {"weight_decay": 0.1, "momentum": 0.0}, 1 - 0.5 * 0.1),
        ("sgd", {"weight_decay": 0.1}, 1 - 0.5 * 0.1 * 1.9),  # Nesterov's step of the first gradient
        ("sgd", {}, 1.0),
    ],
)
def test_biases_do_not_decay(name: str, values: dict[str, Any], weight: float) -> None:
    assert after_a_step(name, **values) == pytest.approx({"weight": weight, "bias": 1.0})


def test_adam_decays_all_parameters_and_by_default_none() -> None:
    decayed = after_a_step("adam", weight_decay=0.1)
    assert decayed["weight"] == decayed["bias"] < 1
    assert after_a_step("adam") == {"weight": 1.0, "bias": 1.0}


def test_every_parameter_is_in_one_group_and_normalisations_do_not_decay() -> None:
    network = build_backbone(NETWORK, None, 2)
    groups = optimizers.build_optimizer("adamw", network.parameters(), 0.1, 0.05).param_groups
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decay == {id(p): 0.05 if p.ndim >= 2 else 0.0 for p in network.parameters()}
    assert set(decay.values()) == {0.05, 0.0}


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (("rmsprop", None, None), [["model.optimizer=rmsprop", *optimizers.NAMES]]),
        (("adamw", 0, 0.9), [["model.optimizer=adamw", "model.weight_decay=0"], ["model.momentum=0.9"]]),
        (("adam", 0.1, 0.9), [["model.momentum=0.9", "model.optimizer=sgd", "model.optimizer=adam"]]),
        (("adam", 0, None), []),
        (("adamw", None, None), []),
        (("adamw", 0.1, None), []),
        (("sgd", 0, 0.0), []),
    ],
)
def test_values_that_do_nothing_are_refused(values: Any, keys: list[list[str]]) -> None:
    problems = optimizers.option_problems(*values)
    assert len(problems) == len(keys)
    assert all(key in problem for problem, listed in zip(problems, keys, strict=True) for key in listed)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_a_fused_step_is_the_same_to_rounding(name: str) -> None:
    updated = []
    for fused in (False, True):
        torch.manual_seed(0)
        network = nn.Linear(3, 3)
        optimizer = optimizers.build_optimizer(name, network.parameters(), 0.1, 0.1, fused=fused)
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.rand(5, 3)).square().mean().backward()
            optimizer.step()
        updated.append(network.weight.detach().clone())
    torch.testing.assert_close(updated[0], updated[1])


def test_what_no_kernel_updates_is_not_fused() -> None:
    network = nn.Linear(2, 2)
    assert optimizers.can_fuse(list(network.parameters()))
    assert not optimizers.can_fuse([*network.parameters(), *nn.Linear(2, 2, device="meta").parameters()])
