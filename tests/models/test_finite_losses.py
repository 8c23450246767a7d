"""Losses that are not numbers: the first is found, whenever it is looked for."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.models.finite_losses import FiniteLosses

LOSSES = st.lists(st.sampled_from([0.5, 2.0, math.nan, math.inf, -math.inf]), min_size=1, max_size=12)


@given(LOSSES, st.integers(1, 5))
def test_the_first_loss_that_is_no_number_is_reported_with_its_images_and_those_before(
    losses: list[float], every: int
) -> None:
    watched = FiniteLosses()
    bad = [step for step, loss in enumerate(losses) if not math.isfinite(loss)]
    for step, loss in enumerate(losses):
        watched.add(step, torch.tensor(loss), torch.tensor([2 * step, 2 * step + 1]))
        if step % every == 0 or step == len(losses) - 1:
            problem = watched.first_problem()
            assert (problem is None) == (not bad or bad[0] > step)
            if problem:
                assert (problem.step, list(problem.rows)) == (bad[0], [2 * bad[0], 2 * bad[0] + 1])
                assert list(problem.before) == ([2 * bad[0] - 2, 2 * bad[0] - 1] if bad[0] else [])
                return
    assert not bad


def test_an_epoch_forgets_the_one_before() -> None:
    watched = FiniteLosses()
    watched.add(7, torch.tensor(math.nan), torch.tensor([1]))
    watched.add(0, torch.tensor(1.0), torch.tensor([2]))
    assert watched.first_problem() is None
