"""What a run shows of itself while it trains: a bar in a terminal, a line now and then in a log file."""

import logging
import math
import sys
import time
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from synthaug import progress_bar
from synthaug.analysis.text import format
from synthaug.progress_bar import BAR_FORMAT, LOG_SECONDS, Pacer, Step, short_label

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepPlace:
    """Where a run stands in its sweep.

    Attributes:
        number: of the run, from 1.
        total: how many runs there are.
        later_seconds: what the runs after it will take; None where nothing is known of that.
    """

    number: int
    total: int
    later_seconds: float | None = None

    def describe(self, seconds_left: float | None = None) -> str:
        """Return "run 3 of 45", and the time left of the whole sweep where that is known; not in its last run.

        Args:
            seconds_left: of the run itself.
        """
        text = f"run {self.number} of {self.total}"
        if self.later_seconds is None or seconds_left is None or self.number == self.total:
            return text
        return f"{text}, {format.duration(self.later_seconds + seconds_left)} left"


class Progress(Callback):
    """One bar for the whole run, with its accuracy and the time left; in a log file, a line a minute instead.

    In a process that works for a command, the command is told, which shows all runs together.

    Args:
        label: of the run.
        place: in its sweep; None for a single run.
    """

    def __init__(self, label: str, place: SweepPlace | None = None) -> None:
        self.label = label
        self.place = place
        self.terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._pacer = Pacer()
        self._accuracy = math.nan
        self._started = self._logged = 0.0
        self._first_step = self._steps = self._epochs = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = self._logged = time.perf_counter()
        self._first_step = trainer.global_step
        self._steps = int(trainer.estimated_stepping_batches)
        # The last step of an epoch takes the batches that are left.
        self._epochs = math.ceil(
            self._steps / math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        )
        if progress_bar.has_listener():
            self._report(trainer)
        elif self.terminal and trainer.is_global_zero:
            self._bar = tqdm(
                desc=short_label(self.label),
                total=self._steps,
                initial=self._first_step,
                unit=self._state(trainer),
                bar_format=BAR_FORMAT,
                dynamic_ncols=True,
                leave=False,
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if progress_bar.has_listener() and self._pacer.is_due():
            self._report(trainer)
        if self._bar is not None:
            self._bar.unit = self._state(trainer)
            self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._accuracy = float(trainer.callback_metrics.get("val/accuracy", math.nan))
        if self._bar is not None:
            self._bar.unit = self._state(trainer)
            self._bar.refresh()
        elif not progress_bar.has_listener() and time.perf_counter() - self._logged >= LOG_SECONDS:
            self._logged = time.perf_counter()
            log.info("%s: epoch %d/%d, %s", self.label, trainer.current_epoch + 1, self._epochs, self._state(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _state(self, trainer: Trainer) -> str:
        """Return the accuracy of the last validation, the time left of the run, and the place in the sweep."""
        seconds = self._seconds_left(trainer.global_step)
        parts = [self._reached()] if self._reached() else []
        parts += [] if seconds is None else [f"{format.duration(seconds)} left"]
        state = [", ".join(parts)] if parts else []
        return "; ".join(state + ([self.place.describe(seconds)] if self.place else []))

    def _report(self, trainer: Trainer) -> None:
        seconds = self._seconds_left(trainer.global_step)
        progress_bar.report(Step(self._reached(), trainer.global_step, self._steps, seconds, trains=True))

    def _reached(self) -> str:
        """Return the accuracy of the last validation; empty before the first."""
        return "" if math.isnan(self._accuracy) else f"val {100 * self._accuracy:.1f} %"

    def _seconds_left(self, step: int) -> float | None:
        """Return what the rest of the run takes at its pace until now; None before its first step."""
        done = step - self._first_step
        pace = (time.perf_counter() - self._started) / done if done else None
        return None if pace is None else max(0, self._steps - step) * pace

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
