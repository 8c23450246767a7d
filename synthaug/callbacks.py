"""What happens beside training: learning curves, progress, predictions."""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from synthaug.classifier import Classifier
from synthaug.data.samples import Sample
from synthaug.results import HISTORY, Predictions, write_predictions, write_rows

log = logging.getLogger(__name__)

COLUMNS = ("epoch", "step", "train/loss", "val/loss", "val/accuracy", "lr", "seconds")


class History(Callback):
    """Learning curves in `history.csv`, one row per epoch; kept in the checkpoint, so a resume goes on with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[list[float]] = []
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        metrics = trainer.callback_metrics
        self.rows.append(
            [
                trainer.current_epoch,
                trainer.global_step,
                # The module resets this metric in its own hook, which comes after this one.
                float(pl_module.train_loss.compute()),
                float(metrics["val/loss"]),
                float(metrics["val/accuracy"]),
                trainer.optimizers[0].param_groups[0]["lr"],
                round(time.perf_counter() - self._started, 3),
            ]
        )
        if trainer.is_global_zero:
            write_rows(self.folder / HISTORY, COLUMNS, self.rows)


class Progress(Callback):
    """One bar for the whole run with rate and time left; in a log file, one line per epoch instead."""

    def __init__(self, label: str, quiet: bool = False) -> None:
        self.label = label
        self.terminal = sys.stderr.isatty() and not quiet
        self.quiet = quiet
        self._bar: Any = None
        self._started = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()
        self._first_epoch = trainer.current_epoch
        if self.terminal and trainer.is_global_zero:
            steps = int(trainer.estimated_stepping_batches)
            self._bar = tqdm(total=steps, initial=trainer.global_step, desc=self.label, unit="step", leave=False)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._bar is not None:
            self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.quiet or not trainer.is_global_zero:
            return
        accuracy = float(trainer.callback_metrics["val/accuracy"])
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {done}/{total}, validation accuracy {accuracy:.1%}")
            return
        pace = (time.perf_counter() - self._started) / (done - self._first_epoch)
        log.info(
            "%s: epoch %d/%d, validation accuracy %.1f %%, %.1f s/epoch, %.0f s left",
            self.label, done, total, 100 * accuracy, pace, pace * (total - done),
        )  # fmt: skip

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class PredictionWriter(Callback):
    """`predictions.csv` of the test set, whichever process saw which image."""

    def __init__(self, folder: Path, test: Sequence[Sample], classes: Sequence[str]) -> None:
        self.folder = folder
        self.test = test
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
                paths=[str(sample.path) for sample in self.test],
                labels=torch.tensor([sample.label for sample in self.test]).numpy(),
                predicted=ordered.argmax(axis=1),
                probabilities=ordered,
                classes=self.classes,
            ),
        )
