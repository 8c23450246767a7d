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
_CONTEXT = 500e6  # of a GPU, for each process that uses it; its libraries' work space included

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
        return _BASE + self._training

    @property
    def device_memory(self) -> float:
        """Bytes of a GPU's memory that a worker needs."""
        return _CONTEXT + self._training

    @property
    def _training(self) -> float:
        return _WEIGHTS * self.weights + _ACTIVATIONS * self.activations


@dataclass(frozen=True)
class Machine:
    """What runs can share.

    Attributes:
        cores: of the processor.
        memory: bytes that are free; None where nothing is known of it.
        devices: GPUs, or what else trains in the place of the processor; 0: the processor trains.
        device_memory: bytes that are free on each of them; None where nothing is known of it.
    """

    cores: int
    memory: int | None
    devices: int = 0
    device_memory: int | None = None

    @classmethod
    def current(cls, devices: int = 0, device_memory: int | None = None) -> "Machine":
        """Return this machine.

        Args:
            devices: for its runs.
            device_memory: bytes that are free on each of them.
        """
        return cls(processor.available_cores(), processor.available_memory(), devices, device_memory)


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


@dataclass(frozen=True)
class Concurrency:
    """How many runs work at a time.

    Attributes:
        runs: as long as others wait.
        last: most of the last ones, which share cores: five runs on two cores are two and then three, instead of two,
            two, and one that leaves a core idle. Not of those on GPUs, or where the user has set the number.
    """

    runs: int
    last: int

    def allowed(self, running: int, waiting: int) -> int:
        """Return how many runs may work now.

        Args:
            running: runs that work.
            waiting: runs that are still to begin.
        """
        return max(self.runs, self.last if running + waiting <= self.last else 0)


ONE = Concurrency(1, 1)


def choose(jobs: Sequence[Job], loads: Sequence[Load], machine: Machine) -> tuple[Concurrency, str]:
    """Return how many runs work at a time, and what to tell of it.

    Args:
        jobs: runs that are not finished.
        loads: of their networks.
        machine: that they run on.
    """
    requested, threads = jobs[0].settings["parallel"], jobs[0].settings["threads"]
    wanted = (machine.devices or max(1, machine.cores // threads)) if requested == AUTO else requested
    wanted = min(wanted, len(jobs))
    memories = [(max((load.memory for load in loads), default=0.0), machine.memory, 1, "memory")]
    if machine.devices:
        needed = max((load.device_memory for load in loads), default=0.0)
        memories.append((needed, machine.device_memory, machine.devices, "GPU memory"))
    limits = [
        (count * math.floor(free / needed), f"{needed / 1e9:.1f} GB of {name}, and {free / 1e9:.1f} GB are free")
        for needed, free, count, name in memories
        if free is not None and needed
    ]
    fitting, reason = min(limits, default=(len(jobs), ""))
    workers = max(1, min(wanted, fitting))
    shares_cores = requested == AUTO and not machine.devices and workers > 1
    last = max(workers, min(2 * workers - 1, fitting)) if shares_cores else workers
    text = f"{workers} instead of {plural(wanted, 'run')} at a time: each needs about {reason}."
    return Concurrency(workers, last), "" if workers == wanted else text


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
    import torch

    from synthaug.training import hardware

    kind = hardware.device_kind(accelerator)
    return torch.cuda.device_count() if kind == "cuda" else int(kind == "mps")


def free_device_memory(devices: int) -> int | None:
    """Return the bytes of memory that are free on each GPU; None without one. It makes this process a user of all.

    Args:
        devices: how many there are.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    return min(torch.cuda.mem_get_info(number)[0] for number in range(devices))


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
