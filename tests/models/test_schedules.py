"""Learning rates, step by step, and values that do not go together."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.models import schedules


def rates(name: str, steps: int, per_epoch: int = 1, **values: Any) -> list[float]:
    """The rate of every step of a run."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    schedule = schedules.lightning_schedule(optimizer, name, 0.1, steps, **values)
    seen = []
    for step in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule and (schedule["interval"] == "step" or (step + 1) % per_epoch == 0):
            schedule["scheduler"].step()
    return seen


def test_constant_stays() -> None:
    assert rates("constant", 5) == [0.1] * 5


def test_step_falls_every_so_many_epochs() -> None:
    falling = rates("step", 12, per_epoch=2, step_epochs=2, gamma=0.5)
    assert falling == pytest.approx([0.1] * 4 + [0.05] * 4 + [0.025] * 4)
    assert rates("step", 3, step_epochs=1) == pytest.approx([0.1, 0.01, 0.001])


def test_cosine_falls_to_nothing_over_all_steps() -> None:
    expected = [0.05 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert rates("cosine", 10, per_epoch=5) == pytest.approx(expected)


@given(warmup=st.integers(1, 20), after=st.integers(1, 30))
def test_a_warm_up_rises_in_a_straight_line_and_the_cosine_after_it_ends_at_nothing(warmup: int, after: int) -> None:
    seen = rates("warmup_cosine", warmup + after, warmup=warmup)
    assert seen[:warmup] == pytest.approx([0.1 * (step + 1) / warmup for step in range(warmup)])
    assert seen[warmup:] == pytest.approx(rates("cosine", after))


def test_a_warm_up_is_of_epochs_or_of_a_share_of_all_steps() -> None:
    lengths = [schedules.warmup_steps(epochs, steps=200, steps_per_epoch=40) for epochs in (None, 0.25, 1, 2.5, 0.001)]
    assert lengths == [20, 50, 40, 100, 1]
    assert [schedules.warmup_steps(0.999, steps, 1) for steps in (1, 2, 10)] == [0, 1, 9]
    assert rates("warmup_cosine", 1, warmup=0) == [0.1]


@pytest.mark.parametrize(("kind", "moves"), [(torch.optim.Adam, True), (torch.optim.SGD, False)])
def test_one_cycle_leaves_the_momentum_that_was_set(kind: Any, moves: bool) -> None:
    values = {"momentum": 0.8, "nesterov": True} if kind is torch.optim.SGD else {"betas": (0.8, 0.999)}
    optimizer = kind([torch.nn.Parameter(torch.ones(1))], lr=0.1, **values)
    schedules.lightning_schedule(optimizer, "one_cycle", 0.1, 10)
    group = optimizer.param_groups[0]
    assert (group.get("momentum", group.get("betas", [None])[0]) != 0.8) == moves


def test_one_cycle_has_its_peak_at_the_rate() -> None:
    assert max(rates("one_cycle", 50, per_epoch=25)) == pytest.approx(0.1, rel=1e-2)


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (("cosin", None, None), [["model.schedule=cosin", *schedules.NAMES]]),
        (("step", None, None), [["model.schedule=step", "model.step_epochs"]]),
        (("step", None, 0.5), [["model.schedule=step", "model.step_epochs"]]),
        (("cosine", 7, None), [["model.step_epochs=7", "model.schedule=cosine"]]),
        (("constant", 7, 0.1), [["model.step_epochs=7", "model.gamma=0.1", "model.schedule=constant"]]),
        (("cosine", 7, None, 2), [["model.step_epochs=7"], ["model.warmup_epochs=2", "model.schedule=warmup_cosine"]]),
    ],
)
def test_what_does_not_go_together_is_refused(values: Any, keys: list[list[str]]) -> None:
    problems = schedules.option_problems(*values)
    assert len(problems) == len(keys)
    assert all(key in problem for problem, listed in zip(problems, keys, strict=True) for key in listed)


def test_what_goes_together_is_not() -> None:
    for name in ("constant", "one_cycle", "cosine", "warmup_cosine"):
        assert schedules.option_problems(name, None, None) == []
    assert schedules.option_problems("step", 7, 0.1) == []
    assert schedules.option_problems("warmup_cosine", None, None, 0.1) == []
