"""Corrupted images: the same for every batch, order and process, from numbers that belong to the image."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from synthaug import files
from synthaug.data.augment import evaluation_view
from synthaug.data.corruption import JPEG, CorruptedPixels
from synthaug.data.pixels import PixelStore
from synthaug.errors import UserError
from tests.factories.images import image

SIDE = 16
NOISE = v2.GaussianNoise(sigma=0.2)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[PixelStore, list[str]]:
    """Images of several shapes, and their keys."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for number, size in enumerate([(20, 16), (16, 30), (40, 41), (18, 18), (64, 20)]):
        image(number, size).save(folder / f"{number}.png")
        paths.append(folder / f"{number}.png")
    images = {files.sha256(path): path for path in paths}
    store = PixelStore(folder / "store", 20)
    store.add(images)
    return store, list(images)


def corrupted(store: PixelStore, transform: Callable[[Tensor], Tensor], pixels: str = "float32") -> CorruptedPixels:
    return CorruptedPixels(store, transform, SIDE, 0.875, pixels)


def shown(store: PixelStore, keys: Sequence[str]) -> Tensor:
    """What evaluation shows of images, one by one, in 8 bits."""
    views = []
    for key in keys:
        pixels, size = (torch.from_numpy(array) for array in store.batch([key]))
        views.append(evaluation_view(pixels, size, SIDE, 0.875))
    return (torch.cat(views) * 255).round().to(torch.uint8)


@given(order=st.permutations(range(5)), batch=st.integers(1, 5))
def test_an_image_is_the_same_in_every_order_and_batch(
    stored: tuple[PixelStore, list[str]], order: list[int], batch: int
) -> None:
    store, keys = stored
    noisy = corrupted(store, NOISE)
    expected = noisy.batch(keys)[0][order]
    requests = [keys[place] for place in order]
    parts = [noisy.batch(requests[start : start + batch])[0] for start in range(0, 5, batch)]
    assert np.array_equal(np.concatenate(parts), expected)


def test_images_differ_in_their_noise_and_so_do_no_two_calls(stored: tuple[PixelStore, list[str]]) -> None:
    store, keys = stored
    grey = v2.Compose([v2.Lambda(lambda image: torch.full_like(image, 0.5)), NOISE])
    once, again = (corrupted(store, grey).batch(keys)[0] for _ in range(2))
    assert np.array_equal(once, again)
    assert all((once[0] != second).mean() > 0.9 for second in once[1:])
    assert (once[0] / 255).std() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_what_changes_nothing_shows_what_evaluation_shows(stored: tuple[PixelStore, list[str]], pixels: str) -> None:
    store, keys = stored
    same, sizes = corrupted(store, v2.Identity(), pixels).batch(keys)
    assert np.array_equal(same, shown(store, keys).numpy())
    assert sizes.tolist() == [[SIDE, SIDE]] * len(keys)
    again = evaluation_view(torch.from_numpy(same), torch.from_numpy(sizes), SIDE, 1.0)
    assert torch.equal((again * 255).round().to(torch.uint8), torch.from_numpy(same)), "shown once more, it is the same"


def test_severities_share_the_draw(stored: tuple[PixelStore, list[str]]) -> None:
    """A stronger noise is the weaker one, stronger: what lies between them is severity alone."""
    store, keys = stored
    grey = v2.Lambda(lambda image: torch.full_like(image, 0.5))
    weak, strong = (
        corrupted(store, v2.Compose([grey, v2.GaussianNoise(sigma=sigma)])).batch(keys)[0] / 255 - 0.5
        for sigma in (0.05, 0.1)
    )
    assert np.abs(strong - 2 * weak).max() < 0.01


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_a_transform_is_given_what_was_asked_for(stored: tuple[PixelStore, list[str]], pixels: str) -> None:
    store, keys = stored
    seen: list[Tensor] = []

    def look(image: Tensor) -> Tensor:
        seen.append(image)
        return image

    corrupted(store, look, pixels).batch(keys[:1])
    assert (seen[0].shape, seen[0].dtype) == ((3, SIDE, SIDE), getattr(torch, pixels))


def test_other_sizes_are_padded(stored: tuple[PixelStore, list[str]]) -> None:
    store, keys = stored
    pixels, sizes = corrupted(store, v2.Resize([8, 6]), "uint8").batch(keys)
    assert pixels.shape == (5, 3, 8, 6)
    assert sizes.tolist() == [[8, 6]] * 5


def test_generators_are_left_as_they_were_and_the_libraries_own_are_seeded(
    stored: tuple[PixelStore, list[str]],
) -> None:
    store, keys = stored

    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    def of_all(image: Tensor) -> Tensor:
        return torch.full_like(image, sum(draw()) / 3)

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    wanted = draw()
    seed()
    first = corrupted(store, of_all).batch(keys)[0]
    assert draw() == wanted
    assert np.array_equal(first, corrupted(store, of_all).batch(keys)[0])


def test_the_numbers_of_an_image_are_those_of_its_hash(stored: tuple[PixelStore, list[str]]) -> None:
    store, keys = stored
    seen: list[tuple[float, float, float]] = []

    def look(image: Tensor) -> Tensor:
        seen.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
        return image

    corrupted(store, look).batch(keys)
    for key, numbers in zip(keys, seen, strict=True):
        seed = int(key[:16], 16) // 2
        assert numbers == (
            random.Random(seed).random(),
            float(np.random.RandomState(seed % 2**32).rand()),
            float(torch.rand(1, generator=torch.Generator().manual_seed(seed))),
        )


@pytest.mark.parametrize(("shift", "expected"), [(-2.0, 0), (2.0, 255)])
def test_what_exceeds_the_range_is_cut_off(stored: tuple[PixelStore, list[str]], shift: float, expected: int) -> None:
    store, keys = stored
    assert set(np.unique(corrupted(store, v2.Lambda(lambda image: image + shift)).batch(keys)[0])) == {expected}


def test_images_of_several_sizes_are_padded_below_and_right(stored: tuple[PixelStore, list[str]]) -> None:
    store, keys = stored
    sizes = [(4, 9), (7, 3), (5, 5), (2, 8), (6, 6)]
    todo = iter(sizes)

    def cut(image: Tensor) -> Tensor:
        height, width = next(todo)
        return torch.full_like(image[:, :height, :width], 200)

    pixels, actual = corrupted(store, cut, "uint8").batch(keys)
    assert actual.tolist() == [list(size) for size in sizes]
    assert pixels.shape == (5, 3, 7, 9)
    for row, (height, width) in enumerate(sizes):
        assert (pixels[row, :, :height, :width] == 200).all()
        assert pixels[row].sum() == 3 * height * width * 200


def test_a_transform_that_fails_says_so(stored: tuple[PixelStore, list[str]]) -> None:
    store, keys = stored
    with pytest.raises(UserError, match=r"JPEG cannot change an image \(TypeError: .*give it pixels as uint8"):
        corrupted(store, JPEG(quality=50), "float32").batch(keys[:1])
    with pytest.raises(UserError, match=r"Lambda returned \(1, 16, 16\) for an image"):
        corrupted(store, v2.Lambda(lambda image: image[:1])).batch(keys[:1])
    with pytest.raises(UserError, match=r"Lambda returned \(3, 1, 16, 16\) for an image"):
        corrupted(store, v2.Lambda(lambda image: image[:, None])).batch(keys[:1])
    with pytest.raises(UserError, match=r"ToPILImage returned Image for an image"):
        corrupted(store, v2.ToPILImage()).batch(keys[:1])


def test_the_store_of_a_large_crop_is_shown_as_in_evaluation(tmp_path: Path) -> None:
    image(0, (80, 80)).save(tmp_path / "0.png")
    key = files.sha256(tmp_path / "0.png")
    store = PixelStore(tmp_path / "store", 80)
    store.add({key: tmp_path / "0.png"})
    pixels, size = (torch.from_numpy(array) for array in store.batch([key]))
    fine = evaluation_view(pixels, size, SIDE, 0.875)
    assert np.array_equal(corrupted(store, v2.Identity()).batch([key])[0], (fine * 255).round().numpy())


def test_compression_is_that_of_pillow(tmp_path: Path) -> None:
    picture = image(3, (SIDE, SIDE))
    picture.save(tmp_path / "low.jpg", quality=10)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    with Image.open(tmp_path / "low.jpg") as expected:
        assert np.array_equal(JPEG(10)(pixels).permute(1, 2, 0).numpy(), np.array(expected))
    assert [JPEG(quality).quality for quality in (1, 95)] == [1, 95]
    for quality in (0, 96):
        with pytest.raises(ValueError, match="must be 1 to 95"):
            JPEG(quality)
