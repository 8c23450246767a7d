"""Where and with what a result was computed: machine, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch

import synthaug
from synthaug.training import hardware

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def provenance(trainer: lightning.Trainer) -> dict[str, Any]:
    """Return the keys `machine` and `versions` of a `result.json`."""
    return {"machine": machine(trainer), "versions": versions()}


def machine(trainer: lightning.Trainer) -> dict[str, Any]:
    """Return system, processor, threads, device, precision, number of processes; whether the network is compiled."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": hardware.device_name(trainer.strategy.root_device),
        "precision": trainer.precision,
        "compiled": _is_compiled(trainer.lightning_module),
        "processes": trainer.world_size,
    }


def _is_compiled(module: Any) -> bool:
    network = getattr(module, "network", None)  # none where a head was trained on what a frozen network saw
    return getattr(network, "_compiled_call_impl", None) is not None


def versions() -> dict[str, str]:
    """Return the version of everything that could change a result, and the commit of a checkout."""
    installed = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"synthaug": synthaug.__version__, **commit(), "python": platform.python_version(), **installed}


def commit(checkout: Path = Path(synthaug.__file__).parents[1]) -> dict[str, str]:
    """Return the commit of the program's files, "-dirty" if some are changed; empty outside of a checkout."""
    if not (checkout / ".git").exists():
        return {}
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, or a repository of another user, which it refuses
        return {}
    return {"commit": described.stdout.strip()}
