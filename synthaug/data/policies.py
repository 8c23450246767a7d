"""torchvision's augmentation of single images, under random numbers that belong to the image.

torchvision draws from PyTorch's global generator. Here each image has a seed of its own, and the global generator is
left as it was: neither the images before it nor whatever else draws in this process can change what an image becomes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

# Our word → TrivialAugmentWide (Müller, Hutter 2021), RandAugment (Cubuk et al. 2020), AugMix (Hendrycks et al. 2020,
# the images without its loss), and the policy that AutoAugment (Cubuk et al. 2019) found for ImageNet.
POLICIES: dict[str, Callable[..., Callable[[Tensor], Tensor]]] = {
    "trivial": v2.TrivialAugmentWide,
    "rand": v2.RandAugment,
    "augmix": v2.AugMix,
    "auto": v2.AutoAugment,
}
# In torchvision's recipes images are erased when they are normalised already, so that 0 is the mean of ImageNet.
ERASED = (0.485, 0.456, 0.406)


def apply_policy(images: Tensor, seeds: Sequence[int], policy: str) -> Tensor:
    """Apply the transforms that `policy` draws for each image, as torchvision's recipes use them.

    Args:
        images: float32 (B, 3, S, S) in [0, 1]. Policies are defined on 8 bits, to which they are rounded.
        seeds: one per image.
        policy: a key of `POLICIES`.

    Returns:
        The same shape, type and range.
    """
    transform = POLICIES[policy](interpolation=v2.InterpolationMode.BILINEAR)
    # AugMix draws its weights on the images' own device, whose generator is not the one that is seeded here.
    device = torch.device("cpu") if policy == "augmix" else images.device
    changed = _one_by_one((images * 255).round().to(device, torch.uint8), seeds, transform)
    return changed.to(images.device).float() / 255


def erase(images: Tensor, seeds: Sequence[int], probability: float) -> Tensor:
    """Paint a rectangle of some images in the mean colour of ImageNet (Random Erasing, Zhong et al. 2020).

    Args:
        images: float32 (B, 3, S, S) in [0, 1].
        seeds: one per image.
        probability: that an image is changed.

    Returns:
        The same shape, type and range.
    """
    return _one_by_one(images, seeds, v2.RandomErasing(probability, value=ERASED))


def _one_by_one(images: Tensor, seeds: Sequence[int], transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Transform each image under the generator of its seed."""
    changed = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(images, seeds, strict=True):
            # `torch.manual_seed` would seed the generators of all GPUs as well, which nobody puts back.
            torch.default_generator.manual_seed(seed)
            changed.append(transform(image))
    return torch.stack(changed)
