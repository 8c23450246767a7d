"""Batches of an arm: rows of the pixel store, warped on the device that trains."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthaug.data.augment import Augmentation, evaluation_view, training_view, uniforms
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.errors import UserError


class RawBatch(NamedTuple):
    """What a worker makes: stored pixels and everything that the device needs to warp them."""

    pixels: Tensor  # uint8 (B, 3, H, W)
    sizes: Tensor  # int64 (B, 2)
    labels: Tensor  # int64 (B,)
    synthetic: Tensor  # bool (B,)
    rows: Tensor  # int64 (B,), place in the split's list
    draws: Tensor | None  # float32 (B, len(DRAWS)); None for evaluation


class Batch(NamedTuple):
    """What the classifier sees."""

    images: Tensor  # float32 (B, 3, S, S) in [0, 1]
    labels: Tensor  # int64 (B,)
    synthetic: Tensor  # bool (B,)
    rows: Tensor  # int64 (B,)


class Rows(Dataset[RawBatch]):
    """A list of samples, read a batch at a time; items are (draw, row), where `draw` says how `Batches` counts it."""

    def __init__(self, samples: Sequence[Sample], store: PixelStore, seed: int | None) -> None:
        self.keys = [sample.sha256 for sample in samples]
        self.labels = torch.tensor([sample.label for sample in samples])
        self.synthetic = torch.tensor([sample.origin == SYNTHETIC for sample in samples])
        self.store = store
        self.seed = seed

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, item: tuple[int, int]) -> RawBatch:
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> RawBatch:
        """PyTorch's fetcher asks for a whole batch here, so that no per-image tensors are stacked."""
        rows = torch.tensor([row for _, row in items])
        keys = [self.keys[row] for _, row in items]
        pixels, sizes = self.store.batch(keys)
        draws = None if self.seed is None else self._draws(self.seed, [draw for draw, _ in items], keys)
        return RawBatch(
            torch.from_numpy(pixels),
            torch.from_numpy(sizes),
            self.labels[rows],
            self.synthetic[rows],
            rows,
            draws,
        )

    @staticmethod
    def _draws(seed: int, numbers: Sequence[int], keys: Sequence[str]) -> Tensor:
        """Random numbers (B, len(DRAWS)) of each image's own draw; most batches are of one."""
        distinct = sorted(set(numbers))
        of_all = np.stack([uniforms(seed, number, keys) for number in distinct])
        return torch.from_numpy(of_all[[distinct.index(number) for number in numbers], np.arange(len(keys))])


class Batches:
    """Batch sampler: each of `world` processes sees its own share of `count` rows, every row once.

    Training batches are full, drawn in an order that depends on (seed, epoch) alone: the rows that do not fill
    the last batch sit out an epoch. Evaluation (`seed` None) goes through all rows in order.

    Pretraining on synthetic images: the first `pretrain_epochs` epochs go through synthetic rows alone and the later
    ones through real rows alone, or through all of them where there are none of that origin. An epoch keeps the
    number of steps it would have with all rows, so that arms of one size are trained for equally many: it goes through
    the rows of its origin again and again, each time in another order.

    Yields batches of (draw, row): `draw` numbers the random numbers of the image's augmentation. It is the epoch, and
    for the n-th time that a row comes in one epoch, n · 2³² more.

    Args:
        count: rows.
        batch_size: per process.
        seed: of the order; None for evaluation.
        rank, world: this process, and how many there are.
        synthetic: which rows are; may be left out without pretraining.
        pretrain_epochs: how many epochs train on synthetic rows before those on real ones; 0: all on both.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
        synthetic: Sequence[bool] = (),
        pretrain_epochs: int = 0,
    ) -> None:
        if seed is not None and count < world:
            raise UserError(
                f"{count} training images cannot be shared by {world} processes: use fewer with trainer.devices=1."
            )
        self.count = count
        self.seed = seed
        self.rank = rank
        self.world = world
        self.synthetic = np.array(synthetic, dtype=bool)
        self.pretrain_epochs = pretrain_epochs
        # Fewer images than one batch per process: train on smaller batches rather than on none.
        self.batch_size = batch_size if seed is None else max(1, min(batch_size, count // world))
        self.epoch = 0
        self.sampler = self  # Lightning looks for `set_epoch` on `batch_sampler.sampler`

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch, and so after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.seed is not None:
            return self.count // (self.batch_size * self.world)
        own = len(range(self.rank, self.count, self.world))
        return -(-own // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        passes = self._passes()
        drawn = [(self.epoch + (number << 32), int(row)) for number, order in enumerate(passes) for row in order]
        own = drawn[self.rank :: self.world]
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield own[start : start + self.batch_size]

    def _passes(self) -> list[NDArray[np.int64]]:
        """Orders of rows, as many as fill the epoch."""
        if self.seed is None:
            return [np.arange(self.count)]
        rows = np.arange(self.count)
        if self.pretrain_epochs:
            of_origin = np.flatnonzero(self.synthetic == (self.epoch < self.pretrain_epochs))
            rows = of_origin if len(of_origin) else rows
        generator = np.random.default_rng([self.seed, self.epoch])
        needed = len(self) * self.batch_size * self.world
        return [generator.permutation(rows) for _ in range(-(-needed // len(rows)))]


class MixDataModule(LightningDataModule):
    """An arm's training images and the frozen real validation and test images.

    Args:
        train: the arm's images, real and synthetic, from `mixing.select`.
        val: real validation images.
        test: real test images.
        store: pixels of all of them.
        image_size: side of the network's input in pixels.
        crop_pct: share of the short side that evaluation shows.
        augmentation: of training images.
        batch_size: per process.
        seed: of order and augmentation.
        num_workers: of each loader; 0 reads in the training process.
        pretrain_epochs: so many epochs train on synthetic images alone, the later ones on real ones; see `Batches`.
    """

    def __init__(
        self,
        train: Sequence[Sample],
        val: Sequence[Sample],
        test: Sequence[Sample],
        store: PixelStore,
        image_size: int,
        crop_pct: float = 0.875,
        augmentation: Augmentation | None = None,
        batch_size: int = 32,
        seed: int = 0,
        num_workers: int = 0,
        pretrain_epochs: int = 0,
    ) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.test = test
        self.store = store
        self.image_size = image_size
        self.crop_pct = crop_pct
        # A store made for small training crops has more pixels than whole images are shown with: none is skipped.
        self.supersample = 2 if store.short_side * crop_pct > 1.25 * image_size else 1
        self.augmentation = augmentation or Augmentation()
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.pretrain_epochs = pretrain_epochs

    def train_dataloader(self) -> DataLoader[RawBatch]:
        return self._loader(self.train, self.seed)

    def val_dataloader(self) -> DataLoader[RawBatch]:
        return self._loader(self.val, None)

    def test_dataloader(self) -> DataLoader[RawBatch]:
        return self._loader(self.test, None)

    def on_after_batch_transfer(self, batch: RawBatch, dataloader_idx: int) -> Batch:
        """Warp on the device that the batch has just reached."""
        if batch.draws is None:
            images = evaluation_view(batch.pixels, batch.sizes, self.image_size, self.crop_pct, self.supersample)
        else:
            images = training_view(
                batch.pixels, batch.sizes, batch.draws, self.image_size, self.augmentation, self.supersample
            )
        return Batch(images, batch.labels, batch.synthetic, batch.rows)

    def _loader(self, samples: Sequence[Sample], seed: int | None) -> DataLoader[RawBatch]:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        # Evaluation needs no gradients, so its batches may be larger; the result does not depend on it.
        size = self.batch_size if seed is not None else max(self.batch_size, 128)
        synthetic = [sample.origin == SYNTHETIC for sample in samples]
        batches = Batches(len(samples), size, seed, rank, world, synthetic, self.pretrain_epochs)
        return _PatientLoader(
            Rows(samples, self.store, seed),
            batch_sampler=batches,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


class _PatientLoader(DataLoader[RawBatch]):
    """Starts its workers, which read ahead, when the first batch is asked for.

    Lightning begins to iterate earlier: a schedule that asks for the number of steps makes it do so before a resumed
    run's progress is restored, and `Batches.set_epoch` comes later still. The workers would read another epoch.
    """

    def __iter__(self) -> Iterator[RawBatch]:  # type: ignore[override]
        yield from super().__iter__()


def _as_is(batch: Any) -> Any:
    """`Rows` makes whole batches already."""
    return batch
