"""Optimizers by name; what decays and what does not."""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

NAMES = ("adam", "adamw", "sgd")
MOMENTUM = 0.9  # of SGD
WEIGHT_DECAY = {"adam": 0.0, "adamw": 0.01, "sgd": 0.0}  # PyTorch's defaults
_FUSED = ("cpu", "cuda", "mps", "xpu")  # devices for which PyTorch has all three as one kernel per step


def option_problems(name: str, weight_decay: float | None, momentum: float | None) -> list[str]:
    """Return why an optimizer cannot be had with these values.

    Args:
        name: of the optimizer.
        weight_decay: see `build_optimizer`.
        momentum: likewise.
    """
    if name not in NAMES:
        return [f"model.optimizer={name}: must be one of {', '.join(NAMES)}."]
    problems = []
    if name == "adamw" and weight_decay == 0:
        problems.append(
            "model.optimizer=adamw, model.weight_decay=0: AdamW without weight decay is Adam; set "
            f"model.optimizer=adam, or model.weight_decay=null for {WEIGHT_DECAY[name]:g}."
        )
    if momentum is not None and name != "sgd":
        problems.append(f"model.momentum={momentum:g}: only for model.optimizer=sgd, not for model.optimizer={name}.")
    return problems


def can_fuse(parameters: Sequence[nn.Parameter]) -> bool:
    """Return whether one kernel can update all parameters, which must lie on the device that trains."""
    return all(parameter.device.type in _FUSED and parameter.is_floating_point() for parameter in parameters)


def build_optimizer(
    name: str,
    parameters: Iterable[nn.Parameter],
    lr: float,
    weight_decay: float | None = None,
    momentum: float | None = None,
    fused: bool = False,
) -> Optimizer:
    """Return an optimizer of what trains.

    Args:
        name: "adam" (Kingma, Ba 2015), with weight decay as an L2 penalty of all parameters; "adamw" (Loshchilov,
            Hutter 2019), with decoupled weight decay; "sgd", with Nesterov's momentum. The last two leave parameters of
            fewer than two dimensions, which are biases and what normalisations scale by, without weight decay (He et
            al. 2019, "Bag of Tricks for Image Classification", section 3.1).
        parameters: what trains.
        lr: learning rate.
        weight_decay: None: PyTorch's, 0.01 for AdamW and 0 for the others.
        momentum: of SGD; None: 0.9; 0: none.
        fused: whether a step is one kernel for all parameters (see `can_fuse`), or PyTorch chooses.
    """
    decay = WEIGHT_DECAY[name] if weight_decay is None else weight_decay
    is_fused = fused or None  # False would rule out PyTorch's choice
    if name == "adam":
        return Adam(parameters, lr=lr, weight_decay=decay, fused=is_fused)
    trained = list(parameters)
    decaying, others = ([p for p in trained if (p.ndim >= 2) == is_matrix] for is_matrix in (True, False))
    groups = [
        {"params": members, "weight_decay": value} for members, value in ((decaying, decay), (others, 0.0)) if members
    ]
    if name == "adamw":
        return AdamW(groups, lr=lr, fused=is_fused)
    mass = MOMENTUM if momentum is None else momentum
    return SGD(groups, lr=lr, momentum=mass, nesterov=mass > 0, fused=is_fused)
