"""Batches: who reads which rows and when, and what reaches the network."""

import itertools
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_images import SPLIT_FOLDERS, image, write_dataset
from pytorch_lightning.callbacks import ModelCheckpoint

from synthaug import files
from synthaug.data.augment import Augmentation, evaluation_view, training_view, uniforms
from synthaug.data.datamodule import Batch, Batches, MixDataModule, RawBatch, Rows
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import SYNTHETIC, RealImages, Sample, scan
from synthaug.errors import UserError

VARIED = Augmentation((0.4, 1.0), (0.8, 1.25), 0.5, 10, 0.2, 0.2, 0.2)

counts = st.integers(1, 300)
batch_sizes = st.integers(1, 70)
worlds = st.integers(1, 5)


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


def rows(batches: Batches) -> list[list[int]]:
    return [[row for _, row in batch] for batch in batches]


def flat(batches: Batches) -> list[int]:
    return list(itertools.chain(*rows(batches)))


# --- shares of processes ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(counts, batch_sizes, worlds)
def test_evaluation_sees_every_row_once(count: int, batch_size: int, world: int) -> None:
    shares = [Batches(count, batch_size, None, rank, world) for rank in range(world)]
    assert sorted(itertools.chain(*map(flat, shares))) == list(range(count))
    for share in shares:
        assert len(list(share)) == len(share)
        assert all(1 <= len(batch) <= batch_size for batch in share)


def test_evaluation_goes_in_order() -> None:
    assert rows(Batches(7, 3, None)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert rows(Batches(7, 3, None, rank=1, world=2)) == [[1, 3, 5]]


@settings(deadline=None)
@given(counts, batch_sizes, worlds, st.integers(0, 2**32), st.integers(0, 100))
def test_training_batches_are_full_and_of_distinct_rows(
    count: int, batch_size: int, world: int, seed: int, epoch: int
) -> None:
    if count < world:
        return
    shares = [Batches(count, batch_size, seed, rank, world) for rank in range(world)]
    for share in shares:
        share.set_epoch(epoch)
    seen = list(itertools.chain(*map(flat, shares)))
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(count))
    assert len({len(share) for share in shares}) == 1  # or one process waits for the others for ever
    for share in shares:
        batches = list(share)
        assert len(batches) == len(share) >= 1
        assert {len(batch) for batch in batches} == {min(batch_size, count // world)}
        assert {item_epoch for batch in batches for item_epoch, _ in batch} == {epoch}
    assert count - len(seen) < min(batch_size, count // world) * world  # no full batch is left out


def test_fewer_images_than_a_batch_are_one_smaller_batch() -> None:
    assert [sorted(batch) for batch in rows(Batches(3, 32, seed=0))] == [[0, 1, 2]]
    assert len(Batches(3, 32, None)) == 1


def test_fewer_training_images_than_processes_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 training images cannot be shared by 4 processes.*trainer.devices=1"):
        Batches(3, 32, seed=0, rank=0, world=4)
    assert flat(Batches(3, 32, None, rank=3, world=4)) == []


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        batches = Batches(50, 10, seed)
        batches.set_epoch(epoch)
        assert flat(batches) == flat(batches)
        return tuple(flat(batches))

    np.random.seed(1)
    expected = order(0, 0)
    np.random.seed(2)
    assert order(0, 0) == expected
    assert len({order(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25


def test_the_rows_that_sit_out_change() -> None:
    out = set()
    for epoch in range(10):
        batches = Batches(50, 8, 0)
        batches.set_epoch(epoch)
        out |= {frozenset(range(50)) - frozenset(flat(batches))}
    assert len(out) == 10


# --- pretraining on synthetic images -----------------------------------------------------------------------


def pretraining(synthetic: list[bool], batch_size: int, epoch: int, seed: int = 0, world: int = 1) -> list[Batches]:
    """The shares of an epoch of which the first two train on synthetic rows."""
    shares = [Batches(len(synthetic), batch_size, seed, rank, world, synthetic, 2) for rank in range(world)]
    for share in shares:
        share.set_epoch(epoch)
    return shares


@given(st.lists(st.booleans(), min_size=1, max_size=120), batch_sizes, worlds, st.integers(0, 3), st.integers(0, 99))
def test_an_epoch_trains_on_one_origin_for_as_many_steps_as_on_both(
    synthetic: list[bool], batch_size: int, world: int, epoch: int, seed: int
) -> None:
    if len(synthetic) < world:
        return
    shares = pretraining(synthetic, batch_size, epoch, seed, world)
    joint = Batches(len(synthetic), batch_size, seed, 0, world)
    wanted = [row for row, origin in enumerate(synthetic) if origin == (epoch < 2)] or list(range(len(synthetic)))
    for share in shares:
        batches = list(share)
        assert [len(batch) for batch in batches] == [joint.batch_size] * len(joint)
        assert len(share) == len(joint)
    seen = list(itertools.chain(*map(flat, shares)))
    assert set(seen) <= set(wanted)
    times = [seen.count(row) for row in wanted]
    assert max(times) - min(times) <= 1  # each pass goes through all of them
    drawn = [item for share in shares for batch in share for item in batch]
    assert len(set(drawn)) == len(drawn)  # a row that comes again is augmented otherwise
    assert {draw % 2**32 for draw, _ in drawn} == {epoch}


def test_every_pass_has_an_order_of_its_own() -> None:
    (share,) = pretraining([True] * 8 + [False] * 24, 8, epoch=0)
    assert len({tuple(batch) for batch in rows(share)}) == 4
    (later,) = pretraining([True] * 8 + [False] * 24, 8, epoch=1)
    assert rows(later) != rows(share)
    assert rows(share) == rows(share)


def test_where_an_origin_is_lacking_all_rows_are_gone_through_as_ever() -> None:
    for epoch in range(4):
        for origin in (True, False):
            (share,) = pretraining([origin] * 10, 5, epoch)
            plain = Batches(10, 5, 0)
            plain.set_epoch(epoch)
            assert list(share) == list(plain)


def test_without_pretraining_origins_do_not_matter() -> None:
    assert list(Batches(20, 5, 3, synthetic=[True] * 6 + [False] * 14)) == list(Batches(20, 5, 3))


def test_evaluation_knows_no_pretraining(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store, pretrain_epochs=1)
    assert torch.cat([batch.rows for batch in data.val_dataloader()]).tolist() == list(range(len(real.val)))


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
    [(36, 32, 1.0, 1), (256, 224, 0.875, 1), (448, 224, 0.875, 2), (512, 224, 0.875, 2)],  # the first: digits
)
def test_a_store_with_more_pixels_than_are_shown_is_averaged(
    tmp_path: Path, short_side: int, image_size: int, crop_pct: float, supersample: int
) -> None:
    store = PixelStore(tmp_path, short_side)
    assert MixDataModule([], [], [], store, image_size, crop_pct).supersample == supersample


def test_both_views_are_averaged(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    data = module(real, synthetic, store, image_size=8, crop_pct=1.0)
    assert data.supersample == 2
    raw = next(iter(data.test_dataloader()))
    assert torch.equal(data.on_after_batch_transfer(raw, 0).images, evaluation_view(raw.pixels, raw.sizes, 8, 1.0, 2))
    raw = next(iter(data.train_dataloader()))
    expected = training_view(raw.pixels, raw.sizes, raw.draws, 8, VARIED, 2)
    assert torch.equal(data.on_after_batch_transfer(raw, 0).images, expected)


def test_without_an_augmentation_nothing_varies(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    assert module(real, synthetic, store, augmentation=None).augmentation == Augmentation()


def test_processes_of_a_trainer_share_the_rows(real: RealImages, synthetic: list[Sample], store: PixelStore) -> None:
    seen: dict[str, list[int]] = {"train": [], "test": []}
    fit_loop = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit_loop
    for rank in range(2):
        data = module(real, synthetic, store)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2, fit_loop=fit_loop)  # type: ignore[assignment]
        for split, loader in (("train", data.train_dataloader()), ("test", data.test_dataloader())):
            seen[split] += [row for batch in loader for row in batch.rows.tolist()]
    assert sorted(seen["test"]) == list(range(14))
    assert len(seen["train"]) == len(set(seen["train"])) == 20


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


def same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        a == c and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*exists and is not empty", "ignore:.*LeafSpec"
)
@pytest.mark.parametrize(("workers", "pretrain"), [(0, 0), (2, 0), (0, 1), (2, 3)])
def test_an_interrupted_run_is_shown_what_an_uninterrupted_one_is_shown(
    real: RealImages, synthetic: list[Sample], store: PixelStore, tmp_path: Path, workers: int, pretrain: int
) -> None:
    def data(workers: int) -> MixDataModule:
        return module(real, synthetic, store, num_workers=workers, pretrain_epochs=pretrain)

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
    def read(workers: int) -> list[RawBatch]:
        data = module(real, synthetic, store, num_workers=workers)
        return list(data.train_dataloader() if split == "train" else data.test_dataloader())

    here, there = read(0), read(2)
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        for name, value in one._asdict().items():
            assert value is None or torch.equal(value, other._asdict()[name]), name


def test_a_started_process_reads_the_same(real: RealImages, store: PixelStore) -> None:
    items = [(0, row) for row in range(14)]
    listed = Rows(real.test, store, None)
    expected = listed.__getitems__(items).pixels
    there: Rows = pickle.loads(pickle.dumps(listed))  # which is how a process is given it where fork is unknown
    assert torch.equal(there.__getitems__(items).pixels, expected)
