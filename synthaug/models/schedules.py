"""How the learning rate moves."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from synthaug.errors import UserError

NAMES = ("constant", "one_cycle", "step", "cosine")
GAMMA = 0.1


def require_known(name: str, step_epochs: int | None, gamma: float | None) -> None:
    """Refuse a schedule that there is not, or values that do not go with it.

    Raises:
        UserError: which, and what there is.
    """
    if name not in NAMES:
        known = ", ".join(f"'{known}'" for known in NAMES[:-1])
        raise UserError(f"model.schedule={name}: there are {known} and '{NAMES[-1]}'.")
    if name == "step" and step_epochs is None:
        raise UserError("model.schedule=step needs the number of epochs between two steps: model.step_epochs=<number>.")
    given = {"step_epochs": step_epochs, "gamma": gamma}
    idle = [f"model.{key}={value}" for key, value in given.items() if value is not None and name != "step"]
    if idle:
        verb = "belongs" if len(idle) == 1 else "belong"
        raise UserError(f"{' and '.join(idle)} {verb} to model.schedule=step, but model.schedule={name} is given.")


def schedule(
    optimizer: Optimizer, name: str, lr: float, steps: int, step_epochs: int | None = None, gamma: float | None = None
) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None where the rate stays.

    Args:
        optimizer: whose rate is moved.
        name: "constant"; "one_cycle", up from lr / 25 and down to almost nothing over all steps (Smith, Topin 2018;
            PyTorch's OneCycleLR); "step", times `gamma` every `step_epochs` epochs; "cosine", down to zero over all
            steps (Loshchilov, Hutter 2017, without restarts).
        lr: the highest rate.
        steps: of the whole run.
        step_epochs, gamma: of "step"; gamma None is 0.1.
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
