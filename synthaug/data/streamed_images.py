"""Images that are decoded whenever they are read, for stores of pixels that would not fit on the disk."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug.data.decoding import by_torch, silence_large_photographs, try_decode
from synthaug.data.keyed_rows import are_among, short_keys
from synthaug.data.sample_list import Samples
from synthaug.errors import UserError


class StreamedImages:
    """Files by the SHA-256 of their bytes, in 24 bytes an image beside the list that they come from.

    Args:
        short_side: longest short side of decoded images, in pixels.
    """

    def __init__(self, short_side: int) -> None:
        self.short_side = short_side
        self._samples = Samples()
        self._keys = np.empty(0, dtype=np.uint64)  # sorted
        self._rows = np.empty(0, dtype=np.int64)  # of the samples that have them

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, samples: Samples) -> None:
        """Add files; those of which another one is listed already need not be."""
        if not len(samples):
            return
        silence_large_photographs()  # of this process, for good: its threads share the list of what is silenced
        keys = short_keys(samples.digests)
        new = samples.take(np.flatnonzero(~are_among(keys, self._keys)))
        if len(new):
            self._samples = Samples.joined([self._samples, new])
            keys = short_keys(self._samples.digests)
            self._rows = np.argsort(keys, kind="stable")
            self._keys = keys[self._rows]

    def image(self, key: str) -> NDArray[np.uint8]:
        """Decode the image with this file hash, (H, W, 3).

        Raises:
            UserError: its file is not what it was.
        """
        path = self._path(key)
        image = try_decode(key, path, self.short_side, by_torch)
        if isinstance(image, str):
            raise UserError(
                f"{path}: {image}. The pixels of this dataset do not fit on the disk, so that each file is read again "
                "whenever it is needed: bring it back, or run the same command again, which lists the files anew."
            )
        return image

    def images(self, keys: Sequence[str]) -> list[NDArray[np.uint8]]:
        """Decode images, on all processors."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self.image, keys))

    def _path(self, key: str) -> Path:
        short = np.uint64(int(key[:16], 16))
        for place in range(int(np.searchsorted(self._keys, short)), len(self._keys)):
            if self._keys[place] != short:
                break
            sample = self._samples[int(self._rows[place])]
            if sample.sha256 == key:
                return sample.path
        raise KeyError(key)
