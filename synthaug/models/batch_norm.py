"""Separate batch normalisation for real and for synthetic images.

Auxiliary batch norm of AdvProp (Xie, Tan, Gong, Wang, Yuille, Le 2020, "Adversarial Examples Improve Image
Recognition", arXiv:1911.09665): both kinds of images share every weight but the statistics, scale and shift of the
normalisations, since their distributions differ, and the images of the test are of one kind.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from synthaug.errors import UserError


class BatchNormPerOrigin(nn.Module):
    """Two layers in the place of one batch normalisation, both initialised as that one was.

    Args:
        layer: what is replaced; timm's have an activation in them and keep it.

    Attributes:
        real, synthetic: the layers.
        for_synthetic: which of them is active; see `select`.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.real = layer
        self.synthetic = copy.deepcopy(layer)
        self.for_synthetic = False

    def forward(self, features: Tensor) -> Tensor:
        """Return features (B, C, …), normalised by the active layer.

        One value per channel has no variance, and PyTorch refuses to train on it: a single image, where nothing is
        left of its height and width, is normalised by the running statistics.
        """
        layer = self.synthetic if self.for_synthetic else self.real
        alone = layer.training and features.numel() == features.shape[1]
        if alone:
            layer.eval()
        normalised: Tensor = layer(features)
        if alone:
            layer.train()
        return normalised


def split_by_origin(network: nn.Module) -> None:
    """Replace every batch normalisation of a network by a pair, for real and for synthetic images.

    Raises:
        UserError: the network has none.
    """
    layers = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        raise UserError(
            "model.batch_norm=per_origin: this network has no batch normalisation (transformers and ConvNeXt normalise "
            "each image by itself). Use model.batch_norm=shared, or another model.backbone."
        )
    for path, layer in layers:
        parent, _, attribute = path.rpartition(".")
        setattr(network.get_submodule(parent), attribute, BatchNormPerOrigin(layer))


def select(network: nn.Module, synthetic: bool) -> None:
    """Activate one kind of normalisations until the next call.

    Args:
        network: after `split_by_origin`.
        synthetic: those of synthetic images, or those of real ones.
    """
    for module in network.modules():
        if isinstance(module, BatchNormPerOrigin):
            module.for_synthetic = synthetic


def logits_by_origin(network: nn.Module, images: Tensor, synthetic: Tensor) -> Tensor:
    """Return logits by one pass for the real images of a batch and one for the synthetic ones.

    Two passes, as in the paper, and not one that parts the features in every normalisation: some networks fold
    positions into the batch dimension, where an image's place is lost.

    Args:
        network: after `split_by_origin`.
        images: (B, 3, S, S).
        synthetic: bool (B,), which of them are.

    Returns:
        (B, classes), in the order of the images.
    """
    places, parts = [], []
    for origin in (False, True):
        place = (synthetic == origin).nonzero().squeeze(1)
        if len(place):
            select(network, synthetic=origin)
            places.append(place)
            parts.append(network(images[place]))
    return torch.cat(parts)[torch.cat(places).argsort()]
