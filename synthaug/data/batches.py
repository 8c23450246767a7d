"""Batch sampler: the rows of an arm in each batch of an epoch, for each of several processes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from synthaug.data.class_sampling import draw_pass, occurrences, pass_length
from synthaug.errors import UserError


class Batches:
    """Batch sampler: each of `world` processes sees its own share of `count` rows.

    Evaluation (`seed` None) goes through all rows in order, once.

    Training batches are full, drawn in an order that depends on (seed, epoch) alone. There are two budgets:

    - equal epochs: an epoch is one pass through the rows, in which those that do not fill the last batch sit out;
    - equal steps (with `baseline`): every epoch has the steps that one through `baseline` rows would have, in batches
      of the same size. One pass after the other, each in an order of its own, makes a stream of rows, and an epoch goes
      on in it where the last one stopped: fewer rows come several times in an epoch, more rows take several epochs.
      As many rows as the baseline has are trained on as with equal epochs, batch by batch.

    Pretraining on synthetic images: the first `pretrain_epochs` epochs go through synthetic rows alone and the later
    ones through real rows alone, or through all of them where there are none of that origin. An epoch keeps the
    number of steps it would have with all rows, so that arms of one size are trained for equally many: it goes through
    the rows of its origin again and again, each time in another order.

    Resampling (`sampling`) changes what one pass is, and not how passes make epochs; see `class_sampling`.

    Yields batches of (draw, row): `draw` numbers the random numbers of the image's augmentation, and is another one
    each time that a row comes. With equal steps it is the number of the pass, with equal epochs the epoch; where a row
    has come n times in that before, n · 2³² more.

    Args:
        count: rows.
        batch_size: per process.
        seed: of the order; None for evaluation.
        rank, world: this process, and how many there are.
        synthetic: which rows are; may be left out without pretraining.
        pretrain_epochs: how many epochs train on synthetic rows before those on real ones; 0: all on both.
        baseline: rows of the arm whose steps an epoch takes; None: an epoch is one pass.
        labels: class number of each row; may be left out without `sampling`.
        sampling: how classes are resampled; None: each row comes once in a pass.

    Raises:
        UserError: fewer training images than processes.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
        synthetic: Sequence[bool] | NDArray[np.bool_] = (),
        pretrain_epochs: int = 0,
        baseline: int | None = None,
        labels: Sequence[int] | NDArray[np.int64] = (),
        sampling: str | None = None,
    ) -> None:
        self.labels = np.array(labels, dtype=np.int64) if sampling else None
        self.sampling = sampling
        one_pass = self._length(np.arange(count)) if count else 0
        size = one_pass if baseline is None else baseline
        if seed is not None and size < world:
            raise UserError(
                f"{size} training images cannot be shared by {world} processes: use fewer with trainer.devices=1."
            )
        self.count = count
        self.seed = seed
        self.rank = rank
        self.world = world
        self.synthetic = np.array(synthetic, dtype=bool)
        self.pretrain_epochs = pretrain_epochs
        self.size = size
        self.one_pass = baseline in (None, one_pass)
        # Fewer images than one batch per process: train on smaller batches rather than on none.
        self.batch_size = batch_size if seed is None else max(1, min(batch_size, size // world))
        self.epoch = 0
        self.sampler = self  # Lightning looks for `set_epoch` on `batch_sampler.sampler`

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this at the start of each one, and so after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.seed is not None:
            return self.size // (self.batch_size * self.world)
        rows = len(range(self.rank, self.count, self.world))
        return -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        drawn = self.drawn()
        for start in range(0, len(drawn), self.batch_size):
            yield [(draw, row) for draw, row in drawn[start : start + self.batch_size].tolist()]

    def drawn(self) -> NDArray[np.int64]:
        """Return (draw, row) of the epoch of this process, one batch after the other, (images, 2)."""
        return self._of_all_processes()[self.rank :: self.world][: len(self) * self.batch_size]

    def _of_all_processes(self) -> NDArray[np.int64]:
        """Return (draw, row) of an epoch of all processes, in one pass followed by the rows that sit out."""
        if self.seed is None:
            return np.stack([np.full(self.count, self.epoch), np.arange(self.count)], axis=1)
        rows, begun = self._rows()
        needed = len(self) * self.batch_size * self.world
        if not self.one_pass:
            return self._continued(self.seed, rows, needed * (self.epoch - begun), needed)
        generator = np.random.default_rng([self.seed, self.epoch])
        length = self._length(rows)
        orders = [self._pass(rows, generator) for _ in range(-(-needed // length))]
        return _numbered(self.epoch, np.concatenate(orders), self.labels is not None or len(orders) > 1)

    def _rows(self) -> tuple[NDArray[np.int64], int]:
        """Return the rows that the epoch trains on, and the first epoch that trains on these."""
        if self.pretrain_epochs and self.synthetic.any() and not self.synthetic.all():
            pretraining = self.epoch < self.pretrain_epochs
            return np.flatnonzero(self.synthetic == pretraining), 0 if pretraining else self.pretrain_epochs
        return np.arange(self.count), 0

    def _pass(self, rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        if self.labels is None:
            return np.asarray(rows[generator.permutation(len(rows))])
        return np.asarray(rows[draw_pass(self.labels[rows], self.sampling, generator)])

    def _length(self, rows: NDArray[np.int64]) -> int:
        return len(rows) if self.labels is None else pass_length(self.labels[rows], self.sampling)

    def _continued(self, seed: int, rows: NDArray[np.int64], start: int, needed: int) -> NDArray[np.int64]:
        """Return (draw, row) at the places [start, start + needed) of the stream of passes through `rows`."""
        length = self._length(rows)
        first, skipped = divmod(start, length)
        passes = range(first, -(-(start + needed) // length))
        drawn = [
            _numbered(number, self._pass(rows, np.random.default_rng([seed, number])), self.labels is not None)
            for number in passes
        ]
        return np.concatenate(drawn)[skipped : skipped + needed]


def _numbered(number: int, rows: NDArray[np.int64], has_repeats: bool) -> NDArray[np.int64]:
    """Return (draw, row), (rows, 2): `number`, and 2³² more for each time that the row has come before.

    Args:
        number: of the pass.
        rows: in their order.
        has_repeats: whether some may come more than once.
    """
    draws = number + (occurrences(rows) << 32) if has_repeats else np.full_like(rows, number)
    return np.stack([draws, rows], axis=1)
