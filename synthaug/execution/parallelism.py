"""How many runs of a sweep work at a time on this machine: `parallel`, cores, memory, GPUs."""

import math
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution import processor
from synthaug.execution.probe_rule import trains_head_alone
from synthaug.messages import plural

AUTO = "auto"
# Memory of a worker beyond what all share, fitted to peaks of ResNet18 at 32 and 224 pixels and ViT-B/16.
_BASE, _WEIGHTS, _ACTIVATIONS = 300e6, 5, 1.25

_ONE_PROCESS = {"devices": AUTO, "num_nodes": 1, "strategy": AUTO}  # arguments of Lightning's Trainer → its defaults
_LARGE = 96  # pixels from which a second thread is worth more than half of a core


@dataclass(frozen=True)
class Load:
    """What one run needs.

    Attributes:
        weights: bytes of its network.
        activations: bytes that the network keeps of a batch for the way back.
        checkpoint: bytes that the run writes.
    """

    weights: int
    activations: int = 0
    checkpoint: int = 0

    @property
    def memory(self) -> float:
        """Bytes of memory of a worker: weights, gradients and moments, and the batch."""
        return _BASE + _WEIGHTS * self.weights + _ACTIVATIONS * self.activations


@dataclass(frozen=True)
class Machine:
    """What runs can share.

    Attributes:
        cores: of the processor.
        memory: bytes that are free; None where nothing is known of it.
        devices: GPUs, or what else trains in the place of the processor; 0: the processor trains.
    """

    cores: int
    memory: int | None
    devices: int = 0

    @classmethod
    def current(cls, devices: int = 0) -> "Machine":
        """Return this machine, with so many devices for its runs."""
        return cls(processor.available_cores(), processor.available_memory(), devices)


def starts_workers(jobs: Sequence[Job], may_be_parallel: bool) -> bool:
    """Return whether runs have processes of their own, in which several can work at a time.

    Args:
        jobs: runs that are not finished.
        may_be_parallel: whether the launcher can do it.

    Raises:
        UserError: `parallel` asks for what these runs cannot do.
    """
    if not jobs:
        return False
    settings = jobs[0].settings
    requested = settings["parallel"]
    obstacle = _obstacle(settings["trainer"], may_be_parallel)
    if obstacle and requested not in (AUTO, 1):
        raise UserError(f"parallel={requested}: {obstacle}; leave parallel out.")
    if obstacle or requested == 1 or len(jobs) == 1 or all(trains_head_alone(job.settings) for job in jobs):
        return False
    return bool(requested != AUTO or processor.available_cores() >= 2 * settings["threads"])


def choose(jobs: Sequence[Job], loads: Sequence[Load], machine: Machine) -> tuple[int, str]:
    """Return how many runs work at a time, and what to tell of it.

    Args:
        jobs: runs that are not finished.
        loads: of their networks.
        machine: that they run on.
    """
    requested, threads = jobs[0].settings["parallel"], jobs[0].settings["threads"]
    wanted = (machine.devices or max(1, machine.cores // threads)) if requested == AUTO else requested
    wanted = min(wanted, len(jobs))
    memory = max((load.memory for load in loads), default=0.0)
    fitting = math.floor(machine.memory / memory) if machine.memory is not None and memory else wanted
    workers = max(1, min(wanted, fitting))
    return workers, "" if workers == wanted else (
        f"{workers} instead of {plural(wanted, 'run')} at a time: each needs about {memory / 1e9:.1f} GB of memory, "
        f"and {(machine.memory or 0) / 1e9:.1f} GB are free."
    )


def hint(settings: Mapping[str, Any], machine: Machine) -> str:
    """Return how a single run could use more of the processor; empty where that would not help.

    Args:
        settings: of the run.
        machine: that it runs on.
    """
    threads, side, cores = settings["threads"], settings["dataset"]["image_size"], machine.cores
    if machine.devices or cores < 2 * threads or side < _LARGE:
        return ""
    return (
        f"{plural(threads, 'thread')} of {cores} cores: threads={cores} trains faster on images of {side} pixels "
        "(and rounds differently); several runs (-m) use all cores anyway."
    )


def count_devices(accelerator: str) -> int:
    """Return how many devices other than the processor runs can use.

    Args:
        accelerator: Lightning's name of what they run on.
    """
    if accelerator == "cpu":
        return 0
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return int(accelerator in (AUTO, "mps", "gpu") and torch.backends.mps.is_available())


def _obstacle(trainer: Mapping[str, Any], may_be_parallel: bool) -> str:
    """Return why runs cannot work beside each other; empty where they can."""
    if not may_be_parallel:
        return "this launcher, or Hydra's callbacks, carry out runs in their own way"
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "this system cannot fork processes"
    devices, nodes, strategy = (trainer.get(key, default) for key, default in _ONE_PROCESS.items())
    if strategy != AUTO:
        return f"each run has processes of its own (trainer.strategy={strategy})"
    is_single = devices in (1, "1") or (isinstance(devices, list) and len(devices) == 1)
    if nodes != 1 or not (is_single):
        return f"each run uses several devices (trainer.devices={devices}, trainer.num_nodes={nodes})"
    return ""
