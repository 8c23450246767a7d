"""Learning-rate schedules."""

import math
from typing import Any

from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, StepLR

NAMES = ("constant", "one_cycle", "step", "cosine", "warmup_cosine")
GAMMA = 0.1
WARMUP = 0.1  # share of all steps


def option_problems(
    name: str, step_epochs: int | None, gamma: float | None, warmup_epochs: float | None = None
) -> list[str]:
    """Return why a schedule cannot be had with these values.

    Args:
        name: of the schedule.
        step_epochs: see `lightning_schedule`; None: not set.
        gamma: likewise.
        warmup_epochs: see `warmup_steps`; None: not set.
    """
    if name not in NAMES:
        return [f"model.schedule={name}: must be one of {', '.join(NAMES)}."]
    problems = []
    if name == "step" and step_epochs is None:
        problems.append("model.schedule=step needs the number of epochs between two steps: model.step_epochs=<number>.")
    for schedule, values in (
        ("step", {"step_epochs": step_epochs, "gamma": gamma}),
        ("warmup_cosine", {"warmup_epochs": warmup_epochs}),
    ):
        unused = [f"model.{key}={value}" for key, value in values.items() if value is not None and name != schedule]
        if unused:
            problems.append(f"{', '.join(unused)}: only for model.schedule={schedule}, not for model.schedule={name}.")
    return problems


def warmup_steps(warmup_epochs: float | None, steps: int, steps_per_epoch: int) -> int:
    """Return the number of steps of a warm-up; a share of all steps leaves at least one for the rest.

    Args:
        warmup_epochs: less than 1: a share of all steps; from 1 on: epochs; None: a tenth of all steps.
        steps: of the whole run.
        steps_per_epoch: of one epoch.
    """
    length = WARMUP if warmup_epochs is None else warmup_epochs
    return round(length * steps_per_epoch) if length >= 1 else min(max(1, round(length * steps)), steps - 1)


def lightning_schedule(
    optimizer: Optimizer,
    name: str,
    lr: float,
    steps: int,
    step_epochs: int | None = None,
    gamma: float | None = None,
    warmup: int = 1,
) -> dict[str, Any] | None:
    """Return a schedule as Lightning takes it; None for a constant rate.

    Args:
        optimizer: whose rate is changed.
        name: "constant"; "one_cycle", up from lr / 25 and down to almost nothing over all steps (Smith, Topin 2018;
            PyTorch's OneCycleLR, which moves Adam's first beta from 0.95 to 0.85 and back; SGD's momentum stays);
            "step", times `gamma` every `step_epochs` epochs; "cosine", down to zero over all steps (Loshchilov, Hutter
            2017, without restarts); "warmup_cosine", up in a straight line, then down to zero by the same cosine
            (Goyal et al. 2017, He et al. 2019).
        lr: the highest rate.
        steps: of the whole run; "step" is stepped per epoch, the others per optimizer step.
        step_epochs: of "step".
        gamma: of "step"; None is 0.1.
        warmup: steps of the warm-up of "warmup_cosine", from `warmup_steps`.
    """
    if name == "one_cycle":
        moves_beta = not isinstance(optimizer, SGD)
        one_cycle = OneCycleLR(optimizer, max_lr=lr, total_steps=steps, cycle_momentum=moves_beta)
        return {"scheduler": one_cycle, "interval": "step"}
    if name == "warmup_cosine":

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2

        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    if name == "cosine":
        return {"scheduler": CosineAnnealingLR(optimizer, T_max=steps), "interval": "step"}
    if name == "step":
        assert step_epochs is not None
        by_epochs = StepLR(optimizer, step_size=step_epochs, gamma=GAMMA if gamma is None else gamma)
        return {"scheduler": by_epochs, "interval": "epoch"}
    return None
