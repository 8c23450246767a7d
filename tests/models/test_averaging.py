"""The moving average of weights, step by step, and of what is not a weight."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from synthaug.models.averaging import average_of


@given(decay=st.floats(0.01, 0.999), values=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=40))
def test_it_is_the_average_that_its_docstring_describes(decay: float, values: list[float]) -> None:
    network = nn.Linear(1, 1, bias=False)
    average = average_of(network, decay)
    expected = 0.0
    for step, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        keep = min(decay, (1 + step) / (10 + step)) if step else 0.0  # the first is taken as it is
        expected = keep * expected + (1 - keep) * value
    assert average.module.get_parameter("weight").item() == pytest.approx(expected, abs=1e-4)
    assert int(average.n_averaged) == len(values)


def test_statistics_are_averaged_and_whole_numbers_are_copied() -> None:
    network = nn.BatchNorm1d(1)
    network.register_buffer("index", torch.arange(300))
    average = average_of(network, 0.7)
    for _ in range(30):
        network(torch.rand(8, 1) + 5)
        average.update_parameters(network)
    assert torch.equal(average.module.get_buffer("index"), torch.arange(300))  # times 0.7, plus times 0.3, rounded down
    assert int(average.module.get_buffer("num_batches_tracked")) == 30
    assert 4 < float(average.module.get_buffer("running_mean")) < float(network.get_buffer("running_mean"))


def test_it_does_not_train() -> None:
    assert not any(parameter.requires_grad for parameter in average_of(nn.Linear(2, 2), 0.9).parameters())
