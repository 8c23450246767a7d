"""The first step whose loss is not finite, with its images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EVERY = 100  # steps between two looks: on a graphics processor each would wait for the step


@dataclass(frozen=True)
class NonFiniteLoss:
    """A loss that is not finite.

    Attributes:
        step: of its epoch.
        value: of the loss.
        rows: places of the batch's images in the list of the split.
        before: those of the step before, whose update may have spoiled the weights.
    """

    step: int
    value: float
    rows: Sequence[int]
    before: Sequence[int] = ()


class FiniteLosses:
    """The losses of the steps that were not looked at yet, where they were computed, and the rows of their images."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._losses: list[Tensor] = []
        self._rows: list[Tensor] = []

    def add(self, step: int, loss: Tensor, rows: Tensor) -> None:
        """Remember a step.

        Args:
            step: its number in the epoch; 0 forgets those of an earlier one.
            loss: of the step, a single number.
            rows: places of its images in the list of the split, (B,).
        """
        if step == 0:
            self._forget(0)
        self._steps.append(step)
        self._losses.append(loss.detach())
        self._rows.append(rows)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look: at once on a processor, seldom where that would be waited for."""
        return bool(self._losses) and (self._losses[-1].device.type == "cpu" or len(self._losses) > EVERY)

    def first_problem(self) -> NonFiniteLoss | None:
        """Return the first step whose loss is not finite; finite ones are forgotten, all but the last."""
        if not self._losses:
            return None
        losses = torch.stack(self._losses)
        places = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        if not places:
            self._forget(1)
            return None
        place = places[0]
        before = self._rows[place - 1].tolist() if place else []
        return NonFiniteLoss(self._steps[place], float(losses[place]), self._rows[place].tolist(), before)

    def _forget(self, kept: int) -> None:
        for remembered in (self._steps, self._losses, self._rows):
            del remembered[: len(remembered) - kept]
