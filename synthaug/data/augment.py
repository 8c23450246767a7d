"""From stored pixels to network input, for training and for evaluation alike.

Training takes a random crop (Inception's: random area and aspect ratio), flip, rotation and colour; evaluation
takes the centre square. A crop is shrunk or enlarged as torchvision does it for Pillow's images, antialiased: on a CPU
by its kernel for bytes, elsewhere by two matrix products for the whole batch, which differ by rounding. Rotated crops
are one `grid_sample`, on a finer grid where it would skip pixels. The random numbers come with the batch and are a pure
function of (seed, epoch, image), so that workers, processes, batch order and resumes cannot change them. What
torchvision does image by image (`policies`) takes its seeds from them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2.functional import adjust_hue, gaussian_blur

from synthaug.data.policies import POLICIES, apply_policy, erase
from synthaug.errors import raise_all

# Of what this module and those below it make of an image: features of another version are computed anew. Raise it where
# a view changes by more than rounding.
VERSION = 1

# One uniform number per image for each of these, in this order. New ones go to the end: the place is part of the seed.
DRAWS = (
    *("area", "ratio", "x", "y", "flip", "angle", "brightness", "contrast", "saturation"),
    *("vertical_flip", "hue", "grayscale", "blur", "sigma", "policy", "erasing"),
)


Images = Tensor | list[Tensor]

_MOST_FLOATS = 2**27  # values of a batch: a batch of 128 photographs at twice the usual 224 pixels has fewer


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training images; the default leaves them as they are.

    Attributes:
        scale: range of the crop's share of the image's area.
        ratio: range of the crop's width / height.
        horizontal_flip: probability.
        rotation: degrees to either side.
        brightness, contrast, saturation: largest relative change to either side.
        whole: the image is not cropped but first stretched to the square as a whole. Evaluation shows centres, as ever.
        vertical_flip: probability.
        hue: largest shift to either side, in turns of the colour circle; 0.5 reaches every hue.
        grayscale: probability.
        blur: probability of a Gaussian one.
        policy: torchvision's automatic augmentation after all of that, a key of `policies.POLICIES`; None for none.
        erasing: probability that a rectangle is painted over, last of all.

    Raises:
        UserError: an unknown policy; a crop of an image that is shown whole.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    whole: bool = False
    vertical_flip: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    policy: str | None = None
    erasing: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if self.policy is not None and self.policy not in POLICIES:
            problems.append(f"policy={self.policy!r}: must be {', '.join(POLICIES)}, or None for none")
        if self.whole and {*self.scale, *self.ratio} != {1}:
            problems.append("whole=True: leaves nothing to crop; give scale=(1, 1) and ratio=(1, 1), or whole=False")
        raise_all("This augmentation is invalid:", problems)


@dataclass(frozen=True)
class View:
    """How validation and test images are shown: the arguments of `evaluation_view`, by their origin.

    Attributes:
        image_size: side of the network's input in pixels.
        crop_pct: share of the short side that is shown.
        short_side: longest short side that decoded images keep, in pixels.
    """

    image_size: int
    crop_pct: float
    short_side: int

    def __call__(self, pixels: Tensor, sizes: Tensor) -> Tensor:
        """Return the network's input, float32 (B, 3, image_size, image_size) in [0, 1].

        Args:
            pixels: uint8 (B, 3, H, W), padded.
            sizes: (B, 2), height and width of each image in it.
        """
        return evaluation_view(pixels, sizes, self.image_size, self.crop_pct)


def uniforms(seed: int, epoch: int, images: Sequence[str]) -> NDArray[np.float32]:
    """Return numbers in [0, 1), shape (B, len(DRAWS)), from (seed, epoch, file hash) alone.

    Counter-based: SplitMix64 (Steele, Lea, Flood 2014) of the first 64 bits of the hash and the other numbers.

    Args:
        seed: of the run.
        epoch: or another number of the draw.
        images: B file hashes.
    """
    run = _splitmix(np.array([seed], dtype=np.uint64)) ^ np.uint64(epoch)
    state = _splitmix(image_numbers(images) ^ _splitmix(run))[:, None] ^ np.arange(len(DRAWS), dtype=np.uint64)
    return ((_splitmix(state) >> np.uint64(40)).astype(np.float32)) / np.float32(1 << 24)


def image_numbers(images: Sequence[str]) -> NDArray[np.uint64]:
    """Return the first 64 bits of file hashes."""
    return np.array([int(image[:16], 16) for image in images], dtype=np.uint64)


def view_uniforms(view: int, images: Sequence[str]) -> NDArray[np.float32]:
    """Return the random numbers of one of the fixed views of images, the same for all seeds, like `uniforms`.

    Args:
        view: its number, from 0.
        images: B file hashes.
    """
    return uniforms(0, view, images)


def chosen_views(seed: int, draws: NDArray[np.int64], images: NDArray[np.uint64], views: int) -> NDArray[np.int64]:
    """Return which of its fixed views each image shows, (B,), from (seed, draw, image) alone.

    Args:
        seed: of the run.
        draws: (B,), the epoch of each image, or another number of the draw.
        images: (B,), from `image_numbers`.
        views: how many each image has.
    """
    run = _splitmix(np.array([seed], dtype=np.uint64)) ^ draws.astype(np.uint64)
    return (_splitmix(images ^ _splitmix(run)) % np.uint64(views)).astype(np.int64)


def training_view(
    pixels: Images, sizes: Tensor, draws: Tensor, image_size: int, augmentation: Augmentation, supersample: int = 1
) -> Tensor:
    """Augment a batch.

    Args:
        pixels: uint8 (B, 3, H, W), padded, or (3, H, W) of each image; as one tensor where images are rotated.
        sizes: (B, 2), height and width of each image in it.
        draws: (B, len(DRAWS)) in [0, 1), from `uniforms`.
        image_size: side of the output in pixels.
        augmentation: what varies.
        supersample: samples per output pixel and axis of rotated crops, which are averaged.

    Returns:
        float32 (B, 3, image_size, image_size) in [0, 1].
    """
    draw = dict(zip(DRAWS, draws.unbind(1), strict=True))
    if augmentation.rotation:
        assert isinstance(pixels, Tensor)
        images = _rotated_crops(pixels, sizes, draw, image_size, augmentation, supersample)
    else:
        images = _crops(pixels, sizes, draw, image_size, augmentation)
    images = _colour(images, draw, augmentation)
    if augmentation.blur:
        images = _blur(images, draw, augmentation.blur)
    if augmentation.policy is not None:
        images = apply_policy(images, _seeds(draw["policy"]), augmentation.policy)
    if augmentation.erasing:
        images = erase(images, _seeds(draw["erasing"]), augmentation.erasing)
    return images


def _crops(
    pixels: Images, sizes: Tensor, draw: dict[str, Tensor], image_size: int, augmentation: Augmentation
) -> Tensor:
    upside_down = draw["vertical_flip"] < augmentation.vertical_flip
    mirrored = draw["flip"] < augmentation.horizontal_flip
    boxes = _boxes(sizes, draw, augmentation)
    return _resized(pixels, boxes, torch.stack([upside_down, mirrored], dim=1), image_size)


def _boxes(sizes: Tensor, draw: dict[str, Tensor], augmentation: Augmentation) -> Tensor:
    """Return first row, first column, height and width (B, 4) of crops of whole pixels, as torchvision has them."""
    height, width = sizes[:, 0].float(), sizes[:, 1].float()
    crop_h, crop_w = height, width
    if not augmentation.whole:
        crop_h, crop_w = (side.round().clamp(min=1) for side in _crop_sides(height, width, draw, augmentation))
    top, left = (draw["y"] * (height - crop_h)).round(), (draw["x"] * (width - crop_w)).round()
    return torch.stack([top, left, crop_h, crop_w], dim=1).long()


def _rotated_crops(
    pixels: Tensor,
    sizes: Tensor,
    draw: dict[str, Tensor],
    image_size: int,
    augmentation: Augmentation,
    supersample: int,
) -> Tensor:
    if augmentation.whole:
        pixels, sizes, supersample = *_stretched(pixels, sizes, image_size), 1
    height, width = sizes[:, 0].float(), sizes[:, 1].float()
    crop_h, crop_w = _crop_sides(height, width, draw, augmentation)
    centre_y = crop_h / 2 + draw["y"] * (height - crop_h)
    centre_x = crop_w / 2 + draw["x"] * (width - crop_w)
    mirrored = torch.where(draw["flip"] < augmentation.horizontal_flip, -1.0, 1.0)
    upside_down = torch.where(draw["vertical_flip"] < augmentation.vertical_flip, -1.0, 1.0)
    extent = (crop_h * upside_down, crop_w * mirrored)
    angle = _between(draw["angle"], -1, 1) * math.radians(augmentation.rotation)
    return _warp(pixels, sizes, (centre_y, centre_x), extent, angle, image_size, supersample)


def _crop_sides(
    height: Tensor, width: Tensor, draw: dict[str, Tensor], augmentation: Augmentation
) -> tuple[Tensor, Tensor]:
    area = _between(draw["area"], *augmentation.scale) * height * width
    ratio = torch.exp(_between(draw["ratio"], *map(math.log, augmentation.ratio)))
    crop_h, crop_w = torch.sqrt(area / ratio), torch.sqrt(area * ratio)
    # A crop that does not fit is shrunk as a whole: cutting one side alone would distort beyond `ratio`.
    fits = torch.minimum(height / crop_h, width / crop_w).clamp(max=1)
    return crop_h * fits, crop_w * fits


def evaluation_view(pixels: Images, sizes: Tensor, image_size: int, crop_pct: float) -> Tensor:
    """Return the centre of each image, for validation and test.

    Args:
        pixels: uint8 (B, 3, H, W), padded, or (3, H, W) of each image.
        sizes: (B, 2), height and width of each image in it.
        image_size: side of the output in pixels.
        crop_pct: side of the square, as a share of the short side.

    Returns:
        float32 (B, 3, image_size, image_size) in [0, 1].
    """
    side = (sizes.min(dim=1).values * crop_pct).round().clamp(min=1).long()
    top, left = ((sizes - side[:, None]) // 2).unbind(1)
    boxes = torch.stack([top, left, side, side], dim=1)
    return _resized(pixels, boxes, torch.zeros_like(sizes, dtype=torch.bool), image_size)


def _resized(pixels: Images, boxes: Tensor, flips: Tensor, side: int) -> Tensor:
    """Return a box of each image as a square, bilinear and antialiased, float32 (B, 3, side, side) in [0, 1].

    Args:
        pixels: uint8 (B, 3, H, W), or on a processor (3, H, W) of each image.
        boxes: (B, 4), first row, first column, height and width of each.
        flips: (B, 2), whether it is upside down, and mirrored.
        side: in pixels.
    """
    if isinstance(pixels, Tensor) and pixels.device.type != "cpu":
        return _resized_batch(pixels, boxes, flips, side)
    return _resized_bytes(pixels, boxes, flips, side)


def _resized_bytes(pixels: Images, boxes: Tensor, flips: Tensor, side: int) -> Tensor:
    """As `_resized`, by the kernel for bytes, which is several times as fast where the channels come last."""
    views = torch.empty((len(pixels), 3, side, side))
    for view, image, box, turned in zip(views, pixels, boxes.tolist(), flips.tolist(), strict=True):
        top, left, height, width = box
        crop = image[None, :, top : top + height, left : left + width].contiguous(memory_format=torch.channels_last)
        resized = torch.nn.functional.interpolate(crop, (side, side), mode="bilinear", antialias=True)[0]
        axes = [axis for axis in (1, 2) if turned[axis - 1]]
        view.copy_(resized.flip(axes) if axes else resized).div_(255)  # while it is in the processor's cache
    return views


def _resized_batch(pixels: Tensor, boxes: Tensor, flips: Tensor, side: int) -> Tensor:
    """As `_resized`, by matrix products: graphics processors have no such kernel for bytes."""
    rows, columns = (
        _resampling(boxes[:, axis], boxes[:, 2 + axis], flips[:, axis], side, pixels.shape[2 + axis]) for axis in (0, 1)
    )
    images = [
        down[:, None] @ (part.float() / 255) @ right[:, None].mT
        for part, down, right in zip(*(_parts(values, pixels) for values in (pixels, rows, columns)), strict=True)
    ]
    return torch.cat(images).clamp_(0, 1)  # sums of weights may be 1.0000001


def _resampling(start: Tensor, length: Tensor, flip: Tensor, side: int, pixels: int) -> Tensor:
    """Return the weights (B, side, pixels) of an axis: Pillow's antialiased bilinear filter, a triangle.

    Args:
        start: (B,), first pixel of each box.
        length: (B,), of each box in pixels.
        flip: (B,), whether the output runs backwards.
        side: of the output in pixels.
        pixels: of the input.
    """
    scale = length[:, None, None] / side
    steps = torch.arange(side, device=start.device) + 0.5
    centres = start[:, None, None] + torch.where(flip[:, None], side - steps, steps)[:, :, None] * scale
    places = torch.arange(pixels, device=start.device) + 0.5
    weights = (1 - (places - centres).abs() / scale.clamp(min=1)).clamp(min=0)
    inside = (places > start[:, None, None]) & (places < (start + length)[:, None, None])
    weights = weights * inside
    return weights / weights.sum(dim=2, keepdim=True)


def samples_per_pixel(short_side: int, image_size: int, crop_pct: float) -> int:
    """Return the samples per output pixel and axis with which none of a store's pixels is skipped.

    A store made for small training crops has more pixels than whole images are shown with.

    Args:
        short_side: of the store's images, in pixels.
        image_size: side of the output in pixels.
        crop_pct: share of the short side that is shown.
    """
    return 2 if short_side * crop_pct > 1.25 * image_size else 1


def _stretched(pixels: Tensor, sizes: Tensor, image_size: int) -> tuple[Tensor, Tensor]:
    """Whole images as squares, float32 (B, 3, image_size, image_size) in [0, 255], and their sizes.

    One by one and antialiased, as torchvision's `Resize`: `_warp` takes a fixed number of samples per output pixel,
    and the long side of a panorama has more pixels than those would see.
    """
    squares = [
        torch.nn.functional.interpolate(
            image[None, :, :height, :width].float(), (image_size, image_size), mode="bilinear", antialias=True
        )
        for image, (height, width) in zip(pixels, sizes.tolist(), strict=True)
    ]
    return torch.cat(squares), torch.full_like(sizes, image_size)


def _warp(
    pixels: Tensor,
    sizes: Tensor,
    centre: tuple[Tensor, Tensor],
    extent: tuple[Tensor, Tensor],
    angle: Tensor,
    image_size: int,
    supersample: int,
) -> Tensor:
    """Bilinear samples of a rotated rectangle of each image; beyond an image its border goes on."""
    side = image_size * supersample
    steps = (torch.arange(side, device=pixels.device) * 2 + 1) / side - 1
    down = steps[None, :, None] * (extent[0] / 2)[:, None, None]
    right = steps[None, None, :] * (extent[1] / 2)[:, None, None]
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    y = centre[0][:, None, None] + cos * down + sin * right
    x = centre[1][:, None, None] + cos * right - sin * down
    height, width = sizes[:, 0, None, None].float(), sizes[:, 1, None, None].float()
    # The padding beyond a smaller image in the batch must not be seen, so coordinates stop at its last pixels.
    y = torch.minimum(y.clamp(min=0.5), height - 0.5)
    x = torch.minimum(x.clamp(min=0.5), width - 0.5)
    canvas_h, canvas_w = pixels.shape[-2:]
    grid = torch.stack([x * 2 / canvas_w - 1, y * 2 / canvas_h - 1], dim=-1)
    images = torch.cat(
        [
            torch.nn.functional.grid_sample(part.float() / 255, points, mode="bilinear", align_corners=False)
            for part, points in zip(_parts(pixels, pixels), _parts(grid, pixels), strict=True)
        ]
    )
    if supersample > 1:  # `grid_sample` does not antialias
        images = torch.nn.functional.avg_pool2d(images, supersample)
    return images.clamp_(0, 1)  # the weights of a white spot may add up to 1.0000001


def _parts(values: Tensor, pixels: Tensor) -> list[Tensor]:
    """Split a batch along its first axis so that few of its pixels are floats at once; most batches stay whole."""
    size = max(1, _MOST_FLOATS // pixels[0].numel())
    return [values[start : start + size] for start in range(0, len(values), size)]


def _colour(images: Tensor, draw: dict[str, Tensor], augmentation: Augmentation) -> Tensor:
    """Brightness, contrast and saturation, each a blend as in Pillow's ImageEnhance; hue; and no colour at all.

    The ranges are those of torchvision's `ColorJitter`, which draws their order too; here it is fixed.
    """
    for name, ground in (("brightness", _black), ("contrast", _mean_grey), ("saturation", _grey)):
        strength = getattr(augmentation, name)
        if strength:
            factor = 1 + strength * _between(draw[name], -1, 1)[:, None, None, None]
            base = ground(images)
            images = (base + factor * (images - base)).clamp(0, 1)
    if augmentation.hue:
        shifts = (augmentation.hue * _between(draw["hue"], -1, 1)).tolist()
        images = torch.stack([adjust_hue(image, shift) for image, shift in zip(images, shifts, strict=True)])
    if augmentation.grayscale:
        colourless = (draw["grayscale"] < augmentation.grayscale)[:, None, None, None]
        images = torch.where(colourless, _grey(images), images)
    return images


def _blur(images: Tensor, draw: dict[str, Tensor], probability: float) -> Tensor:
    """Gaussian blur of 0.1 to 2 pixels with a kernel of a tenth of the side, as in SimCLR (Chen et al. 2020)."""
    side = images.shape[-1]
    kernel = 2 * min(max(1, side // 20), side - 1) + 1
    sigmas = _between(draw["sigma"], 0.1, 2.0).tolist()
    chosen = (draw["blur"] < probability).tolist()
    blurred = [
        gaussian_blur(image, [kernel, kernel], [sigma, sigma]) if hit else image
        for image, sigma, hit in zip(images, sigmas, chosen, strict=True)
    ]
    return torch.stack(blurred).clamp_(0, 1)


def _black(images: Tensor) -> Tensor:
    return torch.zeros_like(images[:, :1])


def _grey(images: Tensor) -> Tensor:
    """ITU-R 601-2 luma, (B, 1, H, W)."""
    weights = images.new_tensor([0.299, 0.587, 0.114])[None, :, None, None]
    return (images * weights).sum(dim=1, keepdim=True)


def _mean_grey(images: Tensor) -> Tensor:
    return _grey(images).mean(dim=(2, 3), keepdim=True)


def _seeds(draw: Tensor) -> list[int]:
    """Return the 24 bits of each draw."""
    seeds: list[int] = (draw * (1 << 24)).long().tolist()
    return seeds


def _between(draw: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * draw


def _splitmix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = state + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
