"""What a batch holds, who reads it, and what reaches the network."""

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from synthaug import files
from synthaug.data import device_pixels
from synthaug.data.augment import Augmentation, evaluation_view, training_view, uniforms
from synthaug.data.class_sampling import OVERSAMPLE
from synthaug.data.datamodule import Batch, MixDataModule, Rows, evaluation_batch_size
from synthaug.data.device_pixels import DevicePixels
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import SYNTHETIC, RealImages, Sample, scan
from tests.factories.images import SPLIT_FOLDERS, image, write_dataset

VARIED = Augmentation((0.4, 1.0), (0.8, 1.25), 0.5, 10, 0.2, 0.2, 0.2)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealImages:
    return scan(write_dataset(tmp_path_factory.mktemp("data") / "made up", train=9, val=4, test=7), SPLIT_FOLDERS)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("synthetic")
    samples = []
    for index in range(4):
        path = folder / f"{index}.png"
        image(1000 + index, (12, 12)).save(path)
        samples.append(Sample(path, 1, "dog", SYNTHETIC, files.sha256(path), index))
    return samples


@pytest.fixture(scope="module")
def store(real: RealImages, synthetic: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    store = PixelStore(tmp_path_factory.mktemp("pixels"), 16)
    listed = [*real.train, *real.val, *real.test, *synthetic]
    assert store.add({sample.sha256: sample.path for sample in listed}) == {}
    return store


def module(real: RealImages, synthetic: list[Sample], store: PixelStore, **changed: Any) -> MixDataModule:
    settings = {"image_size": 12, "augmentation": VARIED, "batch_size": 5, "seed": 3, **changed}
    return MixDataModule([*real.train, *synthetic], real.val, real.test, store, **settings)


def test_evaluation_knows_no_pretraining(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store, pretrain_epochs=1)
    assert torch.cat([batch.rows for batch in data.val_dataloader()]).tolist() == list(range(len(real.val)))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_on_the_device_make_the_same_batches(
    real: RealImages, synthetic: list[Sample], store: PixelStore, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_pixels, "fits", lambda *_: True)
    plain, copied = (module(real, synthetic, store, num_workers=number) for number in (0, num_workers))
    copied.setup("fit")
    assert isinstance(copied.store, DevicePixels) is (num_workers == 0)
    for name in ("train_dataloader", "test_dataloader"):
        views = [
            [data.on_after_batch_transfer(raw, 0).images for raw in getattr(data, name)()] for data in (plain, copied)
        ]
        assert views[0]
        assert all(torch.equal(*pair) for pair in zip(*views, strict=True))


# --- what a batch holds ----------------------------------------------------------------------------------


def test_rows_are_read_as_they_were_listed(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    listed = [*real.train, *synthetic]
    items = [(4, 20), (4, 0), (4, 17)]
    batch = Rows(listed, store, seed=3).__getitems__(items)
    assert batch.rows.tolist() == [20, 0, 17]
    assert batch.labels.tolist() == [1, 0, 1]
    assert batch.synthetic.tolist() == [True, False, False]
    assert batch.sizes.tolist() == [[12, 12], [16, 20], [16, 20]]
    hashes = [listed[row].sha256 for _, row in items]
    assert isinstance(batch.pixels, Tensor)
    assert np.array_equal(batch.pixels.numpy(), store.batch(hashes)[0])
    assert batch.draws is not None
    assert np.array_equal(batch.draws.numpy(), uniforms(3, 4, hashes))


def test_an_image_that_comes_again_in_an_epoch_is_augmented_anew(
    real: RealImages, synthetic: list[Sample], store: PixelStore
) -> None:
    again = 4 + (1 << 32)
    batch = Rows([*real.train, *synthetic], store, seed=3).__getitems__([(4, 20), (4, 0), (again, 20)])
    assert batch.draws is not None
    key = synthetic[2].sha256
    expected = [uniforms(3, 4, [key])[0], uniforms(3, 4, [real.train[0].sha256])[0], uniforms(3, again, [key])[0]]
    assert np.array_equal(batch.draws.numpy(), np.stack(expected))
    assert not np.array_equal(expected[0], expected[2])


def test_evaluation_draws_nothing(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store)
    for loader, expected in ((data.val_dataloader(), real.val), (data.test_dataloader(), real.test)):
        batches = list(loader)
        assert all(batch.draws is None for batch in batches)
        assert torch.cat([batch.rows for batch in batches]).tolist() == list(range(len(expected)))
        assert torch.cat([batch.labels for batch in batches]).tolist() == [sample.label for sample in expected]
        assert not torch.cat([batch.synthetic for batch in batches]).any()


def test_training_images_are_augmented(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store)
    raw = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(raw, 0)
    assert isinstance(batch, Batch)
    assert torch.equal(batch.images, training_view(raw.pixels, raw.sizes, raw.draws, 12, VARIED))
    assert batch.images.shape == (5, 3, 12, 12)
    assert [batch.labels.tolist(), batch.synthetic.tolist(), batch.rows.tolist()] == [
        raw.labels.tolist(),
        raw.synthetic.tolist(),
        raw.rows.tolist(),
    ]


def test_validation_and_test_share_one_view(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store, crop_pct=0.75)
    for loader in (data.val_dataloader(), data.test_dataloader()):
        raw = next(iter(loader))
        view = data.on_after_batch_transfer(raw, 0).images
        assert torch.equal(view, evaluation_view(raw.pixels, raw.sizes, 12, 0.75))


@pytest.mark.parametrize(
    ("short_side", "image_size", "crop_pct", "supersample"),
    [
        *((36, 32, 1.0, 1), (256, 224, 0.875, 1), (448, 224, 0.875, 2), (512, 224, 0.875, 2)),  # the first: digits
        *((40, 32, 1.0, 1), (41, 32, 1.0, 2), (45, 32, 0.875, 1), (46, 32, 0.875, 2)),  # from 1.25 on
    ],
)
def test_a_store_with_more_pixels_than_are_shown_is_averaged(
    tmp_path: Path, short_side: int, image_size: int, crop_pct: float, supersample: int
) -> None:
    store = PixelStore(tmp_path, short_side)
    assert MixDataModule([], [], [], store, image_size, crop_pct).supersample == supersample


@pytest.mark.parametrize("batch_size", [5, 310])
def test_evaluation_reads_as_many_images_at_a_time_whatever_training_does(
    real: RealImages, store: PixelStore, batch_size: int
) -> None:
    data = MixDataModule(real.train, [*real.val] * 38, [*real.test] * 22, store, 12, batch_size=batch_size)
    assert len(data.val_dataloader()) == len(data.test_dataloader()) == 3  # of 304 and 308 images


@given(st.integers(1, 5000), st.sampled_from(["cpu", "cuda"]))
def test_what_is_evaluated_at_once_is_bounded_in_images_and_pixels(image_size: int, device: str) -> None:
    size = evaluation_batch_size(image_size, torch.device(device))
    assert 1 <= size <= 1024
    assert size == 1 or size * image_size**2 <= 2**24
    assert size <= evaluation_batch_size(image_size, torch.device("cuda"))


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_stay_and_memory_is_pinned_for_a_gpu(
    real: RealImages, store: PixelStore, monkeypatch: pytest.MonkeyPatch, workers: int, gpu: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    data = MixDataModule(real.train, real.val, real.test, store, 12, num_workers=workers)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert (loader.num_workers, loader.persistent_workers, loader.pin_memory) == (workers, workers > 0, gpu)


def test_rotated_crops_are_averaged(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store, image_size=8, crop_pct=1.0)
    assert data.supersample == 2
    raw = next(iter(data.test_dataloader()))
    assert torch.equal(data.on_after_batch_transfer(raw, 0).images, evaluation_view(raw.pixels, raw.sizes, 8, 1.0))
    raw = next(iter(data.train_dataloader()))
    expected = training_view(raw.pixels, raw.sizes, raw.draws, 8, VARIED, 2)
    assert torch.equal(data.on_after_batch_transfer(raw, 0).images, expected)


def test_without_an_augmentation_nothing_varies(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    assert module(real, synthetic, store, augmentation=None).augmentation == Augmentation()


@pytest.mark.parametrize(("sampling", "labels"), [(None, [9, 13]), (OVERSAMPLE, [13, 13])])
def test_classes_are_as_often_in_a_pass_as_sampling_says(
    real: RealImages, synthetic: list[Sample], store: PixelStore, sampling: str | None, labels: list[int]
) -> None:
    data = module(real, synthetic, store, batch_size=1, sampling=sampling)
    batches = list(data.train_dataloader())
    assert torch.bincount(torch.cat([batch.labels for batch in batches])).tolist() == labels
    pixels = [str(batch.draws) + str(batch.rows) for batch in batches]
    assert len(set(pixels)) == len(pixels)


def test_processes_of_a_trainer_share_the_rows(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    seen: dict[str, list[int]] = {"train": [], "test": []}
    fit_loop = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit_loop
    model = SimpleNamespace(device=torch.device("cpu"))
    for rank in range(2):
        data = module(real, synthetic, store)
        places = {"global_rank": rank, "world_size": 2, "strategy": SimpleNamespace(root_device=model.device)}
        data.trainer = SimpleNamespace(fit_loop=fit_loop, lightning_module=model, **places)  # type: ignore[assignment]
        for split, loader in (("train", data.train_dataloader()), ("test", data.test_dataloader())):
            seen[split] += [row for batch in loader for row in batch.rows.tolist()]
    assert sorted(seen["test"]) == list(range(14))
    assert len(seen["train"]) == len(set(seen["train"])) == 20


def test_every_pass_of_an_epoch_is_augmented_anew(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store, baseline=2 * (len(real.train) + len(synthetic)), batch_size=22)
    first, second = (raw for raw in data.train_dataloader())
    assert sorted(first.rows.tolist()) == sorted(second.rows.tolist()) == list(range(22))
    assert first.draws is not None
    assert second.draws is not None
    by_row = [draws[rows.argsort()] for rows, draws in ((first.rows, first.draws), (second.rows, second.draws))]
    assert not (by_row[0] == by_row[1]).all(dim=1).any()


# --- workers, epochs and resumes ---------------------------------------------------------------------------


class Witness(lightning.LightningModule):
    """Trains nothing and remembers which images it was shown in which epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.shown: dict[int, list[tuple[list[int], torch.Tensor]]] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.shown.setdefault(self.current_epoch, []).append((batch.rows.tolist(), batch.images))
        loss: torch.Tensor = self.layer(torch.ones(1, 1)).sum()
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: MixDataModule, epochs: int, folder: Path | None = None) -> Witness:
    """Train up to `epochs`, from the checkpoint in `folder` if there is one."""
    last = (
        [ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)] if folder else []
    )
    witness = Witness()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, callbacks=list(last), enable_checkpointing=bool(last),
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    resumed = folder is not None and (folder / "last.ckpt").is_file()
    trainer.fit(witness, datamodule=data, ckpt_path=folder / "last.ckpt" if folder and resumed else None)
    return witness


def same(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(
        a == c and torch.equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True)
    )


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*exists and is not empty", "ignore:.*LeafSpec"
)
@pytest.mark.parametrize(
    ("workers", "pretrain", "baseline"),
    [(0, 0, None), (2, 0, None), (0, 1, None), (2, 3, None), (2, 0, 38), (0, 2, 13)],
)
def test_an_interrupted_run_is_shown_what_an_uninterrupted_one_is_shown(
    real: RealImages,
    synthetic: list[Sample],
    store: PixelStore,
    tmp_path: Path,
    workers: int,
    pretrain: int,
    baseline: int | None,
) -> None:
    def data(workers: int) -> MixDataModule:
        return module(real, synthetic, store, num_workers=workers, pretrain_epochs=pretrain, baseline=baseline)

    whole = fit(data(0), 4).shown
    first = fit(data(workers), 2, tmp_path).shown
    second = fit(data(workers), 4, tmp_path).shown
    assert (list(first), list(second)) == ([0, 1], [2, 3])
    assert len({str([rows for rows, _ in batches]) for batches in whole.values()}) == 4
    for epoch, batches in (first | second).items():
        assert same(batches, whole[epoch]), epoch
        origins = {row >= len(real.train) for rows, _ in batches for row in rows}
        assert origins == ({epoch < pretrain} if pretrain else {False, True})


@pytest.mark.parametrize("split", ["train", "test"])
def test_workers_change_nothing(real: RealImages, synthetic: list[Sample], store: PixelStore, split: str) -> None:
    cropped = replace(VARIED, rotation=0.0)  # without workers, crops are cut out of the store

    def read(workers: int) -> list[Batch]:
        data = module(real, synthetic, store, num_workers=workers, augmentation=cropped)
        loader = data.train_dataloader() if split == "train" else data.test_dataloader()
        assert {isinstance(raw.pixels, Tensor) for raw in loader} == {workers > 0}
        return [data.on_after_batch_transfer(raw, 0) for raw in loader]

    left, right = read(0), read(2)
    assert len(left) == len(right)
    for first, second in zip(left, right, strict=True):
        for name, value in first._asdict().items():
            assert torch.equal(value, second._asdict()[name]), name


def test_a_started_process_reads_the_same(real: RealImages, store: PixelStore) -> None:
    items = [(0, row) for row in range(14)]
    listed = Rows(real.test, store, None)
    expected = listed.__getitems__(items).pixels
    right: Rows = pickle.loads(pickle.dumps(listed))  # which is how a process is given it where fork is unknown
    actual = right.__getitems__(items).pixels
    assert isinstance(actual, Tensor)
    assert isinstance(expected, Tensor)
    assert torch.equal(actual, expected)


def test_training_sees_all_of_a_long_image(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(160, dtype=np.uint8)[None, :, None], (16, 1, 3))).save(tmp_path / "wide.png")
    sample = Sample(tmp_path / "wide.png", 0, "cat", SYNTHETIC, files.sha256(tmp_path / "wide.png"))
    store = PixelStore(tmp_path / "pixels", 16)
    assert store.add({sample.sha256: sample.path}) == {}
    rows = Rows([sample], store, seed=3)
    images = [rows[epoch, 0].pixels for epoch in range(200)]
    starts = [int(image[0, 0, 0, 0]) for image in images if isinstance(image, Tensor)]
    assert images[0][0].shape == (3, 16, 48)
    assert min(starts) < 10
    assert max(starts) > 102


@pytest.mark.parametrize("has_room", [False, True])
def test_images_that_do_not_fit_on_the_device_are_read_from_the_disk_and_that_is_told(
    real: RealImages,
    store: PixelStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_room: bool,
) -> None:
    data = MixDataModule(real.train, real.val, real.test, store, 12)
    data.trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))  # type: ignore[assignment]
    monkeypatch.setattr(device_pixels, "fits", lambda *arguments: has_room)
    monkeypatch.setattr("synthaug.data.datamodule.DevicePixels", lambda store, keys, device: keys)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert (data.store is store) == (str(store.folder) in caplog.text) == (not has_room)
