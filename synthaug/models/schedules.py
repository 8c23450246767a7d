"""Learning-rate schedules."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from synthaug.errors import UserError

NAMES = ("constant", "one_cycle", "step", "cosine")
GAMMA = 0.1


def check_schedule(name: str, step_epochs: int | None, gamma: float | None) -> None:
    """Check that the schedule exists and that the values go with it.

    Args:
        name: of the schedule.
        step_epochs: see `lightning_schedule`; None: not set.
        gamma: likewise.

    Raises:
        UserError: which, and what there is.
    """
    if name not in NAMES:
        raise UserError(f"model.schedule={name}: must be one of {', '.join(NAMES)}.")
    if name == "step" and step_epochs is None:
        raise UserError("model.schedule=step needs the number of epochs between two steps: model.step_epochs=<number>.")
    of_step = {"step_epochs": step_epochs, "gamma": gamma}
    unused = [f"model.{key}={value}" for key, value in of_step.items() if value is not None and name != "step"]
    if unused:
        raise UserError(f"{', '.join(unused)}: only for model.schedule=step, not for model.schedule={name}.")


def lightning_schedule(
    optimizer: Optimizer, name: str, lr: float, steps: int, step_epochs: int | None = None, gamma: float | None = None
) -> dict[str, Any] | None:
    """Return a schedule as Lightning takes it; None for a constant rate.

    Args:
        optimizer: whose rate is changed.
        name: "constant"; "one_cycle", up from lr / 25 and down to almost nothing over all steps (Smith, Topin 2018;
            PyTorch's OneCycleLR); "step", times `gamma` every `step_epochs` epochs; "cosine", down to zero over all
            steps (Loshchilov, Hutter 2017, without restarts).
        lr: the highest rate.
        steps: of the whole run; "one_cycle" and "cosine" are stepped per optimizer step, "step" per epoch.
        step_epochs: of "step".
        gamma: of "step"; None is 0.1.
    """
    if name == "one_cycle":
        return {"scheduler": OneCycleLR(optimizer, max_lr=lr, total_steps=steps), "interval": "step"}
    if name == "cosine":
        return {"scheduler": CosineAnnealingLR(optimizer, T_max=steps), "interval": "step"}
    if name == "step":
        assert step_epochs is not None
        by_epochs = StepLR(optimizer, step_size=step_epochs, gamma=GAMMA if gamma is None else gamma)
        return {"scheduler": by_epochs, "interval": "epoch"}
    return None
