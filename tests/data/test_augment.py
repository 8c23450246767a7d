"""Views of images: what varies, what must not, and on what the variation depends."""

import dataclasses
import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import adjust_hue

from synthaug.data import augment
from synthaug.data.augment import DRAWS, Augmentation, evaluation_view, training_view, uniforms
from synthaug.data.pixels import padded
from synthaug.data.policies import POLICIES, apply_policy
from synthaug.errors import UserError
from synthaug.models.backbones import IMAGENET_MEAN
from tests.factories.images import image

EVERYTHING = Augmentation((0.3, 1.0), (0.75, 4 / 3), 0.5, 15, 0.4, 0.4, 0.4)
STRONG = [
    dataclasses.replace(EVERYTHING, vertical_flip=0.5, hue=0.3, grayscale=0.3, blur=0.5, policy=policy, erasing=0.7)
    for policy in POLICIES
]
WHOLE = dataclasses.replace(STRONG[0], scale=(1.0, 1.0), ratio=(1.0, 1.0), whole=True)


def assert_same(view: Tensor, expected: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(view, expected, rtol=0, atol=atol)


def keys(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def stack(images: Sequence[NDArray[np.uint8]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """(H, W, 3) images → a padded batch and its sizes; what lies beyond an image is `padding`."""
    height, width = (max(picture.shape[axis] for picture in images) for axis in (0, 1))
    pixels = torch.full((len(images), 3, height, width), padding, dtype=torch.uint8)
    for row, picture in enumerate(images):
        pixels[row, :, : picture.shape[0], : picture.shape[1]] = torch.tensor(picture).permute(2, 0, 1)
    return pixels, torch.tensor([picture.shape[:2] for picture in images])


def picture(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(image(seed, (width, height)))


def correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(((first - first.mean()) * (second - second.mean())).mean() / (first.std() * second.std()))


def coordinates(height: int, width: int) -> NDArray[np.uint8]:
    """Red tells the column, green the row."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 255)], axis=2).astype(np.uint8)


def draws(count: int = 1, **values: float) -> Tensor:
    """One half of everything, which is the middle, except for `values`."""
    return torch.tensor([[values.get(name, 0.5) for name in DRAWS]] * count)


def augmented(
    images: Sequence[NDArray[np.uint8]],
    names: Sequence[str],
    seed: int = 0,
    epoch: int = 0,
    augmentation: Augmentation = EVERYTHING,
) -> Tensor:
    numbers = torch.from_numpy(uniforms(seed, epoch, names))
    return training_view(*stack(images), numbers, 12, augmentation)


def resized(image: NDArray[np.uint8], side: int) -> Tensor:
    """The whole image as a square, by Pillow, (3, side, side) in [0, 1]."""
    square = np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    return torch.from_numpy(square).permute(2, 0, 1) / 255


# --- the version of the code -----------------------------------------------------------------------------


VIEWED = {  # version → red, green and blue of a corner of two pictures: by evaluation, by a crop, by a rotated crop
    1: (
        *(0.7544, 0.8811, 0.3623, 0.4294, 0.5522, 0.4586),
        *(0.1728, 0.7647, 0.3471, 0.5995, 0.4392, 0.5135),
        *(0.2162, 0.7697, 0.4695, 0.6119, 0.4453, 0.5003),
    ),
}


def test_views_change_with_the_version_of_their_code() -> None:
    """Features are kept by it: where this fails, raise `augment.VERSION`, and give the new values."""
    names, pictures = keys(2), [picture(1, 40, 30), picture(2, 24, 36)]
    varied = dataclasses.replace(EVERYTHING, vertical_flip=0.5, hue=0.3, blur=0.9)
    views = [
        evaluation_view(*stack(pictures), 12, 0.8),
        augmented(pictures, names, augmentation=dataclasses.replace(varied, rotation=0.0)),
        augmented(pictures, names, augmentation=varied),
    ]
    corners = torch.cat([view[:, :, :4, :4].mean(dim=(2, 3)) for view in views]).flatten()
    assert_same(corners, torch.tensor(VIEWED[augment.VERSION]), atol=2e-3)


# --- the random numbers ----------------------------------------------------------------------------------


def test_an_image_gets_the_same_numbers_in_any_batch() -> None:
    names = keys(10)
    whole = uniforms(3, 5, names)
    assert whole.shape == (10, len(DRAWS))
    assert whole.dtype == np.float32
    assert np.array_equal(uniforms(3, 5, names[::-1]), whole[::-1])
    assert np.array_equal(uniforms(3, 5, names[4:5]), whole[4:5])


def test_other_seeds_epochs_and_images_get_other_numbers() -> None:
    names = keys(20)
    tables = [uniforms(seed, epoch, names) for seed in range(10) for epoch in range(10)]
    assert len({row.tobytes() for table in tables for row in table}) == 10 * 10 * 20


def test_seed_and_epoch_cannot_be_swapped() -> None:
    assert not np.array_equal(uniforms(1, 2, keys(1)), uniforms(2, 1, keys(1)))


@settings(deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 10**6))
def test_numbers_are_from_zero_to_below_one(seed: int, epoch: int) -> None:
    numbers = uniforms(seed, epoch, ["0" * 64, "f" * 64, *keys(3)])
    assert (numbers >= 0).all()
    assert (numbers < 1).all()


def test_numbers_are_uniform_and_know_nothing_of_each_other() -> None:
    names = keys(4000)
    numbers = uniforms(0, 0, names)
    for column in numbers.T:
        counts, _ = np.histogram(column, bins=20, range=(0, 1))
        chi_square = ((counts - 200) ** 2 / 200).sum()
        assert chi_square < 50  # 19 degrees of freedom: 1e-4
    neighbours = {
        "draws": [correlation(numbers[:, k], numbers[:, i]) for k in range(len(DRAWS)) for i in range(k)],
        "images": [correlation(numbers[1:, k], numbers[:-1, k]) for k in range(len(DRAWS))],
        "epochs": [correlation(numbers[:, k], uniforms(0, 1, names)[:, k]) for k in range(len(DRAWS))],
        "seeds": [correlation(numbers[:, k], uniforms(1, 0, names)[:, k]) for k in range(len(DRAWS))],
    }
    for between, correlations in neighbours.items():
        assert np.abs(correlations).max() < 5 / np.sqrt(4000), between


def test_the_numbers_stand_from_release_to_release() -> None:
    numbers = uniforms(1, 2, ["0123456789abcdef" * 4])[0, :3]
    assert numbers.tolist() == pytest.approx([0.2836038470, 0.5147146583, 0.2131820321], abs=1e-7)


def test_what_younger_settings_draw_changes_nothing_of_what_older_ones_drew() -> None:
    names = keys(4)
    noise = np.random.default_rng(92).integers(0, 256, (4, 3, 18, 20), dtype=np.uint8)
    sizes = torch.tensor([[18, 20], [18, 12], [9, 20], [15, 15]])
    view = training_view(
        torch.from_numpy(noise), sizes, torch.from_numpy(uniforms(92, 1, names)), 8, EVERYTHING, supersample=2
    )
    # Of version 0.1.0. No value of this view is within 0.003 of where rounding would make another number of it.
    digest = hashlib.sha256((view * 255).round().to(torch.uint8).numpy().tobytes()).hexdigest()
    assert digest == "d7ca0b6c8fa4886b90a96c4c8817af59c6a26eff818d3b2514babdb3b9ca7272"


# --- on what a view depends ------------------------------------------------------------------------------


def test_an_image_looks_the_same_in_any_batch() -> None:
    images = [picture(seed, width, height) for seed, (width, height) in enumerate([(20, 16), (9, 30), (40, 40)])]
    names = keys(3)
    whole = augmented(images, names)
    assert_same(augmented(images[::-1], names[::-1]), whole.flip(0))
    for row in range(3):
        assert_same(augmented([images[row]], [names[row]])[0], whole[row])


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([*STRONG, WHOLE]), st.permutations(range(4)), st.integers(1, 4), st.integers(0), st.integers(0, 9)
)
def test_nothing_but_seed_epoch_and_image_decides_what_is_drawn(
    augmentation: Augmentation, order: list[int], count: int, elsewhere: int, epoch: int
) -> None:
    images = [picture(seed, 20, 16) for seed in range(4)]
    names = keys(4)
    whole = augmented(images, names, 3, epoch, augmentation)
    torch.manual_seed(elsewhere % 2**63)
    random.seed(elsewhere)
    np.random.seed(elsewhere % 2**32)
    before = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))
    some = order[:count]
    part = augmented([images[row] for row in some], [names[row] for row in some], 3, epoch, augmentation)
    # Policies round to 8 bits, where the last bit of a sum may decide on a pixel.
    assert ((part - whole[some]).abs() > 1 / 254).float().mean() < 0.02
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), repr(np.random.get_state())) == before[1:]


def test_the_generator_is_left_as_it_was_after_an_error_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="shorter"):
        apply_policy(torch.zeros(2, 3, 4, 4), [1], "trivial")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("augmentation", [*STRONG, WHOLE], ids=lambda a: f"{a.policy}{'-whole' * a.whole}")
def test_strong_augmentation_is_another_one_for_every_image_epoch_and_seed(augmentation: Augmentation) -> None:
    images, names = [picture(0, 20, 16)] * 2, keys(2)
    views = [augmented(images, names, seed, epoch, augmentation) for seed in range(2) for epoch in range(2)]
    singles = [view for pair in views for view in pair]
    for number, view in enumerate(singles):
        assert all((view - second).abs().max() > 0.01 for second in singles[:number])


def test_an_image_looks_different_in_every_epoch_and_seed() -> None:
    images, names = [picture(0, 20, 16)], keys(1)
    views = [augmented(images, names, seed, epoch) for seed in range(3) for epoch in range(3)]
    for number, view in enumerate(views):
        assert all((view - second).abs().max() > 0.01 for second in views[:number])


def test_a_copy_in_the_same_batch_with_another_name_looks_different() -> None:
    first, second = augmented([picture(0, 20, 16)] * 2, keys(2))
    assert (first - second).abs().max() > 0.01


@pytest.mark.parametrize("rotation", [0, 90])
def test_nothing_beyond_an_image_is_ever_seen(rotation: float) -> None:
    images = [np.full((8, 5, 3), 100, dtype=np.uint8), np.full((3, 9, 3), 100, dtype=np.uint8)]
    plain = Augmentation((0.1, 1), (0.5, 2), rotation=rotation)
    for padding in (0, 255):
        pixels, sizes = stack([*images, picture(0, 64, 50)], padding)
        for epoch in range(20):
            numbers = torch.from_numpy(uniforms(0, epoch, keys(3)))
            view = training_view(pixels, sizes, numbers, 12, plain)[:2]
            assert_same(view, torch.full_like(view, 100 / 255))
        view = evaluation_view(pixels, sizes, 12, 1.0)[:2]
        assert_same(view, torch.full_like(view, 100 / 255))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16), st.integers(0, 1000))
def test_views_are_batches_of_finite_numbers_from_0_to_1(width: int, height: int, side: int, epoch: int) -> None:
    noise = np.random.default_rng(epoch).choice(np.array([0, 255], dtype=np.uint8), (height, width, 3))
    pixels, sizes = stack([noise, np.full((2, 3, 3), 255, dtype=np.uint8)])
    numbers = torch.from_numpy(uniforms(0, epoch, keys(2)))
    for view in (
        training_view(pixels, sizes, numbers, side, EVERYTHING),
        training_view(pixels, sizes, numbers, side, Augmentation(rotation=180)),
        training_view(pixels, sizes, numbers, side, STRONG[epoch % 4]),
        training_view(pixels, sizes, numbers, side, WHOLE),
        evaluation_view(pixels, sizes, side, 0.875),
    ):
        assert view.shape == (2, 3, side, side)
        assert view.dtype == torch.float32
        assert view.isfinite().all()
        assert view.min() >= 0
        assert view.max() <= 1


# --- what training varies --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(200, 20), (20, 201), (20, 63), (200, 21)])
@pytest.mark.parametrize("drawn", [0.0, 0.31, 0.5, 0.99])
def test_a_long_image_is_shown_as_if_the_batch_held_all_of_it(size: tuple[int, int], drawn: float) -> None:
    images = [picture(1, *size), picture(2, 24, 20)]
    whole, whole_sizes = stack(images)
    numbers = draws(2, x=drawn, y=drawn)
    short, sizes = map(torch.from_numpy, padded(images, np.full((2, 2), drawn, dtype=np.float32)))
    middle, middle_sizes = map(torch.from_numpy, padded(images))
    assert max(short.shape[2:]) <= 3 * 21
    expected = training_view(whole, whole_sizes, numbers, 16, Augmentation())
    differing = (training_view(short, sizes, numbers, 16, Augmentation()) - expected).abs().mean(dim=(1, 2, 3))
    assert differing[0] < 0.07  # a part begins at a whole pixel
    assert differing[1] < 1e-5
    expected = evaluation_view(whole, whole_sizes, 16, 0.875)
    assert_same(evaluation_view(middle, middle_sizes, 16, 0.875), expected, 1e-4)


def test_a_batch_in_parts_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, sizes = stack([picture(seed, 20 + seed, 24) for seed in range(7)])
    numbers = torch.from_numpy(uniforms(3, 4, keys(7)))
    rotated = Augmentation(scale=(0.3, 1), rotation=10)
    box, flips = torch.tensor([[1, 2, 20, 17]] * 7), torch.zeros(7, 2, dtype=torch.bool)
    whole = training_view(pixels, sizes, numbers, 16, rotated, 2)
    resized = augment._resized_batch(pixels, box, flips, 16)
    for most in (3 * pixels[0].numel() - 1, 1):
        monkeypatch.setattr(augment, "_MOST_FLOATS", most)
        assert torch.equal(training_view(pixels, sizes, numbers, 16, rotated, 2), whole)
        assert_same(augment._resized_batch(pixels, box, flips, 16), resized, 1e-6)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(0, 10**6))
def test_crops_are_the_same_on_every_device_and_of_pillow(width: int, height: int, side: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    high, wide = (int(random.integers(1, length + 1)) for length in (height, width))
    top, left = int(random.integers(0, height - high + 1)), int(random.integers(0, width - wide + 1))
    pixels, _ = stack([image, image])
    box = torch.tensor([[top, left, high, wide]] * 2)
    flips = torch.tensor([[False, False], [True, True]])
    plain, turned = augment._resized_bytes(pixels, box, flips, side)
    assert torch.equal(turned.flip(1, 2), plain)
    assert_same(plain, resized(image[top : top + high, left : left + wide], side), 2.01 / 255)
    assert_same(augment._resized_batch(pixels, box, flips, side), torch.stack([plain, turned]), 2.01 / 255)


@pytest.mark.parametrize(("size", "side"), [(16, 16), (16, 8), (16, 24), (15, 7), (3, 12)])
def test_the_default_only_resizes_a_square_image(size: int, side: int) -> None:
    pixels, sizes = stack([picture(0, size, size)])
    numbers = torch.from_numpy(uniforms(0, 0, keys(1)))
    expected = resized(picture(0, size, size), side)[None]
    assert_same(training_view(pixels, sizes, numbers, side, Augmentation()), expected, 1.01 / 255)


@pytest.mark.parametrize(("x", "columns"), [(0.0, range(10)), (0.5, range(5, 15)), (1.0, range(10, 20))])
def test_the_default_takes_a_square_of_the_full_height_anywhere(x: float, columns: range) -> None:
    pixels, sizes = stack([coordinates(10, 20)])
    view = training_view(pixels, sizes, draws(x=x), 10, Augmentation())[0] * 255
    torch.testing.assert_close(view[0, 3], torch.tensor(list(columns)).float(), rtol=0, atol=1e-3)
    torch.testing.assert_close(view[1, :, 3], torch.arange(10.0), rtol=0, atol=1e-3)


@settings(deadline=None)
@given(st.integers(8, 80), st.integers(8, 80), st.integers(0, 1000))
def test_crops_lie_inside_the_image_and_keep_to_scale_and_ratio(width: int, height: int, epoch: int) -> None:
    scale, ratio = (0.2, 0.9), (0.5, 1.5)
    numbers = torch.from_numpy(uniforms(0, epoch, keys(1)))
    draw = dict(zip(DRAWS, numbers.unbind(1), strict=True))
    ((top, left, high, wide),) = augment._boxes(
        torch.tensor([[height, width]]), draw, Augmentation(scale, ratio)
    ).tolist()
    assert 0 <= top <= top + high <= height
    assert 0 <= left <= left + wide <= width
    assert ratio[0] * (high - 0.5) - 0.51 <= wide <= ratio[1] * (high + 0.5) + 0.51  # but for whole pixels
    assert (high - 0.51) * (wide - 0.51) <= scale[1] * height * width
    whole_side = high == height or wide == width
    assert (high + 0.51) * (wide + 0.51) >= scale[0] * height * width or whole_side  # what did not fit was shrunk


def test_a_crop_as_drawn() -> None:
    pixels, sizes = stack([coordinates(40, 40)])
    augmentation = Augmentation((0.25, 0.25), (4.0, 4.0))
    view = training_view(pixels, sizes, draws(y=0.0), 10, augmentation)[0] * 255
    torch.testing.assert_close(view[0, 5], torch.arange(10) * 4 + 1.5, rtol=0, atol=0.51)  # 40 wide
    torch.testing.assert_close(view[1, :, 5], torch.arange(10.0), rtol=0, atol=1e-3)  # 10 high, at the top


def test_a_flip_mirrors_exactly() -> None:
    pixels, sizes = stack([picture(seed, 20, 16) for seed in range(4)])
    numbers = torch.from_numpy(uniforms(0, 0, keys(4)))
    never, always = (
        training_view(pixels, sizes, numbers, 16, Augmentation((0.5, 1), horizontal_flip=p)) for p in (0.0, 1.0)
    )
    assert_same(always, never.flip(3))
    assert (always - never).abs().amax((1, 2, 3)).min() > 0.01


def test_a_flip_of_a_half_mirrors_half_of_the_images() -> None:
    pixels, sizes = stack([coordinates(8, 8)] * 400)
    numbers = torch.from_numpy(uniforms(0, 0, keys(400)))
    view = training_view(pixels, sizes, numbers, 8, Augmentation(horizontal_flip=0.5))
    mirrored = (view[:, 0, 0, 0] > view[:, 0, 0, -1]).sum()
    assert 150 < mirrored < 250


@pytest.mark.parametrize(("drawn", "turns"), [(0.0, 1), (1.0, -1)])
def test_a_rotation_turns_about_the_centre(drawn: float, turns: int) -> None:
    pixels, sizes = stack([picture(0, 16, 16)])
    view = training_view(pixels, sizes, draws(angle=drawn), 16, Augmentation(rotation=90))
    assert_same(view, torch.rot90(pixels / 255, -turns, (2, 3)))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_brightness_contrast_and_saturation_are_blends(name: str) -> None:
    pixels, sizes = stack([picture(0, 16, 16)])
    plain = pixels / 255
    grey = (plain * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    ground = {"brightness": 0 * plain, "contrast": grey.mean().expand_as(plain), "saturation": grey.expand_as(plain)}[
        name
    ]

    def view(draw: float, strength: float) -> Tensor:
        settings: dict[str, Any] = {name: strength}
        return training_view(pixels, sizes, draws(1, **{name: draw}), 16, Augmentation(**settings))

    assert_same(view(0.0, 1.0), ground)
    assert_same(view(0.5, 1.0), plain)
    assert_same(view(1.0, 0.5), (ground + 1.5 * (plain - ground)).clamp(0, 1))


def test_every_setting_changes_something() -> None:
    pixels, sizes = stack([picture(0, 20, 16)])
    numbers = draws(1, **dict.fromkeys(DRAWS, 0.1) | {"sigma": 0.9})
    plain = training_view(pixels, sizes, numbers, 12, Augmentation())
    values: dict[str, Any] = dataclasses.asdict(STRONG[0]) | {"whole": True, "erasing": 1.0}
    for field in dataclasses.fields(Augmentation):
        changed = dataclasses.replace(Augmentation(), **{field.name: values[field.name]})
        assert (training_view(pixels, sizes, numbers, 12, changed) - plain).abs().max() > 0.01, field.name


def test_a_vertical_flip_turns_upside_down() -> None:
    pixels, sizes = stack([picture(seed, 20, 16) for seed in range(4)])
    numbers = torch.from_numpy(uniforms(0, 0, keys(4)))
    never, always = (
        training_view(pixels, sizes, numbers, 16, Augmentation((0.5, 1), vertical_flip=p)) for p in (0.0, 1.0)
    )
    assert_same(always, never.flip(2))


@pytest.mark.parametrize("name", ["vertical_flip", "grayscale", "blur", "erasing"])
def test_a_probability_of_a_half_is_half_of_the_images(name: str) -> None:
    pixels, sizes = stack([picture(0, 12, 12)] * 400)
    numbers = torch.from_numpy(uniforms(0, 0, keys(400)))
    chance: dict[str, Any] = {name: 0.5}
    view = training_view(pixels, sizes, numbers, 12, Augmentation(**chance))
    changed = ((view - pixels / 255).abs().amax((1, 2, 3)) > 1e-3).sum()
    assert 150 < changed < 250


@pytest.mark.parametrize(("drawn", "shift"), [(0.0, -0.5), (0.25, -0.25), (0.5, 0.0), (0.9, 0.4)])
def test_hue_is_that_of_torchvision(drawn: float, shift: float) -> None:
    pixels, sizes = stack([picture(0, 16, 16), picture(1, 16, 16)])
    numbers = draws(2)
    numbers[0, DRAWS.index("hue")] = drawn
    first, second = training_view(pixels, sizes, numbers, 16, Augmentation(hue=0.5))
    torch.testing.assert_close(first, adjust_hue(pixels[0] / 255, shift), rtol=0, atol=1e-3)
    torch.testing.assert_close(second, pixels[1] / 255, rtol=0, atol=1e-3)


def test_grayscale_leaves_the_luma() -> None:
    pixels, sizes = stack([picture(0, 16, 16)])
    view = training_view(pixels, sizes, draws(), 16, Augmentation(grayscale=1.0))
    luma = (pixels / 255 * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    assert_same(view, luma.expand(1, 3, 16, 16))


@pytest.mark.parametrize(("drawn", "sigma"), [(0.0, 0.1), (1.0, 2.0), (0.5, 1.05)])
def test_a_white_spot_is_blurred_to_a_bell(drawn: float, sigma: float) -> None:
    spot = np.zeros((80, 80, 3), dtype=np.uint8)
    spot[40, 40] = 255
    view = training_view(*stack([spot]), draws(sigma=drawn), 80, Augmentation(blur=1.0))[0, 0]
    away = torch.arange(-4.0, 5.0)  # a kernel of a tenth of the side
    bell = torch.exp(-(away**2) / (2 * sigma**2))
    expected = torch.zeros(80, 80)
    expected[36:45, 36:45] = torch.outer(bell, bell) / bell.sum() ** 2
    assert_same(view, expected, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(300, 100), (64, 64), (40, 90), (9, 7), (32, 1)])
def test_whole_images_are_stretched_as_by_pillow(width: int, height: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels, sizes = stack([image, picture(1, 310, 120)], padding=255)
    for supersample in (1, 2):
        view = training_view(pixels, sizes, draws(2), 32, Augmentation(whole=True), supersample)
        assert_same(view[0], resized(image, 32), atol=1.5 / 255)


def test_the_long_side_of_a_whole_panorama_does_not_alias() -> None:
    fine = np.tile(stripes(32, "columns"), (1, 16, 1))  # 512 wide, 32 high
    view = training_view(*stack([fine]), draws(), 32, Augmentation(whole=True))
    assert_same(view, torch.full_like(view, 0.5), atol=0.02)


def test_a_whole_image_is_turned_and_mirrored_as_a_square() -> None:
    image = picture(0, 40, 20)
    turned = training_view(*stack([image]), draws(angle=0.0), 16, Augmentation(whole=True, rotation=90))
    assert_same(turned[0], torch.rot90(resized(image, 16), -1, (1, 2)), atol=1.5 / 255)
    mirrored = training_view(*stack([image]), draws(), 16, Augmentation(whole=True, horizontal_flip=1.0))
    assert_same(mirrored[0], resized(image, 16).flip(2), atol=1.5 / 255)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_torchvisions_under_the_images_seed(policy: str) -> None:
    images = [picture(seed, 24, 24) for seed in range(8)]
    numbers = torch.from_numpy(uniforms(0, 0, keys(8)))
    views = training_view(*stack(images), numbers, 24, Augmentation(policy=policy))
    transform = POLICIES[policy](interpolation=InterpolationMode.BILINEAR)
    for plain, view, draw in zip(stack(images)[0], views, numbers[:, DRAWS.index("policy")].tolist(), strict=True):
        torch.manual_seed(int(draw * 2**24))
        assert_same(view, transform(plain) / 255)
    assert (views - stack(images)[0] / 255).abs().amax((1, 2, 3)).gt(0.01).sum() > 4


def test_a_rectangle_is_erased_to_the_mean_of_imagenet() -> None:
    pixels, sizes = stack([np.full((40, 40, 3), 255, dtype=np.uint8)] * 50)
    numbers = torch.from_numpy(uniforms(0, 0, keys(50)))
    views = training_view(pixels, sizes, numbers, 40, Augmentation(erasing=1.0))
    for view in views:
        erased = (view < 0.9).any(0)
        assert_same(view[:, erased], torch.tensor(IMAGENET_MEAN)[:, None].expand(3, int(erased.sum())))
        assert 0.01 < erased.float().mean() < 0.35  # of 2 to 33 % of the area, in whole pixels
        rows, columns = erased.any(1), erased.any(0)
        assert erased.sum() == rows.sum() * columns.sum()
    assert len({view.numpy().tobytes() for view in views}) > 40


def test_colour_comes_before_blur() -> None:
    """A spot that is as bright as can be is made no brighter, and then blurred."""
    spot = np.zeros((40, 40, 3), dtype=np.uint8)
    spot[20, 20] = 255
    numbers = draws(brightness=1.0, sigma=0.5)
    plain = training_view(*stack([spot]), numbers, 40, Augmentation(blur=1.0))
    assert plain.max() < 0.5
    assert_same(training_view(*stack([spot]), numbers, 40, Augmentation(brightness=1.0, blur=1.0)), plain)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_erased_is_neither_blurred_nor_changed_by_a_policy(policy: str) -> None:
    pixels, sizes = stack([np.full((40, 40, 3), 255, dtype=np.uint8)] * 8)
    numbers = torch.from_numpy(uniforms(0, 0, keys(8)))
    numbers[:, DRAWS.index("brightness")] = 0.0
    augmentation = Augmentation(brightness=0.2, blur=1.0, policy=policy, erasing=1.0)
    views = training_view(pixels, sizes, numbers, 40, augmentation)
    mean = torch.tensor(IMAGENET_MEAN)[None, :, None, None]
    assert ((views - mean).abs().amax(1) < 1e-6).float().mean((1, 2)).min() > 0.01


def test_augmentation_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        Augmentation(scale=(0.5, 1.0), whole=True, policy="autoaugment")
    assert str(caught.value).splitlines()[1:] == [
        "  - policy='autoaugment': must be trivial, rand, augmix, auto, or None for none",
        "  - whole=True: leaves nothing to crop; give scale=(1, 1) and ratio=(1, 1), or whole=False",
    ]
    with pytest.raises(UserError, match="leaves nothing to crop"):
        Augmentation(ratio=(0.5, 2.0), whole=True)


# --- what evaluation shows -------------------------------------------------------------------------------


def test_evaluation_of_an_image_of_the_right_size_is_the_image() -> None:
    pixels, sizes = stack([picture(0, 24, 24)])
    torch.testing.assert_close(evaluation_view(pixels, sizes, 24, 1.0), pixels / 255, rtol=0, atol=1 / 255)


@pytest.mark.parametrize(("width", "height"), [(20, 12), (12, 20), (13, 20)])
def test_evaluation_shows_the_centre_square(width: int, height: int) -> None:
    pixels, sizes = stack([coordinates(height, width)])
    side = min(width, height)
    view = evaluation_view(pixels, sizes, side, 1.0)[0] * 255
    torch.testing.assert_close(view[0, 4], torch.arange(side).float() + (width - side) // 2, rtol=0, atol=1e-3)
    torch.testing.assert_close(view[1, :, 4], torch.arange(side).float() + (height - side) // 2, rtol=0, atol=1e-3)


def test_crop_pct_is_the_share_of_the_short_side() -> None:
    pixels, sizes = stack([coordinates(16, 32)])
    view = evaluation_view(pixels, sizes, 14, 0.875)[0] * 255
    torch.testing.assert_close(view[0, 4], torch.arange(14.0) + 9, rtol=0, atol=1e-3)
    torch.testing.assert_close(view[1, :, 4], torch.arange(14.0) + 1, rtol=0, atol=1e-3)


# --- more pixels than are shown --------------------------------------------------------------------------


def stripes(side: int, kind: str) -> NDArray[np.uint8]:
    """Black and white lines, or squares, one pixel wide."""
    y, x = np.mgrid[:side, :side]
    bright = {"columns": x, "rows": y, "squares": x + y}[kind] % 2
    return np.repeat(bright[:, :, None] * 255, 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", ["columns", "rows", "squares"])
@pytest.mark.parametrize("side", [50, 56, 64])
def test_what_is_too_fine_to_be_shown_becomes_grey(kind: str, side: int) -> None:
    fine = stripes(side, kind)
    resized = Image.fromarray(fine).resize((32, 32), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255
    pixels, sizes = stack([fine])
    for view in (
        evaluation_view(pixels, sizes, 32, 1.0),
        training_view(pixels, sizes, draws(), 32, Augmentation()),
    ):
        assert_same(view[0], expected, atol=1.01 / 255)
    rotated = training_view(pixels, sizes, draws(), 32, Augmentation(rotation=10), supersample=2)  # by nothing
    assert_same(rotated[0], expected, atol=0.1)


def test_finer_samples_show_the_same_picture() -> None:
    pixels, sizes = stack([picture(seed, 60, 48) for seed in range(3)])
    numbers = torch.from_numpy(uniforms(0, 0, keys(3)))
    for supersample in (2, 3):
        assert_same(
            training_view(pixels, sizes, numbers, 24, EVERYTHING, supersample),
            training_view(pixels, sizes, numbers, 24, EVERYTHING),
            0.05,
        )
