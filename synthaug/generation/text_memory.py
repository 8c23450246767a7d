"""Embeddings of prompts, kept while a pipeline is loaded: a batch of the same texts is encoded once.

What is kept is what the pipeline's own `encode_prompt` has returned for the same arguments, so images are the same to
the last bit. Most sets have few texts, one or some templates for each class, and their batches repeat; a text encoder
of billions of weights that is offloaded need not even be moved to the device again.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

_MOST_BYTES = 256 * 2**20  # of all embeddings; a prompt's are 4 MB with the largest text encoders


def remember_texts(pipeline: Any) -> None:
    """Have a pipeline keep what it encodes; one that has no `encode_prompt` stays as it is.

    Args:
        pipeline: of any class of diffusers; it is changed.
    """
    if not hasattr(pipeline, "encode_prompt"):
        return
    memory = _TextMemory(pipeline.encode_prompt)
    pipeline.encode_prompt = memory
    for name in ("set_adapters", "load_textual_inversion"):  # these change what a text encoder makes of a text
        if hasattr(pipeline, name):
            setattr(pipeline, name, _then(memory.forget, getattr(pipeline, name)))


class _TextMemory:
    """Calls a function once for the same arguments, as long as they are texts, numbers and devices."""

    def __init__(self, encode: Callable[..., Any]) -> None:
        self._encode = encode
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __call__(self, *positional: Any, **named: Any) -> Any:
        key = _key((positional, named))
        if key is None:
            return self._encode(*positional, **named)
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            embeddings = self._encode(*positional, **named)
            self._kept[key] = embeddings, sum(tensor.nbytes for tensor in _tensors(embeddings))
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > _MOST_BYTES:
                self._kept.popitem(last=False)
        return _fresh(self._kept[key][0])

    def forget(self) -> None:
        """Forget all embeddings."""
        self._kept.clear()


def _key(value: Any) -> Hashable | None:
    """Return a value of which equal arguments have equal ones; None for arguments that cannot be compared."""
    if isinstance(value, (list, tuple)):
        parts = [_key(item) for item in value]
        return None if None in parts else (type(value).__name__, *parts)
    if isinstance(value, Mapping):
        parts = [_key(item) for item in value.values()]
        return None if None in parts else ("mapping", *zip(value, parts, strict=True))
    import torch

    plain = value is None or isinstance(value, (str, int, float, bool, torch.device, torch.dtype))
    return (type(value).__name__, str(value)) if plain else None


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "nbytes"):
        yield value


def _fresh(value: Any) -> Any:
    """Return embeddings in new lists, since a pipeline may extend its own; tensors are not changed in place."""
    if isinstance(value, tuple):
        return tuple(_fresh(item) for item in value)
    return [_fresh(item) for item in value] if isinstance(value, list) else value


def _then(forget: Callable[[], None], change: Callable[..., Any]) -> Callable[..., Any]:
    def changed(*positional: Any, **named: Any) -> Any:
        forget()
        return change(*positional, **named)

    return changed
