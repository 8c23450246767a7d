"""The networks and trainers of runs, built once before the first run: a mistake does not fail them one by one."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution.factory import make_group
from synthaug.execution.parallelism import Load
from synthaug.execution.probe_rule import trains_head_alone


def problems(
    jobs: Iterable[Job], classes: Callable[[Job], Sequence[str]], loads: dict[Path, Load] | None = None
) -> list[str]:
    """Return why networks or trainers of runs cannot be had; each combination is tried once.

    Args:
        jobs: the runs.
        classes: of a run's dataset.
        loads: gets what each run needs, by its folder.
    """
    groups = ("model", "trainer", "batch_size")
    alike: dict[str, list[Job]] = {}
    for job in jobs:
        settings = [job.settings[key] for key in groups]
        alike.setdefault(repr((settings, job.settings["dataset"]["image_size"], classes(job))), []).append(job)
    reasons = []
    for members in alike.values():
        try:
            load = check_network(members[0], classes(members[0]))
        except UserError as error:
            reasons.append(str(error))
        else:
            if loads is not None:
                loads |= {job.folder: load for job in members}
    return reasons


def devices(jobs: Iterable[Job]) -> str:
    """Return on what runs will be computed, such as "NVIDIA H200 in bf16-mixed"; "" without runs."""
    from synthaug.training import hardware

    return " and ".join(sorted({hardware.description(job.settings["trainer"]) for job in jobs}))


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
    lightning_rules.require_whole_evaluation(trainer)
    lightning_rules.require_fine_tuning(model, trainer)
    head = tuple(f"network.{path}." for path in find_head(model.network))
    written = head if trains_head_alone(settings) else ""  # the frozen network is written once for all runs
    weights = {name: tensor.nbytes for name, tensor in model.state_dict().items()}
    activations = activation_bytes(model.network, settings["batch_size"], settings["dataset"]["image_size"])
    checkpoint = sum(size for name, size in weights.items() if name.startswith(written))
    return Load(sum(weights.values()), activations, checkpoint)
