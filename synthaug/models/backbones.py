"""Networks by name, from torchvision or timm, with a head for the classes of the dataset."""

import contextlib
import http.client
import logging
import socket
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from synthaug.errors import UserError
from synthaug.hub_client import cache_alone_where_silent
from synthaug.messages import suggest
from synthaug.models import heads

TIMM = "timm/"
_AUXILIARY_HEADS = ("aux1", "aux2", "AuxLogits")
_PATIENCE = 30.0  # seconds until a server sends the next bytes
_SAVE_WEIGHTS = "save one with torch.save(network.state_dict(), <path>)"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TrainedOn(NamedTuple):
    """What a network's weights were trained on.

    Attributes:
        mean, std: per channel, of images in [0, 1].
        image_size: side in pixels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int


def build_backbone(
    name: str, weights: str | None, num_classes: int, fetch: bool = True, image_size: int | None = None
) -> nn.Module:
    """Build a classifier that maps float images (B, 3, S, S) to logits (B, num_classes).

    Args:
        name: a classifier of torchvision ("resnet18"), or of timm ("timm/resnet18").
        weights: None for random ones; "DEFAULT" or another name that the library knows for pretrained ones;
            or the path of a state dict (.pth or .safetensors) of this network, whatever its head.
        num_classes: outputs of the new head.
        fetch: False only builds the network that the weights fit, for those of a checkpoint.
        image_size: S, to which the positions of a transformer of timm are resampled; None leaves them.

    Raises:
        UserError: an unknown name, with close matches; weights that are unknown or out of reach; a network without
            positions, or one that cannot have them for this size.
    """
    if name.startswith(TIMM):
        network = _from_timm(name.removeprefix(TIMM), weights if fetch else None, num_classes)
        return network if image_size is None else _resized(name, network, image_size)
    if image_size is not None:
        raise _not_resizable(name, image_size)
    if name not in torchvision.models.list_models(torchvision.models):
        raise _unknown(name, torchvision.models.list_models(torchvision.models), "torchvision")
    if weights is None:
        network = torchvision.models.get_model(name, num_classes=num_classes)
    else:
        if fetch and not Path(weights).is_file():
            network = _pretrained(name, weights)
        else:
            network = _architecture(name, weights)
            if fetch:
                _load_state(network, Path(weights))
        heads.replace_head(network, num_classes)
    _drop_auxiliary_heads(network)
    return network


def trained_on(name: str, weights: str | None, network: nn.Module) -> TrainedOn:
    """Return the input that a network's weights were trained on; without weights ImageNet's statistics.

    A file is taken to be like the library's own weights: DEFAULT (torchvision), or the tag in the name (timm).

    Args:
        name: as for `build_backbone`.
        weights: as for `build_backbone`.
        network: what it returned.
    """
    if name.startswith(TIMM):
        settings: Any = network.pretrained_cfg
        statistics = TrainedOn(tuple(settings["mean"]), tuple(settings["std"]), int(settings["input_size"][-1]))
    else:
        choices: Any = torchvision.models.get_model_weights(name)
        view = choices.__members__.get(weights, choices.DEFAULT).transforms()
        statistics = TrainedOn(tuple(view.mean), tuple(view.std), int(view.crop_size[0]))
    return statistics if weights is not None else statistics._replace(mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _architecture(name: str, weights: str) -> nn.Module:
    """Return the network of torchvision that weights fit, with random values; a file is taken for its usual ones."""
    entry = torchvision.models.get_model_weights(name).__members__.get(weights)
    # Vision transformers alone have parameters whose shape depends on the size of the images.
    size = {"image_size": entry.meta["min_size"][0]} if entry and name.startswith("vit_") else {}
    network: nn.Module = torchvision.models.get_model(name, **size)
    if hasattr(network, "transform_input"):  # GoogLeNet and Inception turn ImageNet's statistics into their own
        network.transform_input = True  # type: ignore[assignment]
    return network


def _pretrained(name: str, weights: str) -> nn.Module:
    choices = [entry.name for entry in torchvision.models.get_model_weights(name)]
    if weights not in ("DEFAULT", *choices):
        raise UserError(
            f"model.weights={weights} is neither a file nor weights of {name}: "
            f"use DEFAULT, {', '.join(choices)}, null (from scratch) or the path of a file."
        )
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)  # torch.hub sets none
    try:
        network: nn.Module = torchvision.models.get_model(name, weights=weights)
    # URLError is an OSError; a broken download is a RuntimeError
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        url = torchvision.models.get_weight(_enum_name(name, weights)).url
        raise UserError(
            f"The weights {weights} of {name} could not be fetched ({error}). Download {url} where there is a "
            f"network and put it into {cache}, give the file as model.weights=<path>, or train from scratch "
            f"with model.weights=null."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
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
    logging.getLogger("timm").setLevel(logging.WARNING)  # it tells of each file that it loads
    names = [TIMM + entry for entry in (*timm.list_models(), *timm.list_pretrained())]
    if TIMM + name not in names:
        raise _unknown(TIMM + name, names, "timm")
    network: nn.Module
    if weights is not None and Path(weights).is_file():
        network = timm.create_model(name)
        _load_state(network, Path(weights))
        reset: Any = network.reset_classifier
        reset(num_classes)
        return network
    if weights not in (None, "DEFAULT"):
        raise UserError(
            f"model.weights={weights}: for timm use DEFAULT, null or a file; choose others by the tag in the name "
            f"(model.backbone={TIMM}{name.split('.')[0]}.<tag>)."
        )
    if weights is None:
        network = timm.create_model(name, num_classes=num_classes)
        return network
    settings: Any = timm.get_pretrained_cfg(name)
    place = settings and settings.hf_hub_id
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # it logs each of its twelve attempts, twice
    with cache_alone_where_silent(place) if place else contextlib.nullcontext("") as silence:
        try:
            network = timm.create_model(name, pretrained=True, num_classes=num_classes)
        except Exception as error:  # of the hub, of its HTTP library, of the file
            raise UserError(
                f"The weights of {TIMM}{name} could not be fetched ({silence or f'{type(error).__name__}: {error}'}). "
                f"{_download(settings)}Set HF_HOME to a cache that holds them (and HF_HUB_OFFLINE=1), "
                f"give a file as model.weights=<path>, or train from scratch with model.weights=null."
            ) from error
        finally:
            hub.setLevel(level)
    return network


def _resized(name: str, network: nn.Module, image_size: int) -> nn.Module:
    """Return a transformer of timm with its positions resampled, as timm does for weights of another size."""
    resize: Any = getattr(network, "set_input_size", None)
    if resize is None:
        raise _not_resizable(name, image_size)
    patch = max(getattr(getattr(network, "patch_embed", None), "patch_size", (1,)))
    if image_size % patch:
        smaller = image_size // patch * patch
        nearest = [f"{size}" for size in (smaller, smaller + patch) if size > 0]
        raise UserError(
            f"dataset.image_size={image_size}: model.backbone={name} takes patches of {patch} pixels, and the "
            f"rest would be cut off; set dataset.image_size={' or '.join(nearest)}."
        )
    with warnings.catch_warnings(action="ignore"):  # of PyTorch, about timm's own interpolation
        resize(img_size=(image_size, image_size))
    return network


def _not_resizable(name: str, image_size: int) -> UserError:
    return UserError(
        f"model.image_size={image_size}: only for transformers of timm, and model.backbone={name} has no positions "
        "that could be resampled; leave it out."
    )


def _download(settings: Any) -> str:
    """Return where to download timm's weights by hand, as a sentence; empty if there are none."""
    place = settings and settings.hf_hub_id
    if not place:
        return ""
    file = settings.hf_hub_filename or "model.safetensors"
    return f"Download https://huggingface.co/{place}/resolve/main/{file} where there is a network. "


def _load_state(network: nn.Module, path: Path) -> None:
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both raise whatever the file's bytes provoke, torch.load with bad advice
        reason = f"holds no tensors that can be read ({type(error).__name__})"
        raise UserError(f"model.weights={path} {reason}; {_SAVE_WEIGHTS}.") from error
    try:
        # What is replaced or removed afterwards may have any shape, as in weights that were trained on other classes.
        replaced = tuple(f"{part}." for part in (*heads.find_head(network), *_AUXILIARY_HEADS))
        head = {name: value for name, value in network.state_dict().items() if name.startswith(replaced)}
        network.load_state_dict({name: v for name, v in state.items() if not name.startswith(replaced)} | head)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        what = f"holds no state dict of this network: {reason:.300}"
        raise UserError(f"model.weights={path} {what}; {_SAVE_WEIGHTS}.") from error


def _drop_auxiliary_heads(network: nn.Module) -> None:
    """Remove the heads by which GoogLeNet and Inception return several logits while they train."""
    for name in _AUXILIARY_HEADS:
        if hasattr(network, name):
            setattr(network, name, None)
            network.aux_logits = False  # type: ignore[assignment]


def _unknown(name: str, names: list[str], library: str) -> UserError:
    hint = suggest(name, names, limit=5) or f"it has for instance {', '.join(names[:5])} …"
    return UserError(f"model.backbone={name}: {library} has no such classifier; {hint}")
