"""Work on many image files at once: Pillow decodes without holding Python's lock."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

from synthaug.data.decoding import large_photographs

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
        results = threads.map(function, items)
        return list(tqdm(results, task, len(items), unit="image", disable=None, leave=False))
