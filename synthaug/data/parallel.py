"""Work on many image files at once: Pillow decodes without holding Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthaug.data.decoding import by_torch, large_photographs, try_decode

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_images(function: Callable[[_Item], _Result], items: Sequence[_Item], task: str) -> list[_Result]:
    """Call a function with each item, on all processors, and return the results in order.

    Args:
        function: that decodes an image.
        items: one per image.
        task: shown before the progress bar: "decoding".
    """
    with large_photographs(), ThreadPoolExecutor(os.cpu_count()) as threads:
        results = map_ahead(threads, function, items)
        return list(tqdm(results, task, len(items), unit="image", disable=None, leave=False))


def map_ahead(
    threads: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[_Result]:
    """Map in order, with few results waiting: `ThreadPoolExecutor.map` would hold a kilobyte for each item.

    Args:
        threads: that call the function.
        function: of an item.
        items: any number of them.
    """
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > 4 * (os.cpu_count() or 1):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_ImageFile = tuple[str | None, Path]


def decoded_batches(
    images: Sequence[_ImageFile], short_side: int, batch_size: int
) -> Iterator[list[tuple[_ImageFile, NDArray[np.uint8] | str]]]:
    """Yield batches of images, or of reasons why there is none; the next one is decoded while one is in use.

    Args:
        images: (file hash or None, path) of each, as for `try_decode`.
        short_side: longest short side that is kept, in pixels.
        batch_size: images of a batch.
    """
    chunks = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    with ThreadPoolExecutor(os.cpu_count()) as threads, large_photographs():

        def submit(chunk: Sequence[_ImageFile]) -> list[tuple[_ImageFile, Future[NDArray[np.uint8] | str]]]:
            return [(item, threads.submit(try_decode, *item, short_side, by_torch)) for item in chunk]

        submitted = [submit(chunk) for chunk in chunks[:1]]
        for following in [*chunks[1:], ()]:
            submitted.append(submit(following))
            yield [(item, future.result()) for item, future in submitted.pop(0)]
