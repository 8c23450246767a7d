"""Batches of an arm: rows of the pixel store, warped on the device that trains."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthaug.data import device_pixels
from synthaug.data.augment import (
    DRAWS,
    Augmentation,
    chosen_views,
    evaluation_view,
    image_numbers,
    samples_per_pixel,
    training_view,
    uniforms,
    view_uniforms,
)
from synthaug.data.batches import Batches
from synthaug.data.device_pixels import DevicePixels
from synthaug.data.pixels import Pixels, PixelStore
from synthaug.data.prefetch import prefetched
from synthaug.data.samples import Sample, Samples

log = logging.getLogger(__name__)

_CENTRE = [DRAWS.index("y"), DRAWS.index("x")]


class RawBatch(NamedTuple):
    """Stored pixels from a worker, and everything that the device needs to warp them."""

    pixels: Tensor | list[Tensor]  # uint8 (B, 3, H, W), or B times (3, H, W)
    sizes: Tensor  # int64 (B, 2)
    labels: Tensor  # int64 (B,)
    synthetic: Tensor  # bool (B,)
    rows: Tensor  # int64 (B,), place in the split's list
    draws: Tensor | None  # float32 (B, len(DRAWS)); None for evaluation


class Batch(NamedTuple):
    """Input of the classifier."""

    images: Tensor  # float32 (B, 3, S, S) in [0, 1]
    labels: Tensor  # int64 (B,)
    synthetic: Tensor  # bool (B,)
    rows: Tensor  # int64 (B,)


class Rows(Dataset[RawBatch]):
    """A list of samples, read a batch at a time; items are (draw, row), where `draw` says how `Batches` counts it.

    Args:
        samples: the images.
        store: of their pixels.
        seed: of their augmentation; None for evaluation.
        views: see `MixDataModule`.
        is_direct: whether batches show the images where they lie in the store, and are not copies of them.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        store: Pixels | DevicePixels,
        seed: int | None,
        views: int | None = None,
        is_direct: bool = False,
    ) -> None:
        self.samples = Samples.of(samples)
        self.store = store
        self.seed = seed
        self.views = views
        self.is_direct = is_direct

    @property
    def is_streamed(self) -> bool:
        """Whether batches are decoded from files."""
        return isinstance(self.store, PixelStore) and self.store.is_streaming

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: tuple[int, int]) -> RawBatch:
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> RawBatch:
        """PyTorch's fetcher asks for a whole batch here, so that no per-image tensors are stacked."""
        rows = np.array([row for _, row in items], dtype=np.int64)
        samples = self.samples.take(rows)
        draws = None if self.seed is None else self._draws(self.seed, [draw for draw, _ in items], samples.random_keys)
        pixels, sizes = self._pixels(samples.keys, None if draws is None else draws[:, _CENTRE].numpy())
        return RawBatch(
            pixels,
            sizes,
            torch.from_numpy(samples.labels),
            torch.from_numpy(samples.synthetic),
            torch.from_numpy(rows),
            draws,
        )

    def _pixels(self, keys: Sequence[str], places: NDArray[np.float32] | None) -> tuple[Tensor | list[Tensor], Tensor]:
        if self.is_direct and isinstance(self.store, PixelStore):
            images = self.store.images(keys, places)
            sizes = torch.tensor([image.shape[:2] for image in images])
            return [torch.from_numpy(image).permute(2, 0, 1) for image in images], sizes
        batch = self.store.batch(keys, places)
        return torch.as_tensor(batch[0]), torch.as_tensor(batch[1])

    def _draws(self, seed: int, numbers: Sequence[int], keys: Sequence[str]) -> Tensor:
        """Return random numbers (B, len(DRAWS)) of each image's draw; most batches have one draw, or a few views."""
        if self.views is not None:
            numbers = chosen_views(seed, np.array(numbers), image_numbers(keys), self.views).tolist()
        distinct = sorted(set(numbers))
        of_all = np.stack([uniforms(seed, n, keys) if self.views is None else view_uniforms(n, keys) for n in distinct])
        return torch.from_numpy(of_all[[distinct.index(number) for number in numbers], np.arange(len(keys))])


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
        baseline: number of images of the arm that all arms take as many steps as; None: an epoch is one pass.
        sampling: how classes are resampled, see `class_sampling`; None: not at all.
        views: augmentation gives each image so many fixed views, the same for all seeds, and each draw shows one of
            them; None: every draw is a new one.
    """

    def __init__(
        self,
        train: Sequence[Sample],
        val: Sequence[Sample],
        test: Sequence[Sample],
        store: Pixels,
        image_size: int,
        crop_pct: float = 0.875,
        augmentation: Augmentation | None = None,
        batch_size: int = 32,
        seed: int = 0,
        num_workers: int = 0,
        pretrain_epochs: int = 0,
        baseline: int | None = None,
        sampling: str | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__()
        self.train, self.val, self.test = map(Samples.of, (train, val, test))
        self.store: Pixels | DevicePixels = store
        self.image_size = image_size
        self.crop_pct = crop_pct
        self.supersample = samples_per_pixel(store.short_side, image_size, crop_pct)
        self.augmentation = augmentation or Augmentation()
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.pretrain_epochs = pretrain_epochs
        self.baseline = baseline
        self.sampling = sampling
        self.views = views
        # In every checkpoint, as plain data: what the classifier in it was shown.
        shown = {"image_size": image_size, "crop_pct": crop_pct, "short_side": store.short_side}
        self.save_hyperparameters({**shown, "augment": asdict(self.augmentation)}, logger=False)

    def setup(self, stage: str) -> None:
        """Copy the images to the device that trains where it has room for them; Lightning calls this once it is chosen.

        Args:
            stage: unused.
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self.num_workers or not isinstance(self.store, PixelStore):
            return
        samples = Samples.joined((self.train, self.val, self.test))
        if device_pixels.fits(self.store, (sample.sha256 for sample in samples), device):
            self.store = DevicePixels(self.store, samples.keys, device)
        elif device.type == "cuda":
            log.info("%s has no room for all images: batches are read from %s", device, self.store.folder)

    def train_dataloader(self) -> DataLoader[RawBatch]:
        return self._loader(self.train, self.seed, self.train_batches(*self._place()))

    def val_dataloader(self) -> DataLoader[RawBatch]:
        return self._evaluation_loader(self.val)

    def test_dataloader(self) -> DataLoader[RawBatch]:
        return self._evaluation_loader(self.test)

    def train_batches(self, rank: int = 0, world: int = 1) -> Batches:
        """Return the batch sampler of one of several processes.

        Args:
            rank: of the process.
            world: number of processes.
        """
        return Batches(
            len(self.train),
            self.batch_size,
            self.seed,
            rank,
            world,
            self.train.synthetic,
            self.pretrain_epochs,
            self.baseline,
            self.train.labels if self.sampling else (),
            self.sampling,
        )

    def on_after_batch_transfer(self, batch: RawBatch, dataloader_idx: int) -> Batch:
        """Warp the images on the device of the batch, which Lightning has just moved.

        Args:
            batch: on the device.
            dataloader_idx: unused.
        """
        if batch.draws is None:
            images = evaluation_view(batch.pixels, batch.sizes, self.image_size, self.crop_pct)
        else:
            images = training_view(
                batch.pixels, batch.sizes, batch.draws, self.image_size, self.augmentation, self.supersample
            )
        return Batch(images, batch.labels, batch.synthetic, batch.rows)

    def _place(self) -> tuple[int, int]:
        """Return the rank of this process, and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _evaluation_loader(self, samples: Sequence[Sample]) -> DataLoader[RawBatch]:
        device = self.trainer.lightning_module.device if self.trainer else torch.device("cpu")
        size = evaluation_batch_size(self.image_size, device)
        return self._loader(samples, None, Batches(len(samples), size, None, *self._place()))

    def _is_direct(self, seed: int | None) -> bool:
        """Whether crops are cut out of the store: by the process that trains, on its processor, without rotation."""
        is_on_processor = not self.trainer or self.trainer.strategy.root_device.type == "cpu"
        return is_on_processor and not self.num_workers and (seed is None or not self.augmentation.rotation)

    def _loader(self, samples: Sequence[Sample], seed: int | None, batches: Batches) -> DataLoader[RawBatch]:
        return _PatientLoader(
            Rows(samples, self.store, seed, self.views, self._is_direct(seed)),
            batch_sampler=batches,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available() and not isinstance(self.store, DevicePixels),
        )


def evaluation_batch_size(image_size: int, device: torch.device) -> int:
    """Return how many images are evaluated at once; results depend on it by rounding alone.

    On a processor as many as its caches serve well (benchmarks/speed.md), elsewhere as many as memory allows that has
    trained on a batch with gradients.

    Args:
        image_size: side in pixels.
        device: which evaluates.
    """
    most, pixels = (128, 2**20) if device.type == "cpu" else (1024, 2**24)
    return max(1, min(most, pixels // image_size**2))


class _PatientLoader(DataLoader[RawBatch]):
    """Loader whose workers, which read ahead, start with the first batch.

    Lightning begins to iterate earlier: a schedule that asks for the number of steps makes it do so before a resumed
    run's progress is restored, and `Batches.set_epoch` comes later still. The workers would read another epoch.
    """

    def __iter__(self) -> Iterator[RawBatch]:  # type: ignore[override]
        batches = super().__iter__()
        is_slow = self.pin_memory or (isinstance(self.dataset, Rows) and self.dataset.is_streamed)
        yield from prefetched(batches) if is_slow and self.num_workers == 0 else batches


def _as_is(batch: Any) -> Any:
    """`Rows` makes whole batches already."""
    return batch
