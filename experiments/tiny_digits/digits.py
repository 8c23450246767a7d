"""The digits as tensors: 32x32 RGB in [-1, 1], which is the 28x28 image with a black border of 2."""

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from synthaug.data.sources.digits import write_digits

BORDER = 2


def load_part(part: str) -> tuple[Tensor, Tensor]:
    """Images (n, 3, 32, 32) and labels (n) of one part of the project's layout of the digits."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "digits"
        write_digits(root)
        paths = sorted((root / part).glob("*/*.png"))
        grey = np.stack([np.asarray(Image.open(path)) for path in paths])
    labels = torch.tensor([int(path.parent.name) for path in paths])
    pixels = torch.from_numpy(grey).float().div(127.5).sub(1).unsqueeze(1)
    return functional.pad(pixels, (BORDER,) * 4, value=-1.0).expand(-1, 3, -1, -1).contiguous(), labels


def to_grey28(images: Tensor) -> Tensor:
    """Return the centre 28x28 as grey in [0, 1]: (n, 3, 32, 32) in [-1, 1] → (n, 28, 28)."""
    centre = images[:, :, BORDER:-BORDER, BORDER:-BORDER]
    return centre.mean(1).add(1).div(2).clamp(0, 1)


def jitter(
    images: Tensor,
    random: torch.Generator,
    *,
    degrees: float,
    scale: float,
    shear: float = 0.0,
    shift: float = 0.0,
) -> Tensor:
    """Each image turned, scaled, sheared and shifted (in pixels) by up to the given amounts."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(len(images), generator=random) * 2 - 1) * limit

    angle = uniform(math.radians(degrees))
    wide, high, slant = 1 + uniform(scale), 1 + uniform(scale), uniform(shear)
    pixel = 2 / images.shape[-1]
    across = torch.stack([angle.cos() * wide, -angle.sin() * high + slant, uniform(shift * pixel)], 1)
    down = torch.stack([angle.sin() * wide, angle.cos() * high, uniform(shift * pixel)], 1)
    grid = functional.affine_grid(torch.stack([across, down], 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images + 1, grid, align_corners=False) - 1
