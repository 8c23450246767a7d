"""How much memory the training of a network needs, without training it."""

import copy

import torch
from torch import Tensor, nn


def activation_bytes(network: nn.Module, batch_size: int, image_size: int) -> int:
    """Return how many bytes a network keeps of a batch until the gradients are computed; 0 where it cannot be told.

    Computed with tensors that have a shape and no values.

    Args:
        network: the network, which stays as it is.
        batch_size: images of the batch.
        image_size: side of an image in pixels.
    """
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    try:
        twin = copy.deepcopy(network).to("meta").train()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            twin(torch.zeros(batch_size, 3, image_size, image_size, device="meta"))
    except Exception:  # a network that looks at values, or cannot be copied
        return 0
    weights = {tensor.untyped_storage()._cdata for tensor in twin.state_dict().values()}
    return sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
