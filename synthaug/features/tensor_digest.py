"""The hash of a network's weights."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def tensor_digest(prefix: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the hex SHA-256 of tensors, their names, types and shapes.

    Args:
        prefix: what else is hashed.
        tensors: by name.
    """
    digest = hashlib.sha256(prefix.encode())
    for key, value in sorted(tensors.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
