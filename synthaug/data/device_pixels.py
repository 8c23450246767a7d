"""A pixel store's images in the memory of the device that trains, where they fit."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthaug.data.pixels import PixelStore, kept_part

_SHARE = 0.5  # of the free memory of a device that images may take; the network and its batches need the rest

_CHUNK = 256  # images that are copied at a time

_runs = [1]  # at a time on the device of this process


class DevicePixels:
    """Decoded images on a device, by the SHA-256 of their files; a source of batches like `PixelStore`.

    Args:
        store: of the images.
        keys: file hashes of those that are copied.
        device: where to.
    """

    def __init__(self, store: PixelStore, keys: Sequence[str], device: torch.device) -> None:
        self.short_side = store.short_side
        self._shapes = {key: (store.place(key).height, store.place(key).width) for key in dict.fromkeys(keys)}
        sizes = [height * width * 3 for height, width in self._shapes.values()]
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self._starts = dict(zip(self._shapes, starts, strict=False))
        self._bytes = torch.empty(starts[-1], dtype=torch.uint8, device=device)
        distinct = list(self._shapes)
        for first in range(0, len(distinct), _CHUNK):
            rows = slice(first, first + _CHUNK)
            for image, start, size in zip(store.whole(distinct[rows]), starts[:-1][rows], sizes[rows], strict=True):
                self._bytes[start : start + size] = torch.from_numpy(np.array(image).reshape(-1))

    def image(self, key: str) -> Tensor:
        """Return the image with this file hash, (H, W, 3)."""
        height, width = self._shapes[key]
        start = self._starts[key]
        return self._bytes[start : start + height * width * 3].view(height, width, 3)

    def batch(self, keys: Sequence[str], places: NDArray[np.float32] | None = None) -> tuple[Tensor, Tensor]:
        """Return images as `pixels.padded` does, as tensors: the pixels on the device, the sizes in main memory.

        Args:
            keys: B file hashes.
            places: of what is kept of long images.
        """
        centres = np.full((len(keys), 2), 0.5, dtype=np.float32) if places is None else places
        parts = [kept_part(*self._shapes[key], place) for key, place in zip(keys, centres, strict=True)]
        images = [self.image(key)[part] for key, part in zip(keys, parts, strict=True)]
        sizes = torch.tensor([image.shape[:2] for image in images])
        height, width = sizes.amax(dim=0).tolist()
        if bool((sizes == sizes[0]).all()):
            return torch.stack(images).permute(0, 3, 1, 2), sizes
        pixels = self._bytes.new_zeros((len(images), 3, height, width))
        for row, image in enumerate(images):
            pixels[row, :, : image.shape[0], : image.shape[1]] = image.permute(2, 0, 1)
        return pixels, sizes


def share_device(runs: int) -> None:
    """Leave room for others from here on: runs that begin at a time all find the same memory free.

    Args:
        runs: at a time on the device of this process, each in a process of its own.
    """
    _runs[0] = max(1, runs)


def fits(store: PixelStore, keys: Iterable[str], device: torch.device) -> bool:
    """Return whether images fit into the memory of a device beside a network; only graphics processors are asked.

    Args:
        store: of the images.
        keys: their file hashes.
        device: that trains.
    """
    if device.type != "cuda":
        return False
    places = [store.place(key) for key in set(keys)]
    free, _ = torch.cuda.mem_get_info(device)
    return sum(place.size for place in places) <= _SHARE * free / _runs[0]
