"""What a machine computes in: the precision that `trainer.precision=auto` stands for, and how the device is called."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.accelerators import MPSAccelerator

_AUTO = ("auto", "gpu")  # Lightning takes MPS before CUDA for them
_HALF = (7, 0)  # compute capability from which a GPU multiplies faster in 16 bits (tensor cores)
_BFLOAT = (8, 0)  # from which it has bfloat16, and TF32


def trainer_settings(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node `trainer` with the precision of this machine in the place of "auto".

    Args:
        node: arguments of Lightning's Trainer.
    """
    if node.get("precision") != "auto":
        return dict(node)
    return {**node, "precision": _precision(str(node.get("accelerator", "auto")))}


def allow_tf32() -> None:
    """Let a GPU that has TF32 use it for products of 32-bit matrices, as cuDNN does for convolutions."""
    if torch.cuda.is_available() and torch.cuda.get_device_capability() >= _BFLOAT:
        torch.set_float32_matmul_precision("high")


def device_name(device: torch.device) -> str:
    """Return "NVIDIA H200", "mps" or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def device_kind(accelerator: str) -> str:
    """Return the kind of device that Lightning takes: "cuda", "mps", "cpu", or another accelerator as it is called.

    Args:
        accelerator: argument of its Trainer.
    """
    if accelerator not in _AUTO:
        return accelerator
    if MPSAccelerator.is_available():
        return "mps"
    return "cuda" if torch.cuda.is_available() else "cpu"


def description(node: Mapping[str, Any]) -> str:
    """Return on what a run will be computed, and in which precision: "NVIDIA H200 in bf16-mixed".

    Args:
        node: arguments of Lightning's Trainer.
    """
    kind = device_kind(str(node.get("accelerator", "auto")))
    device = torch.cuda.get_device_name() if kind == "cuda" and torch.cuda.is_available() else kind
    return f"{device} in {trainer_settings(node).get('precision') or '32-true'}"


def _precision(accelerator: str) -> str:
    if device_kind(accelerator) != "cuda" or not torch.cuda.is_available():  # no gain on MPS was ever measured here
        return "32-true"
    capability = torch.cuda.get_device_capability()
    if capability >= _BFLOAT:
        return "bf16-mixed"
    return "16-mixed" if capability >= _HALF else "32-true"
