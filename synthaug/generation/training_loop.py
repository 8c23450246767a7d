"""Optimization of a part of a pipeline on a few images, which goes on where it was stopped.

What a step draws (images, noise, time steps) depends on the seed and the number of the step alone, so that a training
that was stopped goes on as if nothing had happened.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from synthaug.errors import UserError
from synthaug.files import whole_file
from synthaug.generation.hub import one_line

log = logging.getLogger(__name__)

_CHECKPOINT_SECONDS = 60


@dataclass(frozen=True)
class OptimizerSettings:
    """Steps, learning rate and identity of a training.

    Attributes:
        steps: optimizer steps.
        rate: learning rate, which falls to 0 along a cosine.
        rate_key: config key of the rate, for messages.
        recipe: all that decides the result, by which a checkpoint is recognized.
        title: of the progress bar.
    """

    steps: int
    rate: float
    rate_key: str
    recipe: object
    title: str


def optimize(
    compute_loss: Callable[[int], Any],
    parameters: Sequence[Any],
    settings: OptimizerSettings,
    checkpoint: Path,
    device: Any,
    dtype: Any,
) -> list[float]:
    """Train parameters from the checkpoint on; return the loss of every step.

    Args:
        compute_loss: number of a step → its loss.
        parameters: in single precision.
        settings: steps and learning rate.
        checkpoint: file of the state, written every minute and when the training is stopped.
        device: of torch.
        dtype: of the network that is computed with.

    Raises:
        UserError: a loss that is not finite.
    """
    import torch

    optimizer = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=1e-2)
    losses = _resume(checkpoint, settings, parameters, optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    is_mixed = device.type != "cpu" and dtype != torch.float32
    mixed = torch.autocast(device.type, dtype) if is_mixed else nullcontext()
    saved = time.monotonic()
    with tqdm(
        total=settings.steps, initial=len(losses), desc=settings.title, unit="step", disable=None, leave=False
    ) as bar:
        try:
            for step in range(len(losses), settings.steps):
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate * 0.5 * (1 + float(np.cos(np.pi * step / settings.steps)))
                with mixed:
                    loss = compute_loss(step)
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                losses.append(float(loss.detach()))
                _require_finite(losses, settings)
                bar.update()
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
                if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    _save_state(checkpoint, settings, parameters, optimizer, losses)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            _save_state(checkpoint, settings, parameters, optimizer, losses)
            raise
    return losses


def _require_finite(losses: Sequence[float], settings: OptimizerSettings) -> None:
    if not np.isfinite(losses[-1]):
        raise UserError(
            f"synthaug.adapt: the loss of step {len(losses)} is not finite: lower "
            f"{settings.rate_key}={settings.rate:g}, or set generator.dtype=bfloat16 or float32."
        )


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Return which images a step is trained on: each once before one comes again.

    Args:
        count: of the images.
        batch_size: images per step.
        seed: of their order.
        step: number of the step.
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {turn: np.random.default_rng([seed, turn]).permutation(count) for turn in {at // count for at in places}}
    return [int(orders[at // count][at % count]) for at in places]


def step_seed(seed: int, step: int) -> int:
    """Return the seed of what a step draws.

    Args:
        seed: of the training.
        step: number of the step.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\0{step}".encode()).digest()[:8], "big") >> 1


def _fingerprint(settings: OptimizerSettings, parameters: Sequence[Any]) -> str:
    return repr((settings.recipe, [tuple(parameter.shape) for parameter in parameters]))


def _save_state(
    checkpoint: Path, settings: OptimizerSettings, parameters: Sequence[Any], optimizer: Any, losses: Sequence[float]
) -> None:
    import torch

    state = {
        "recipe": _fingerprint(settings, parameters),
        "parameters": [parameter.detach().cpu() for parameter in parameters],
        "optimizer": optimizer.state_dict(),
        "losses": list(losses),
    }
    with whole_file(checkpoint) as temporary:
        torch.save(state, temporary)


def _resume(checkpoint: Path, settings: OptimizerSettings, parameters: Sequence[Any], optimizer: Any) -> list[float]:
    """Load the state of a training that was stopped; return its losses, none where it begins."""
    import torch

    if not checkpoint.is_file():
        return []
    try:
        state: Mapping[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if state["recipe"] != _fingerprint(settings, parameters):
            return []
        for parameter, saved in zip(parameters, state["parameters"], strict=True):
            parameter.data.copy_(saved)
        optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # cut short: nothing but time is lost
        log.warning("%s cannot be read (%s): the training begins anew", checkpoint, one_line(error))
        return []
    losses: list[float] = list(state["losses"])
    log.info("resumed at step %d of %d", len(losses), settings.steps)
    return losses
