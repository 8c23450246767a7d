"""The networks and trainers of runs, built once before the first run: a mistake does not fail them one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution import parallelism
from synthaug.execution.factory import make_group
from synthaug.execution.parallelism import Load
from synthaug.execution.probe_rule import trains_head_alone


@dataclass(frozen=True)
class Inspection:
    """What the networks and trainers of runs are like.

    Attributes:
        problems: why some cannot be had.
        loads: folder of a run → what it needs.
        device: on what runs will be computed, such as "NVIDIA H200 in bf16-mixed"; "" without runs.
        devices: GPUs and the like that they can use.
    """

    problems: list[str]
    loads: dict[Path, Load]
    device: str = ""
    devices: int = 0


def inspect(jobs: Sequence[tuple[Job, list[str]]]) -> Inspection:
    """Build the network and the trainer of each combination of settings once.

    Args:
        jobs: the runs, each with the classes of its dataset.
    """
    groups = ("model", "trainer", "batch_size")
    alike: dict[str, list[Job]] = {}
    classes_of: dict[str, list[str]] = {}
    for job, classes in jobs:
        settings = [job.settings[key] for key in groups]
        kind = repr((settings, job.settings["dataset"]["image_size"], classes))
        classes_of[kind] = classes
        alike.setdefault(kind, []).append(job)
    reasons, loads = list[str](), dict[Path, Load]()
    for kind, members in alike.items():
        try:
            load = check_network(members[0], classes_of[kind])
        except UserError as error:
            reasons.append(str(error))
        else:
            loads |= {job.folder: load for job in members}
    if not jobs:
        return Inspection(reasons, loads)
    from synthaug.training import hardware

    names = {hardware.description(job.settings["trainer"]) for job, _ in jobs}
    devices = max(parallelism.count_devices(job.settings["trainer"].get("accelerator", "auto")) for job, _ in jobs)
    return Inspection(reasons, loads, " and ".join(sorted(names)), devices)


def check_network(job: Job, classes: Sequence[str]) -> Load:
    """Build the network and the trainer of a run, and pass images through the network; return what the run needs.

    Args:
        job: the run.
        classes: of its dataset.

    Raises:
        UserError: they cannot be built, do not go together, or do not take the images.
    """
    from synthaug.models.footprint import activation_bytes
    from synthaug.models.heads import find_head
    from synthaug.training import lightning_rules

    lightning_rules.quiet_libraries()
    settings = job.settings
    model = make_group(job, "model", classes=classes, seed=settings["seed"])
    model.check_image_size(settings["dataset"]["image_size"])
    model.check_batch_size(settings["batch_size"], settings["dataset"]["image_size"])
    trainer = make_group(job, "trainer", logger=False, enable_checkpointing=False)
    lightning_rules.require_nodes(trainer)
    lightning_rules.require_whole_evaluation(trainer)
    lightning_rules.require_fine_tuning(model, trainer)
    head = tuple(f"network.{path}." for path in find_head(model.network))
    written = head if trains_head_alone(settings) else ""  # the frozen network is written once for all runs
    weights = {name: tensor.nbytes for name, tensor in model.state_dict().items()}
    activations = activation_bytes(model.network, settings["batch_size"], settings["dataset"]["image_size"])
    checkpoint = sum(size for name, size in weights.items() if name.startswith(written))
    return Load(sum(weights.values()), activations, checkpoint)
