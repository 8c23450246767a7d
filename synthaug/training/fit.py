"""One run from images to `result.json`: fit, choose the checkpoint, test once, write down."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.loggers import Logger

from synthaug.arms import build, feedback
from synthaug.arms.build import Arm, synthetic_folder
from synthaug.arms.epoch_images import EpochImages, epoch_images
from synthaug.data.augment import Augmentation
from synthaug.data.datamodule import MixDataModule
from synthaug.data.samples import digest
from synthaug.errors import UserError
from synthaug.models.classifier import Classifier
from synthaug.models.compilation import compile_network
from synthaug.runs import contents, layout
from synthaug.runs.budget import images_per_epoch
from synthaug.runs.epoch_choice import epoch_to_test
from synthaug.runs.factors import run_label
from synthaug.runs.identity import run_seed, synthetic_set_name
from synthaug.runs.layout import RunKey
from synthaug.training import hardware, lightning_rules
from synthaug.training.callbacks import Checkpoints, History, PredictionWriter
from synthaug.training.checkpoint_files import AtomicCheckpointIO, resumable
from synthaug.training.progress import Progress, SweepPlace
from synthaug.training.provenance import provenance


def fit_and_test(
    folder: Path,
    key: RunKey,
    name: str,
    settings: Mapping[str, Any],
    arm: Arm,
    loggers: Sequence[Logger],
    make_model: Callable[..., Classifier],
    make_trainer: Callable[..., lightning.Trainer],
    place: SweepPlace | None = None,
) -> str:
    """Train (or resume from `last.ckpt`), test the chosen epoch once, and write `result.json` last.

    Args:
        folder: of the run.
        key: names of the run.
        name: of its arm in the study.
        settings: the full configuration.
        arm: images.
        loggers: open ones.
        make_model: takes `classes` and `seed`.
        make_trainer: takes Lightning's Trainer arguments that are not configuration.
        place: of the run in its sweep.

    Returns:
        One line for the screen.

    Raises:
        UserError: a setting that the network or the Trainer refuses; no epoch that could be tested.
    """
    started = datetime.datetime.now(datetime.UTC)
    lightning.seed_everything(run_seed(settings), verbose=False)
    hardware.allow_tf32()
    write_mix(folder, arm)
    model = make_model(classes=arm.real.classes, seed=run_seed(settings))
    model.check_image_size(settings["dataset"]["image_size"])
    model.speed_up(settings["dataset"]["image_size"])
    model.objective.weigh_classes([sample.label for sample in arm.train])
    if settings["compile"]:
        compile_network(model.network)
    data = datamodule(arm, settings, model.pretrain_epochs)
    model.check_batch_size(data.train_batches().batch_size, settings["dataset"]["image_size"])
    validation = validation_images(arm, settings)
    clusters = partial(build.clusters, arm.real.test, arm.store)
    files = AtomicCheckpointIO()
    history = History(folder, first=model.pretrain_epochs, is_last=not validation.choose)
    trainer = make_trainer(
        logger=list(loggers) or False,
        callbacks=[
            history,
            Progress(run_label(name, key), place),
            PredictionWriter(folder, arm.real.test, clusters, arm.real.classes),
            Checkpoints(folder, history, files),
        ],
        default_root_dir=folder,
        **lightning_rules.TRAINER_ARGUMENTS,
    )
    lightning_rules.require_whole_evaluation(trainer)
    lightning_rules.require_fine_tuning(model, trainer)
    if not model.pretrain_epochs:  # whose epochs have other numbers of batches
        lightning_rules.require_whole_epoch(trainer, len(data.train_batches()))
    lightning_rules.save_whole_epochs(trainer)
    trainer.strategy.checkpoint_io = files
    logs = bool(loggers) and trainer.is_global_zero  # other processes of a distributed run have dummies for loggers
    if logs:
        log_arm(loggers, folder, key, name, settings, arm)
    last, best = resumable(folder), folder / layout.CHECKPOINT
    if last is None and trainer.is_global_zero:
        for name in (layout.CHECKPOINT, layout.LAST, layout.PREVIOUS):  # of an attempt that is not continued
            (folder / name).unlink(missing_ok=True)
    trainer.fit(model, datamodule=data, ckpt_path=last)
    lightning_rules.require_all_epochs(trainer, len(history.rows))
    if not best.is_file():
        raise UserError(
            f"There is no {best} to test: no epoch was finished and validated (trainer.max_epochs, "
            f"trainer.max_steps; epochs of pretraining do not count), or it was removed; in that case move {folder} "
            "away, and run the same command again."
        )
    trainer.test(model, datamodule=data, ckpt_path=best, verbose=False)
    test = test_metrics(trainer.callback_metrics, arm.real.classes)
    if logs:
        log_test(loggers, folder, key, settings, test)
    if trainer.is_global_zero:
        val = chosen_epoch(folder, validation, model.pretrain_epochs)
        passes = mean_passes(folder, data, trainer)
        finish(folder, key, settings, arm, {"test": test, "val": val, **provenance(trainer)}, passes, started)
    return f"test accuracy {100 * test['accuracy']:.2f} %"


def finish(
    folder: Path,
    key: RunKey,
    settings: Mapping[str, Any],
    arm: Arm,
    measured: Mapping[str, Any],
    passes: float,
    started: datetime.datetime,
) -> None:
    """Write `result.json`, which marks a run as finished.

    Args:
        folder: of the run.
        key: names of the run.
        settings: the full configuration.
        arm: images.
        measured: the fields `test`, `val`, `machine` and `versions`.
        passes: how often each training image was seen, on average.
        started: when the run began.
    """
    result = {
        **run_fields(key, settings, arm),
        **measured,
        "training": {**training_fields(folder, settings), "passes": passes},
        "data": {**arm.digests, "scanned": arm.scanned},
        "settings": dict(settings),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    lists = (file(folder).name for file in (layout.mix_file, layout.predictions_file))
    layout.finish(folder, result, (*lists, layout.HISTORY, layout.CHECKPOINT))


def log_arm(
    loggers: Sequence[Logger], folder: Path, key: RunKey, name: str, settings: Mapping[str, Any], arm: Arm
) -> None:
    """Log what a run is about to be trained on.

    Args:
        loggers: open ones.
        folder: of the run.
        key: names of the run.
        name: of its arm in the study.
        settings: the full configuration.
        arm: images.
    """
    from synthaug.tracking import artifacts
    from synthaug.tracking import loggers as tracking

    config = {**settings, "counts": arm.counts, "synthetic_fraction": synthetic_fraction(arm), "arm": name}
    tracking.log_arm(folder, loggers, config, arm.train)
    root = Path(settings["dataset"]["root"])
    synthetic = synthetic_folder(settings, key.dataset, synthetic_set_name(settings))
    for run in tracking.wandb_runs(loggers):
        artifacts.log_images(run, folder, key, arm.real, root.expanduser(), synthetic)


def log_test(
    loggers: Sequence[Logger], folder: Path, key: RunKey, settings: Mapping[str, Any], test: Mapping[str, Any]
) -> None:
    """Log predictions and accuracy per class, and the model itself where that is configured.

    Args:
        loggers: open ones.
        folder: of the run.
        key: names of the run.
        settings: the full configuration.
        test: the field `test` of `result.json`.
    """
    from synthaug.tracking import artifacts
    from synthaug.tracking import loggers as tracking

    tracking.log_test(loggers, contents.read_predictions(folder, probabilities=False), test["class_accuracy"])
    for run in tracking.wandb_runs(loggers):
        artifacts.log_predictions(run, folder, settings["experiment"], key)
        if any(node.get("log_model") for node in (settings.get("logger") or {}).values()):
            artifacts.log_model(run, folder, settings["experiment"], key, test)


def run_fields(key: RunKey, settings: Mapping[str, Any], arm: Arm) -> dict[str, Any]:
    """Return the fields of `result.json` on a run's names and images.

    Args:
        key: names of the run.
        settings: the full configuration.
        arm: images.
    """
    return {
        "format": layout.FORMAT,
        "experiment": settings["experiment"],
        **key.names,
        "synthetic_fraction": synthetic_fraction(arm),
        "classes": arm.real.classes,
        "counts": arm.counts,
        **({"feedback": feedback.as_json(arm.feedback)} if arm.feedback else {}),
        **({"screening": arm.screening} if arm.screening else {}),
        **({"adapters": [asdict(adapter) for adapter in arm.adapted]} if arm.adapted else {}),
    }


def validation_images(arm: Arm, settings: Mapping[str, Any]) -> EpochImages:
    """Return the images on which a run is validated, and whether they choose its epoch.

    Args:
        arm: images.
        settings: the full configuration.
    """
    return epoch_images(arm.real, arm.train, settings["selection"], run_seed(settings))


def datamodule(arm: Arm, settings: Mapping[str, Any], pretrain_epochs: int = 0) -> MixDataModule:
    """Return the arm's batches.

    Args:
        arm: images.
        settings: the full configuration.
        pretrain_epochs: how many epochs train on synthetic images alone, first.
    """
    dataset = settings["dataset"]
    return MixDataModule(
        arm.train,
        validation_images(arm, settings).images,
        arm.real.test,
        arm.store,
        image_size=dataset["image_size"],
        crop_pct=dataset["crop_pct"],
        augmentation=augmentation(dataset["augment"], settings["mix"].get("augment")),
        batch_size=settings["batch_size"],
        seed=run_seed(settings),
        num_workers=settings["num_workers"],
        pretrain_epochs=pretrain_epochs,
        baseline=images_per_epoch(settings, len(arm.real.train), arm.counts["synthetic"]),
        sampling=settings.get("sampling"),
        views=settings["model"].get("views"),
    )


def augmentation(of_dataset: Mapping[str, Any], of_arm: Mapping[str, Any] | None) -> Augmentation:
    """Return how training images are varied.

    Args:
        of_dataset: `dataset.augment`.
        of_arm: `mix.augment`, whose keys replace the dataset's.
    """
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, (list, tuple)) else value
        for name, value in {**of_dataset, **(of_arm or {})}.items()
    }
    return Augmentation(**settings)


def write_mix(folder: Path, arm: Arm) -> None:
    """Write the list of the training images.

    Args:
        folder: of the run.
        arm: images.

    Raises:
        UserError: the run was started with other images.
    """
    listed, begun = layout.mix_file(folder), any((folder / name).is_file() for name in (layout.LAST, layout.PREVIOUS))
    if begun and listed.is_file() and digest(contents.read_mix(folder)) != digest(arm.train):
        raise UserError(
            f"{folder} was started with other training images (see its {listed.name}): the dataset or the synthetic "
            "set has changed since. Restore the images, or start a new study with experiment=<name>, or move "
            f"{folder} away."
        )
    contents.write_mix(folder, arm.train, (arm.real.train, arm.real.more, arm.pool))


def synthetic_fraction(arm: Arm) -> float:
    """Return the share of synthetic images among those trained on."""
    return float(arm.counts["synthetic"] / len(arm.train))


def training_fields(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return budget, steps, epochs and seconds of training, all attempts together.

    Args:
        folder: of the run.
        settings: the full configuration.
    """
    history = contents.read_history(folder)
    return {
        "budget": settings["budget"],
        "steps": int(history["step"][-1]),
        "epochs": len(history["epoch"]),
        "batch_size": settings["batch_size"],
        "seconds": round(sum(history["seconds"]), 1),
    }


def mean_passes(folder: Path, data: MixDataModule, trainer: lightning.Trainer) -> float:
    """Return how often each training image was seen, on average, by all processes and in all attempts together.

    From the steps in the run's history: the process that writes the result need not be the one that trained.

    Args:
        folder: of the run.
        data: its batches.
        trainer: with the number of processes and of batches per step.
    """
    batches, limit, per_step = (
        data.train_batches(world=trainer.world_size),
        trainer.limit_train_batches,
        trainer.accumulate_grad_batches,
    )
    per_epoch = min(len(batches), limit) if isinstance(limit, int) else int(len(batches) * limit)
    # The last step of an epoch takes the batches that are left; trainer.max_steps may end within one.
    epochs, steps = divmod(int(contents.read_history(folder)["step"][-1]), math.ceil(per_epoch / per_step))
    trained = epochs * per_epoch + steps * per_step
    return round(trained * batches.batch_size * batches.world / len(data.train), 4)


def chosen_epoch(folder: Path, validation: EpochImages, first: int = 0) -> dict[str, Any]:
    """Return the field `val` of `result.json`: the epoch that was tested, and what chose it.

    Args:
        folder: of the run.
        validation: its images; `accuracy` is that on all of them, None for an epoch that was cut short.
        first: the first epoch that may be chosen.
    """
    history = contents.read_history(folder)
    index = epoch_to_test(history["val/accuracy"], first, is_last=not validation.choose)
    assert index is not None, "without such an epoch there is no checkpoint"
    accuracy = history["val/accuracy"][index]
    return {
        "accuracy": None if math.isnan(accuracy) else accuracy,
        "epoch": int(history["epoch"][index]),
        "images": len(validation.images),
        "n_selection": validation.n_selection,
    }


def test_metrics(logged: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Return the field `test` of `result.json`.

    Args:
        logged: metrics of the test loop, "test/<name>" → value.
        classes: names.
    """
    # Single precision made 0.918 of 1377/1500 into 0.91799998: seven digits are what it holds.
    values = {
        name.removeprefix("test/"): round(float(value), 7) for name, value in logged.items() if name.startswith("test/")
    }
    by_class = {name: values[f"class_accuracy/{name}"] for name in classes}
    overall = ("accuracy", "macro_f1", "calibration_error", "loss")
    return {**{name: values[name] for name in overall}, "class_accuracy": by_class}
