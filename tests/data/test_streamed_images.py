"""Datasets whose pixels do not fit on the disk: the same pixels, decoded whenever they are read."""

import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthaug import files
from synthaug.data.augment import Augmentation
from synthaug.data.datamodule import MixDataModule
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, scan
from synthaug.errors import UserError
from tests.factories.images import SPLIT_FOLDERS, image, write_dataset

SHORT_SIDE = 10  # to which the images are shrunk
SIZE = 10 * 13 * 3  # bytes of one of them then, at most


@pytest.fixture
def real(tmp_path: Path) -> RealImages:
    return scan(write_dataset(tmp_path / "made up", train=4, val=2, test=3), SPLIT_FOLDERS)


def added(folder: Path, real: RealImages, most_bytes: int | None) -> PixelStore:
    store = PixelStore(folder, SHORT_SIDE, most_bytes)
    assert store.add_samples([*real.train, *real.val, *real.test]) == {}
    return store


def size_of(store: PixelStore) -> int:
    return (store.folder / "pixels.bin").stat().st_size


def keys_of(real: RealImages) -> list[str]:
    return [sample.sha256 for samples in real.splits.values() for sample in samples]


def same(first: PixelStore, second: PixelStore, keys: list[str]) -> bool:
    pairs = zip(first.whole(keys), second.whole(keys), strict=True)
    return all(np.array_equal(*pair) for pair in pairs) and all(
        first.place(key).content == second.place(key).content for key in keys
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(5, 40), st.integers(5, 40)), min_size=1, max_size=4, unique=True))
def test_streamed_pixels_are_the_stored_ones(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("images")
    for number, size in enumerate(sizes):
        image(number, size).save(folder / f"{number}.png")
    images = {files.sha256(path): path for path in folder.iterdir()}
    stored, streamed = (PixelStore(folder / str(most), SHORT_SIDE, most) for most in (None, 0))
    assert stored.add(images) == streamed.add(images) == {}
    assert (stored.is_streaming, streamed.is_streaming) == (False, True)
    assert (size_of(stored) > 0, size_of(streamed)) == (True, 0)
    assert same(stored, streamed, list(images))


def test_what_does_not_fit_on_the_disk_is_streamed_and_said_once(
    tmp_path: Path, real: RealImages, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: used._replace(free=SIZE))
    with caplog.at_level(logging.WARNING):
        streamed = added(tmp_path / "store", real, None)
        assert same(added(tmp_path / "store", real, None), streamed, keys_of(real))
    assert [record.message.count("output_dir=<folder>") for record in caplog.records] == [1]
    assert size_of(streamed) == 0
    monkeypatch.undo()
    stored = added(tmp_path / "store", real, None)
    assert not stored.is_streaming
    assert size_of(stored) > 0
    assert same(stored, streamed, keys_of(real))


def test_what_is_added_beyond_the_limit_is_streamed_beside_what_is_stored(tmp_path: Path, real: RealImages) -> None:
    most = len(real.train) * SIZE
    store = PixelStore(tmp_path / "store", SHORT_SIDE, most)
    store.add_samples(real.train)
    before = size_of(store)
    store.add_samples([*real.train, *real.val, *real.test])
    assert 0 < before == size_of(store) <= most
    assert [store.place(samples[0].sha256).is_stored for samples in (real.train, real.val)] == [True, False]
    assert same(store, added(tmp_path / "other", real, None), keys_of(real))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_of_streamed_images_are_those_of_stored_ones(
    tmp_path: Path, real: RealImages, num_workers: int
) -> None:
    batches = []
    for folder, most in (("stored", None), ("streamed", 0)):
        store = pickle.loads(pickle.dumps(added(tmp_path / folder, real, most)))
        varied = Augmentation((0.4, 1.0), (0.8, 1.25), 0.5, 10, 0.2, 0.2, 0.2)
        lists = (real.train, real.val, real.test)
        data = MixDataModule(*lists, store, 8, augmentation=varied, batch_size=3, num_workers=num_workers)
        loaders = (data.train_dataloader(), data.test_dataloader())
        batches.append([data.on_after_batch_transfer(raw, 0) for loader in loaders for raw in loader])
    assert len(batches[0]) >= 3
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.rows, second.rows)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"another")])
def test_a_file_that_changed_since_is_named(tmp_path: Path, real: RealImages, change: object) -> None:
    store = added(tmp_path / "store", real, 0)
    sample = real.train[1]
    change(sample.path)  # type: ignore[operator]
    with pytest.raises(UserError, match=sample.name):
        store.whole([sample.sha256])
