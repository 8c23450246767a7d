"""Networks by name, from torchvision or timm, with a head for the classes at hand."""

import difflib
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from synthaug.errors import UserError

TIMM = "timm/"


def build_backbone(name: str, weights: str | None, num_classes: int) -> nn.Module:
    """A classifier that maps float images (B, 3, S, S) to logits (B, num_classes).

    Args:
        name: a classifier of torchvision ("resnet18"), or of timm ("timm/resnet18").
        weights: None for random ones; "DEFAULT" or another name that the library knows for pretrained ones;
            or the path of a state dict (.pth) of this network.
        num_classes: outputs of the new head.

    Raises:
        UserError: an unknown name, with close matches; weights that are unknown or out of reach.
    """
    if name.startswith(TIMM):
        return _from_timm(name.removeprefix(TIMM), weights, num_classes)
    if name not in torchvision.models.list_models(torchvision.models):
        raise _unknown(name, torchvision.models.list_models(torchvision.models), "torchvision")
    if weights is None:
        network: nn.Module = torchvision.models.get_model(name, num_classes=num_classes)
        return network
    if Path(weights).is_file():
        network = torchvision.models.get_model(name)
        _load_state(network, Path(weights))
    else:
        network = _pretrained(name, weights)
    _replace_head(network, name, num_classes)
    return network


def _pretrained(name: str, weights: str) -> nn.Module:
    choices = [entry.name for entry in torchvision.models.get_model_weights(name)]
    if weights not in ("DEFAULT", *choices):
        raise UserError(
            f"model.weights={weights} is neither a file nor weights of {name}: "
            f"use DEFAULT, {', '.join(choices)}, null (from scratch) or the path of a .pth file."
        )
    try:
        network: nn.Module = torchvision.models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a broken download is a RuntimeError
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        url = torchvision.models.get_weight(_enum_name(name, weights)).url
        raise UserError(
            f"The weights {weights} of {name} could not be fetched ({error}). Download {url} where there is a "
            f"network and put it into {cache}, give the file as model.weights=<path>, or train from scratch "
            f"with model.weights=null."
        ) from error
    return network


def _enum_name(name: str, weights: str) -> str:
    entry = torchvision.models.get_model_weights(name)[weights]
    return f"{type(entry).__name__}.{entry.name}"


def _from_timm(name: str, weights: str | None, num_classes: int) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UserError(
            f"model.backbone={TIMM}{name} needs timm: pip install 'synthaug[timm]' (in a checkout, -e '.[timm]')."
        ) from None
    if name.split(".")[0] not in timm.list_models():
        raise _unknown(TIMM + name, [TIMM + known for known in timm.list_models()], "timm")
    local: dict[str, Any] = {}
    if weights is not None and Path(weights).is_file():
        local = {"pretrained_cfg_overlay": {"file": weights}}
    elif weights not in (None, "DEFAULT"):
        raise UserError(
            f"model.weights={weights}: for timm use DEFAULT, null or a file; choose others by the tag in the name "
            f"(model.backbone={TIMM}{name.split('.')[0]}.<tag>)."
        )
    try:
        network: nn.Module = timm.create_model(name, pretrained=weights is not None, num_classes=num_classes, **local)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"The weights of {TIMM}{name} could not be fetched ({type(error).__name__}: {error}). Set HF_HOME to a "
            f"cache that holds them (and HF_HUB_OFFLINE=1), give a file as model.weights=<path>, or train from "
            f"scratch with model.weights=null."
        ) from error
    return network


def _load_state(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises whatever the file's bytes provoke
        raise UserError(f"model.weights={path} holds no state dict of this network: {error}") from error


def _replace_head(network: nn.Module, name: str, num_classes: int) -> None:
    """Put a new linear layer in the place of the last one, the classifier of every torchvision network but a few."""
    linear = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"model.backbone={name} has no linear head to replace: use another with pretrained weights.")
    path, head = linear[-1]
    parent, _, attribute = path.rpartition(".")
    new = nn.Linear(head.in_features, num_classes, bias=head.bias is not None)
    setattr(network.get_submodule(parent), attribute, new)


def _unknown(name: str, known: list[str], library: str) -> UserError:
    close = difflib.get_close_matches(name, known, n=5)
    hint = f"did you mean {', '.join(close)}?" if close else f"it has for instance {', '.join(known[:5])} …"
    return UserError(f"model.backbone={name}: {library} has no such classifier; {hint}")
