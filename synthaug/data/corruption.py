"""Corrupted images in the place of stored ones: the same for every arm, seed, batch and worker."""

import contextlib
import io
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from synthaug.data.augment import evaluation_view
from synthaug.data.pixels import Pixels
from synthaug.errors import UserError


class CorruptedPixels:
    """Source of images as evaluation shows them, rounded to 8 bits, under a transform.

    Images go through one by one: the square of an image does not depend on what it is batched with, and the numbers
    that the transform draws are those of the image's own seed. The generators of PyTorch, NumPy and Python are left as
    they were.

    Args:
        store: of the images.
        transform: takes and returns one image, (3, S, S) → (3, height, width).
        image_size: S, side of the network's input in pixels.
        crop_pct: share of the short side that evaluation shows.
        pixels: what the transform takes, "uint8" or "float32" in [0, 1].
    """

    def __init__(
        self,
        store: Pixels,
        transform: Callable[[Tensor], Tensor],
        image_size: int,
        crop_pct: float,
        pixels: str = "uint8",
    ) -> None:
        self.store = store
        self.transform = transform
        self.short_side = image_size
        self.crop_pct = crop_pct
        self.pixels = pixels

    def batch(
        self, keys: Sequence[str], places: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images as one padded array (B, 3, H, W), zeros below and right of each, and their sizes (B, 2).

        Args:
            keys: B file hashes.
            places: unused, since what evaluation shows is the middle.

        Raises:
            UserError: the transform fails, or returns no image.
        """
        images = [self._corrupted(key) for key in keys]
        sizes = np.array([image.shape[1:] for image in images], dtype=np.int64)
        padded = np.zeros((len(keys), 3, *sizes.max(axis=0)), dtype=np.uint8)
        for row, image in enumerate(images):
            padded[row, :, : image.shape[1], : image.shape[2]] = image
        return padded, sizes

    def _corrupted(self, key: str) -> NDArray[np.uint8]:
        stored, size = (torch.from_numpy(array) for array in self.store.batch([key]))
        square = evaluation_view(stored, size, self.short_side, self.crop_pct)[0]
        whole = _to_bytes(square)
        changed = self._transformed(whole if self.pixels == "uint8" else whole.float() / 255, key)
        if not isinstance(changed, Tensor) or changed.ndim != 3 or changed.shape[0] != 3:
            kind = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
            raise UserError(f"{self._transform_name} returned {kind} for an image: must be (3, height, width).")
        whole = changed if changed.dtype == torch.uint8 else _to_bytes(changed.float())
        array: NDArray[np.uint8] = whole.numpy()
        return array

    def _transformed(self, image: Tensor, key: str) -> Tensor:
        """Apply the transform, with the image's own random numbers."""
        with _numbers_of(int(key[:16], 16) >> 1):  # torch takes seeds below 2^63
            try:
                return self.transform(image)
            except Exception as error:  # of whatever kind the library raises
                reason = " ".join(str(error).split())
                alternative = "float32" if self.pixels == "uint8" else "uint8"
                raise UserError(
                    f"{self._transform_name} cannot change an image ({type(error).__name__}: {reason:.200}). Correct "
                    f"its arguments, or give it pixels as {alternative}."
                ) from error

    @property
    def _transform_name(self) -> str:
        return type(self.transform).__name__


class JPEG:
    """Compression by Pillow, which takes and returns uint8 (3, S, S): torchvision's own is to be removed.

    Args:
        quality: of Pillow's scale from 1 to 95.
    """

    def __init__(self, quality: int) -> None:
        if not 1 <= quality <= 95:
            raise ValueError(f"quality={quality}: must be 1 to 95")
        self.quality = quality

    def __call__(self, image: Tensor) -> Tensor:
        """Compress the image and decode it again."""
        content = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(content, "JPEG", quality=self.quality)
        with Image.open(content) as compressed:
            return torch.from_numpy(np.array(compressed)).permute(2, 0, 1)


@contextlib.contextmanager
def _numbers_of(seed: int) -> Iterator[None]:
    """Seed the generators of PyTorch, NumPy and Python, and restore them afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            # `torch.manual_seed` would seed the generators of all GPUs as well, which nobody puts back.
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _to_bytes(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)
