"""Batches read ahead by a thread, so that a device need not wait for them."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_END: Any = object()


def prefetched(items: Iterator[_Item], ahead: int = 2) -> Iterator[_Item]:
    """Yield what an iterator yields, and raise what it raises, while a thread reads a few items ahead.

    Args:
        items: read by the thread alone.
        ahead: items that may wait.
    """
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, items, _END) for _ in range(ahead))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(reader.submit(next, items, _END))
            yield item
