"""What a run asks of Lightning: whole evaluations, whole epochs, no messages of its own."""

import logging
import os
import warnings
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks.timer import Interval, Timer

from synthaug.errors import UserError, raise_all
from synthaug.messages import plural
from synthaug.models.classifier import Classifier

# Of every Trainer here: the run folder has the facts, `Progress` the bar, and `Batches` distributes the rows itself.
TRAINER_ARGUMENTS: dict[str, Any] = {
    "enable_model_summary": False,
    "enable_progress_bar": False,
    "use_distributed_sampler": False,
}


def require_whole_evaluation(trainer: lightning.Trainer) -> None:
    """Check that every epoch is validated, and the best one tested, on all images.

    Raises:
        UserError: all arguments under which it would not be.
    """
    required = {
        "fast_dev_run": False,
        "limit_val_batches": 1.0,
        "limit_test_batches": 1.0,
        "val_check_interval": 1.0,
        "check_val_every_n_epoch": 1,
    }
    # Compared as text: of Lightning's limits 1 is one batch, and 1.0 all of them.
    problems = [
        f"trainer.{name}={value}: must be {required[name]}"
        for name, value in ((name, getattr(trainer, name)) for name in required)
        if f"{value}" != f"{required[name]}"
    ]
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        problems.append("trainer.max_epochs=-1: would never end; set trainer.max_epochs or trainer.max_steps")
    raise_all("Every epoch is evaluated on all validation images, and the best on all test images:", problems)


def require_fine_tuning(model: Classifier, trainer: lightning.Trainer) -> None:
    """Check that pretraining leaves an epoch to choose.

    Args:
        model: with its number of epochs of pretraining.
        trainer: with the number of all epochs.

    Raises:
        UserError: it leaves none.
    """
    epochs = trainer.max_epochs
    if model.pretrain_epochs > 0 and epochs is not None and 0 <= epochs <= model.pretrain_epochs:
        raise UserError(
            f"model.pretrain_epochs={model.pretrain_epochs}: with trainer.max_epochs={epochs} no epoch is left to "
            "train on real images, and the checkpoint is chosen among those; lower it, or raise trainer.max_epochs."
        )


def require_nodes(trainer: lightning.Trainer) -> None:
    """Check that processes on other nodes can find this one, which would wait for them in silence.

    Args:
        trainer: with the number of nodes.

    Raises:
        UserError: neither a launcher nor the environment names the address of the first node.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    is_launched = environment is None or environment.creates_processes_externally
    if trainer.num_nodes > 1 and not is_launched and "MASTER_ADDR" not in os.environ:
        raise UserError(
            f"trainer.num_nodes={trainer.num_nodes}: no other node can find this one; start the command on each with "
            "torchrun or srun, or with MASTER_ADDR, MASTER_PORT and NODE_RANK in its environment. On one machine leave "
            "the key out."
        )


def require_whole_epoch(trainer: lightning.Trainer, batches: int) -> None:
    """Check that an epoch has a step, and that the steps of a run make an epoch.

    Args:
        trainer: with its limits.
        batches: of the arm in an epoch, for this process.

    Raises:
        UserError: there would be no epoch to test, however long the training.
    """
    limit, most = trainer.limit_train_batches, trainer.max_steps
    limited = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if batches and not limited:
        raise UserError(
            f"trainer.limit_train_batches={limit}: an epoch of this arm has {plural(batches, 'batch', 'batches')}, so "
            "that none would be left; choose a number of batches, at least 1, or 1.0 for all."
        )
    steps = -(-limited // trainer.accumulate_grad_batches)
    if 0 <= most < steps:
        raise UserError(
            f"trainer.max_steps={most}: an epoch of this arm has {plural(steps, 'step')}, and only a whole one is "
            f"validated and tested; choose at least {steps}."
        )


def save_whole_epochs(trainer: lightning.Trainer) -> None:
    """Make a run stop and resume between epochs only, from our own checkpoints.

    Under trainer.max_steps Lightning takes every checkpoint for one within an epoch; ours are written at the end. Under
    trainer.max_time it stops within an epoch. On a signal of Slurm it writes a checkpoint of its own there, and on
    SIGTERM it makes processes talk to each other within the handler: how a command is stopped is `signals`' alone.
    """
    trainer.fit_loop._iteration_based_training = _never  # type: ignore[method-assign]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer):
            callback._interval = Interval.epoch
    trainer._signal_connector.register_signal_handlers = _nothing  # type: ignore[method-assign]


def require_all_epochs(trainer: lightning.Trainer, epochs: int) -> None:
    """Check that a run was not stopped by its time limit.

    Args:
        trainer: after the training.
        epochs: that the run has had, earlier attempts included.

    Raises:
        UserError: some are missing.
    """
    remaining = [callback.time_remaining() for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    is_over = any(seconds is not None and seconds <= 0 for seconds in remaining)
    wanted = trainer.max_epochs or -1
    if is_over and epochs != wanted and trainer.global_step != trainer.max_steps:
        count = plural(epochs, "epoch") if wanted == -1 else f"{epochs} of {wanted} epochs"
        raise UserError(f"trainer.max_time ended the training after {count}; the same command continues it.")


def _never() -> bool:  # no lambda: a trainer that starts further processes is pickled
    return False


def _nothing() -> None:
    pass


def quiet_libraries() -> None:
    """Silence what Lightning logs at every start: advertisements, and facts that the run folder holds."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        # The pixel store is memory-mapped: reading it in the training process is as fast as in a worker.
        ".*does not have many workers.*",
        # A small arm has fewer batches than Lightning's logging interval; the curves are per epoch.
        ".*smaller than the logging interval.*",
        # Where a cluster's command is installed and the run is not one of its jobs.
        "The `srun` command is available on your system but is not used",
        # Frozen stages are meant to be.
        ".*in eval mode at the start of training.*",
        # GoogLeNet and Inception from scratch: announces a change of torchvision.
        "The default weight initialization of",
        # Networks in channels_last under ddp; nothing that a user could change.
        "Grad strides do not match bucket view strides",
        # Lightning's own use of what PyTorch has renamed since.
        ".*LeafSpec.*is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message=message)
