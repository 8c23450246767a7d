"""Learning rates, step by step, and values that do not go together."""

import math
from typing import Any

import pytest
import torch

from synthaug.errors import UserError
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


def test_one_cycle_has_its_peak_at_the_rate() -> None:
    assert max(rates("one_cycle", 50, per_epoch=25)) == pytest.approx(0.1, rel=1e-2)


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (("cosin", None, None), ["model.schedule=cosin", *schedules.NAMES]),
        (("step", None, None), ["model.schedule=step", "model.step_epochs"]),
        (("step", None, 0.5), ["model.schedule=step", "model.step_epochs"]),
        (("cosine", 7, None), ["model.step_epochs=7", "model.schedule=cosine"]),
        (("constant", 7, 0.1), ["model.step_epochs=7", "model.gamma=0.1", "model.schedule=constant"]),
    ],
)
def test_what_does_not_go_together_is_refused(values: tuple[str, int | None, float | None], keys: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        schedules.check_schedule(*values)
    assert all(key in str(caught.value) for key in keys)


def test_what_goes_together_is_not() -> None:
    for name in ("constant", "one_cycle", "cosine"):
        schedules.check_schedule(name, None, None)
    schedules.check_schedule("step", 7, 0.1)
