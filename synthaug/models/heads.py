"""The head of a network, its last layer: find, replace, regularize."""

from typing import Any

from torch import nn

from synthaug.errors import UserError


def find_head(network: nn.Module) -> list[str]:
    """Return the paths of the layers that give the logits: one, or two in timm's distilled networks.

    timm's networks say which they are. In torchvision's it is the last linear layer, or the last convolution where
    there is none (SqueezeNet).
    """
    classifier = getattr(network, "get_classifier", None)
    if classifier is not None:
        layers: Any = classifier()
        heads = layers if isinstance(layers, (tuple, list)) else [layers]
        return [path for path, layer in network.named_modules() if any(layer is head for head in heads)]
    linear = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    return (linear or [path for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d)])[-1:]


def replace_head(network: nn.Module, num_classes: int) -> None:
    """Replace the head of a torchvision network by a new layer with random weights.

    Args:
        network: changed in place.
        num_classes: outputs of the new layer.
    """
    (path,) = find_head(network)
    head = network.get_submodule(path)
    if isinstance(head, nn.Linear):
        _put(network, path, nn.Linear(head.in_features, num_classes, bias=head.bias is not None))
    else:
        assert isinstance(head, nn.Conv2d)
        _put(network, path, nn.Conv2d(head.in_channels, num_classes, kernel_size=1))


def add_head_regularization(network: nn.Module, batch_norm: bool, dropout: float) -> None:
    """Put BatchNorm1d and Dropout before the head.

    Args:
        network: changed in place.
        batch_norm: whether the features are normalised.
        dropout: probability with which a feature is dropped, in addition to what the network has; 0: no layer.

    Raises:
        UserError: the head is not one linear layer.
    """
    paths = find_head(network)
    head = network.get_submodule(paths[0]) if len(paths) == 1 else None
    if not isinstance(head, nn.Linear):
        raise UserError(
            "model.head_batch_norm and model.head_dropout stand before one linear layer, and this network does not end "
            "in one: leave them out, or choose another model.backbone."
        )
    before: list[nn.Module] = [nn.BatchNorm1d(head.in_features)] if batch_norm else []
    if dropout > 0:
        before.append(nn.Dropout(dropout))
    _put(network, paths[0], nn.Sequential(*before, head))


def _put(network: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, layer)
