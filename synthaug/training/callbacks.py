"""Callbacks of a run: learning curves, checkpoints, predictions."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, Timer

from synthaug import signals
from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.files import write_rows
from synthaug.models.classifier import Classifier
from synthaug.runs.contents import write_predictions
from synthaug.runs.epoch_choice import epoch_to_test
from synthaug.runs.layout import CHECKPOINT, HISTORY, LAST, mix_file
from synthaug.runs.prediction_files import Predictions
from synthaug.training.checkpoint_files import AtomicCheckpointIO

COLUMNS = ("epoch", "step", "train/loss", "val/loss", "val/accuracy", "lr", "seconds")


class History(Callback):
    """Learning curves in `history.csv`, one row per epoch; kept in the checkpoint, so that a resume continues them.

    Args:
        folder: of the run.
        first: the first epoch that may be chosen; those before it are pretraining.
        is_last: whether the last epoch is tested, and not the first of the best.
    """

    def __init__(self, folder: Path, first: int = 0, is_last: bool = False) -> None:
        self.folder = folder
        self.first = first
        self.is_last = is_last
        self.rows: list[list[float]] = []
        self._started = 0.0
        self._validated = False

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    @property
    def last_is_tested(self) -> bool:
        """Return whether the last epoch is the one to be tested, so far."""
        accuracies = [row[COLUMNS.index("val/accuracy")] for row in self.rows]
        return epoch_to_test(accuracies, self.first, self.is_last) == len(accuracies) - 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not in on_train_epoch_start: Lightning leaves that hook out of the first epoch after a resume.
        self._begin_epoch()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        # Where trainer.max_steps cuts an epoch short it goes without validation.
        metrics = trainer.callback_metrics if self._validated else {}
        self.rows.append(
            [
                trainer.current_epoch,
                trainer.global_step,
                # The module resets this metric in its own hook, which comes after this one.
                float(pl_module.train_loss.compute()),
                float(metrics.get("val/loss", math.nan)),
                float(metrics.get("val/accuracy", math.nan)),
                trainer.optimizers[0].param_groups[0]["lr"],
                round(time.perf_counter() - self._started, 3),
            ]
        )
        self._begin_epoch()
        if trainer.is_global_zero:
            write_rows(self.folder / HISTORY, COLUMNS, self.rows)

    def _begin_epoch(self) -> None:
        self._started = time.perf_counter()
        self._validated = False


class Checkpoints(Checkpoint):
    """`best.ckpt`, of the epoch that is to be tested, as far as is known, and `last.ckpt`, to resume from.

    Lightning's ModelCheckpoint forgets its best score when the folder was moved between two attempts.

    Args:
        folder: of the run.
        history: of the run, a callback before this one.
        files: which the Trainer writes through.
    """

    def __init__(self, folder: Path, history: History, files: AtomicCheckpointIO) -> None:
        self.folder = folder
        self.history = history
        self.files = files

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["callbacks"].pop(Timer.__qualname__, None)  # trainer.max_time is that of an attempt

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not mix_file(self.folder).is_file():
            raise UserError(f"{self.folder} was removed while the run was training: run the same command again.")
        if self.history.last_is_tested:
            trainer.save_checkpoint(self.folder / CHECKPOINT, weights_only=True)
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:  # nothing is trained after it, only tested
            checkpoint["optimizer_states"] = []

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.files.wait()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        signals.listen()  # Lightning ignores Ctrl-C from here on, and the disk may be slow
        with contextlib.suppress(OSError):  # the exception is what ends the run
            self.files.wait()


class PredictionWriter(Callback):
    """Writes the predictions of a test set, whichever process saw which image.

    Args:
        folder: where to write.
        samples: the images of the test set, in its order.
        clusters: gives those of the images, see `Predictions`; called once there are predictions.
        classes: names.
    """

    def __init__(
        self, folder: Path, samples: Sequence[Sample], clusters: Callable[[], Sequence[int]], classes: Sequence[str]
    ) -> None:
        self.folder = folder
        self.samples = samples
        self.clusters = clusters
        self.classes = list(classes)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        rows = torch.cat([rows for rows, _ in pl_module.predicted])
        probabilities = torch.cat([values for _, values in pl_module.predicted])
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, (rows, probabilities))
            rows = torch.cat([share[0] for share in shares])
            probabilities = torch.cat([share[1] for share in shares])
        if not trainer.is_global_zero:
            return
        ordered = probabilities[rows.argsort()].numpy()
        write_predictions(
            self.folder,
            Predictions(
                paths=[sample.file for sample in self.samples],
                labels=torch.tensor([sample.label for sample in self.samples]).numpy(),
                predicted=ordered.argmax(axis=1),
                probabilities=ordered,
                classes=self.classes,
                clusters=torch.tensor(self.clusters()).numpy(),
            ),
        )
