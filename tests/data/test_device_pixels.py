"""Images on the device that trains, and batches read ahead: the same as those of the store, in their order."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug import files
from synthaug.data import device_pixels
from synthaug.data.device_pixels import DevicePixels
from synthaug.data.pixels import PixelStore
from synthaug.data.prefetch import prefetched
from tests.factories.images import image

SIZES = [(8, 8), (8, 8), (12, 8), (9, 50), (50, 9)]  # the last two are longer than a batch has them


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[PixelStore, list[str]]:
    folder = tmp_path_factory.mktemp("images")
    for seed, size in enumerate(SIZES):
        image(seed, size).save(folder / f"{seed}.png")
    paths = {files.sha256(path): path for path in sorted(folder.iterdir())}
    store = PixelStore(folder / "pixels", 1000)
    store.add(paths)
    return store, list(paths)


@given(
    rows=st.lists(st.integers(0, len(SIZES) - 1), min_size=1, max_size=6),
    place=st.one_of(st.none(), st.tuples(st.floats(0, 1), st.floats(0, 1))),
)
def test_batches_are_those_of_the_store(
    store: tuple[PixelStore, list[str]], rows: list[int], place: tuple[float, float] | None
) -> None:
    pixels, keys = store
    wanted = [keys[row] for row in rows]
    places = None if place is None else np.array([place] * len(rows), dtype=np.float32)
    expected, sizes = pixels.batch(wanted, places)
    batch, sizes_there = DevicePixels(pixels, keys, torch.device("cpu")).batch(wanted, places)
    assert np.array_equal(batch.numpy(), expected)
    assert np.array_equal(sizes_there.numpy(), sizes)


def test_images_are_copied_where_half_of_the_free_memory_holds_them(
    store: tuple[PixelStore, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, keys = store
    size = sum(3 * width * height for width, height in SIZES)
    gpu = SimpleNamespace(type="cuda")
    for free, expected in ((2 * size, True), (2 * size - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10 * free))
        assert device_pixels.fits(pixels, [*keys, *keys], gpu) is expected  # type: ignore[arg-type]
    monkeypatch.setattr(device_pixels, "_runs", [1])
    device_pixels.share_device(4)
    for free, expected in ((8 * size, True), (8 * size - 8, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10 * free))
        assert device_pixels.fits(pixels, keys, gpu) is expected  # type: ignore[arg-type]
    assert not device_pixels.fits(pixels, keys, torch.device("cpu"))


@given(count=st.integers(0, 9), ahead=st.integers(1, 4))
def test_what_is_read_ahead_comes_in_order(count: int, ahead: int) -> None:
    assert list(prefetched(iter(range(count)), ahead)) == list(range(count))


def test_an_error_comes_after_what_was_read_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = prefetched(failing())
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)


def test_no_more_is_read_than_is_asked_for() -> None:
    numbers = itertools.count()
    items = prefetched(numbers, ahead=2)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert next(numbers) <= 4
