"""One run from images to `result.json`: fit, choose the checkpoint, test once, write down."""

import datetime
import importlib.metadata
import logging
import math
import os
import platform
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import Logger

import synthaug
from synthaug.arms.build import Arm, synthetic_folder
from synthaug.data.augment import Augmentation
from synthaug.data.datamodule import MixDataModule
from synthaug.data.samples import digest
from synthaug.errors import UserError, raise_all
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.runs.contents import MixRow
from synthaug.runs.layout import RunKey
from synthaug.training.callbacks import Checkpoints, History, PredictionWriter, Progress, WholeCheckpoints
from synthaug.training.energy import Meter, counters

log = logging.getLogger(__name__)


def fit_and_test(
    folder: Path,
    key: RunKey,
    settings: Mapping[str, Any],
    arm: Arm,
    loggers: Sequence[Logger],
    make_model: Callable[..., Classifier],
    make_trainer: Callable[..., lightning.Trainer],
) -> str:
    """Train (or go on from `last.ckpt`), test the best epoch once, and write `result.json` last.

    Args:
        folder: of the run.
        key: names of the run.
        settings: the full configuration.
        arm: images.
        loggers: open ones.
        make_model: takes `classes` and `seed`.
        make_trainer: takes Lightning's Trainer arguments that are not configuration.

    Returns:
        One line for the screen.
    """
    started = datetime.datetime.now(datetime.UTC)
    seed = settings["seed"]
    lightning.seed_everything(seed, verbose=False)
    write_mix(folder, arm)
    model = make_model(classes=arm.real.classes, seed=seed)
    model.try_out(settings["dataset"]["image_size"])
    data = datamodule(arm, settings, model.pretrain_epochs)
    history = History(folder, first=model.pretrain_epochs)
    trainer = make_trainer(
        logger=list(loggers) or False,
        callbacks=[
            history,
            Progress(key.label),
            PredictionWriter(folder, arm.real.test, arm.real.classes),
            Checkpoints(folder, history),
        ],
        default_root_dir=folder,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,  # `Batches` shares the rows out itself
    )
    require_whole_evaluation(trainer)
    require_fine_tuning(model, trainer)
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    trainer.fit_loop._iteration_based_training = _epochs_are_whole  # type: ignore[method-assign]
    if loggers and trainer.is_global_zero:  # other processes of a distributed run have dummies for loggers
        log_arm(loggers, folder, key, settings, arm)
    last, best = folder / layout.LAST, folder / layout.CHECKPOINT
    resumed = last.is_file()
    with Meter(counters(gpus(trainer))) as meter:
        trainer.fit(model, datamodule=data, ckpt_path=last if resumed else None)
    if not best.is_file():
        raise UserError(
            f"There is no {best} to test: no epoch was finished and validated (trainer.max_epochs, "
            f"trainer.max_steps; epochs of pretraining do not count), or it was removed; in that case delete {last} "
            "too, and run the same command again."
        )
    trainer.test(model, datamodule=data, ckpt_path=best, verbose=False)
    test = test_metrics(trainer.callback_metrics, arm.real.classes)
    if loggers and trainer.is_global_zero:
        from synthaug.tracking import artifacts
        from synthaug.tracking import loggers as tracking

        tracking.log_test(loggers, contents.read_predictions(folder), test["class_accuracy"])
        for run in tracking.runs_of(loggers):
            artifacts.log_predictions(run, folder, settings["experiment"], key)
    if trainer.is_global_zero:
        result = {
            **facts_of(key, settings, arm),
            "test": test,
            "val": chosen_epoch(folder, model.pretrain_epochs),
            "training": {
                **trained(folder, settings),
                "passes": passes(folder, data, trainer),
                # Of an attempt that was stopped nobody knows what it took.
                **({} if resumed or trainer.num_nodes > 1 else energy_used(meter)),
            },
            "data": {**arm.digests, "scanned": arm.scanned},
            "machine": machine(trainer),
            "versions": versions(),
            "settings": dict(settings),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        layout.finish(folder, result)
    return f"test accuracy {test['accuracy']:.2%}"


def log_arm(loggers: Sequence[Logger], folder: Path, key: RunKey, settings: Mapping[str, Any], arm: Arm) -> None:
    """Tell the loggers what a run is about to be trained on."""
    from synthaug.tracking import artifacts
    from synthaug.tracking import loggers as tracking

    facts = {**settings, "counts": arm.counts, "synthetic_fraction": fraction(arm), "arm": key.arm}
    tracking.log_run(folder, loggers, facts, arm.train)
    root, synthetic = Path(settings["dataset"]["root"]), synthetic_folder(settings, key.dataset, key.generator)
    digests = {split: digest(samples) for split, samples in arm.real.splits.items()}
    for run in tracking.runs_of(loggers):
        artifacts.log_images(run, folder, key, arm.real, digests, root.expanduser(), synthetic)


def facts_of(key: RunKey, settings: Mapping[str, Any], arm: Arm) -> dict[str, Any]:
    """What `result.json` says of a run's name and images."""
    mix = settings["mix"]
    return {
        "format": layout.FORMAT,
        "experiment": settings["experiment"],
        "dataset": key.dataset,
        "generator": key.generator,
        "model": key.model,
        "arm": key.arm,
        "seed": settings["seed"],
        "mix": {"real": mix["real"], "synthetic": mix["synthetic"], "augment": mix.get("augment")},
        "synthetic_fraction": fraction(arm),
        "classes": arm.real.classes,
        "counts": arm.counts,
    }


def _epochs_are_whole() -> bool:
    """Under trainer.max_steps Lightning takes every checkpoint for one within an epoch; `Checkpoints` saves at the end.

    No lambda: a trainer that starts further processes is pickled.
    """
    return False


def require_whole_evaluation(trainer: lightning.Trainer) -> None:
    """Refuse Trainer arguments under which the checkpoint would be chosen, or tested, on a part of the images."""
    wanted = {
        "fast_dev_run": False,
        "limit_val_batches": 1.0,
        "limit_test_batches": 1.0,
        "val_check_interval": 1.0,
        "check_val_every_n_epoch": 1,
    }
    # By their text: of Lightning's limits 1 is one batch, and 1.0 all of them.
    given = {name: getattr(trainer, name) for name in wanted}
    problems = [
        f"trainer.{name}={given[name]}: must be {wanted[name]}"
        for name in wanted
        if f"{given[name]}" != f"{wanted[name]}"
    ]
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        problems.append("trainer.max_epochs=-1: would never end; give trainer.max_epochs or trainer.max_steps")
    raise_all("Every epoch is judged on all validation images, and the best on all test images:", problems)


def require_fine_tuning(model: Classifier, trainer: lightning.Trainer) -> None:
    """Refuse a run of which pretraining would leave no epoch to be judged by."""
    epochs = trainer.max_epochs
    if model.pretrain_epochs > 0 and epochs is not None and 0 <= epochs <= model.pretrain_epochs:
        raise UserError(
            f"model.pretrain_epochs={model.pretrain_epochs}: with trainer.max_epochs={epochs} no epoch is left to "
            "train on real images, and among those the checkpoint is chosen; lower it, or raise trainer.max_epochs."
        )


def datamodule(arm: Arm, settings: Mapping[str, Any], pretrain_epochs: int = 0) -> MixDataModule:
    """The arm's batches as the settings ask for them, the first epochs' of synthetic images alone."""
    dataset = settings["dataset"]
    return MixDataModule(
        arm.train,
        arm.real.val,
        arm.real.test,
        arm.store,
        image_size=dataset["image_size"],
        crop_pct=dataset["crop_pct"],
        augmentation=augmentation(dataset["augment"], settings["mix"].get("augment")),
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        num_workers=settings["num_workers"],
        pretrain_epochs=pretrain_epochs,
        baseline=len(arm.real.train) if settings["budget"] == "steps" else None,
    )


def augmentation(of_dataset: Mapping[str, Any], of_arm: Mapping[str, Any] | None) -> Augmentation:
    """What training images vary in: as the dataset has it, but for the keys that the arm has of its own."""
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, (list, tuple)) else value
        for name, value in {**of_dataset, **(of_arm or {})}.items()
    }
    return Augmentation(**settings)


def write_mix(folder: Path, arm: Arm) -> None:
    """Write down what the run trains on.

    Raises:
        UserError: the run was begun with other images.
    """
    rows = [MixRow(str(s.path), s.class_name, s.origin, s.sha256) for s in arm.train]
    if (folder / layout.LAST).is_file() and (folder / layout.MIX).is_file():
        begun = sorted((row.label, row.sha256) for row in contents.read_mix(folder))
        if begun != sorted((row.label, row.sha256) for row in rows):
            raise UserError(
                f"{folder} was begun with other training images (see its {layout.MIX}): the dataset or the synthetic "
                "set has changed since. Bring the images back, or start afresh with experiment=<name>, or delete "
                f"{folder / layout.LAST}."
            )
    contents.write_mix(folder, rows)


def fraction(arm: Arm) -> float:
    """Share of synthetic images among those trained on."""
    counts = arm.counts
    return float(counts["synthetic"] / len(arm.train))


def trained(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Budget, steps, epochs and seconds of training, all attempts together."""
    history = contents.read_history(folder)
    return {
        "budget": settings["budget"],
        "steps": int(history["step"][-1]),
        "epochs": len(history["epoch"]),
        "batch_size": settings["batch_size"],
        "seconds": round(sum(history["seconds"]), 1),
    }


def energy_used(meter: Meter) -> dict[str, Any]:
    """Kilowatt-hours of training and what counted them; empty where they were not measured."""
    if meter.kwh is None:
        return {}
    return {"kwh": meter.kwh, "kwh_of": [counter.name for counter in meter.counters]}


def gpus(trainer: lightning.Trainer) -> list[str]:
    """UUIDs of the GPUs that this machine's processes of a run train on, as NVML has them."""
    if trainer.strategy.root_device.type != "cuda":
        return []
    return [f"GPU-{torch.cuda.get_device_properties(device).uuid}" for device in trainer.device_ids]


def passes(folder: Path, data: MixDataModule, trainer: lightning.Trainer) -> float:
    """How often each training image was seen, as a mean over them, by all processes and in all attempts together.

    From the steps in the run's history: the process that writes the result need not be the one that trained.
    """
    batches, limit, each = (
        data.train_batches(world=trainer.world_size),
        trainer.limit_train_batches,
        trainer.accumulate_grad_batches,
    )
    in_epoch = min(len(batches), limit) if isinstance(limit, int) else int(len(batches) * limit)
    # The last step of an epoch takes the batches that are left; trainer.max_steps may end within one.
    epochs, steps = divmod(int(contents.read_history(folder)["step"][-1]), math.ceil(in_epoch / each))
    taken = epochs * in_epoch + steps * each
    return round(taken * batches.batch_size * batches.world / len(data.train), 4)


def chosen_epoch(folder: Path, first: int = 0) -> dict[str, Any]:
    """The epoch that was tested: the first of the best on real validation images, as `Checkpoints` keeps it.

    Args:
        folder: of the run.
        first: the first epoch that may be chosen.
    """
    history = contents.read_history(folder)
    accuracies = history["val/accuracy"][first:]
    accuracy = max(value for value in accuracies if not math.isnan(value))
    return {"accuracy": accuracy, "epoch": int(history["epoch"][first + accuracies.index(accuracy)])}


def test_metrics(logged: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """What the test loop logged, as `result.json` has it."""
    # Single precision made 0.918 of 1377/1500 into 0.91799998: seven digits are what it holds.
    values = {
        name.removeprefix("test/"): round(float(value), 7) for name, value in logged.items() if name.startswith("test/")
    }
    by_class = {name: values[f"class_accuracy/{name}"] for name in classes}
    plain = ("accuracy", "macro_f1", "calibration_error", "loss")
    return {**{name: values[name] for name in plain}, "class_accuracy": by_class}


def machine(trainer: lightning.Trainer) -> dict[str, Any]:
    """Where the run was computed."""
    device = trainer.strategy.root_device
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": trainer.world_size,
    }


def versions() -> dict[str, str]:
    """Of everything that could change a result."""
    names = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow")
    installed = {name: importlib.metadata.version(name) for name in names}
    return {"synthaug": synthaug.__version__, **commit(), "python": platform.python_version(), **installed}


def commit(checkout: Path = Path(synthaug.__file__).parents[1]) -> dict[str, str]:
    """The commit that the program's files are at, "-dirty" where some are changed; empty outside of a checkout."""
    if not (checkout / ".git").exists():
        return {}
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, or a repository of another user, which it refuses
        return {}
    return {"commit": done.stdout.strip()}


def quiet_libraries() -> None:
    """Silence what Lightning says at every start: advertisements, and facts that the run folder holds."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The pixel store is memory-mapped: reading it in the training process is as fast as in a worker.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # A small arm has fewer batches than Lightning's logging interval; the curves are per epoch.
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # Frozen stages are meant to be.
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
    # GoogLeNet and Inception from scratch: of torchvision's future, about which nobody can do anything here.
    warnings.filterwarnings("ignore", message="The default weight initialization of")
    # Lightning's own use of what PyTorch has renamed since.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
