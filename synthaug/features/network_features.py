"""Embeddings by a network: what its last layer gets, of a pretrained network by name or of a run's checkpoint."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synthaug.data.augment import VERSION, View
from synthaug.data.pixels import padded
from synthaug.errors import UserError
from synthaug.features.feature_backbone import PIXELS, RANDOM, RUN
from synthaug.features.tensor_digest import tensor_digest
from synthaug.models import heads
from synthaug.models.backbones import TIMM, build_backbone, trained_on
from synthaug.models.checkpoints import CLASSIFIER, load_classifier, pick_device
from synthaug.models.classifier import Classifier
from synthaug.runs import discovery, layout

LARGEST, USUAL = 299, 224  # pixels; weights for larger images than the first are used at the second
BATCH_SIZE = 64


class NetworkFeatures:
    """A network as a backbone of embeddings.

    Args:
        name: of the backbone.
        network: maps images (B, 3, S, S) in [0, 1] to logits.
        head: its last layer, whose input is the embedding.
        view: how images are shown to it.
        device: of the network.
    """

    batch_size = BATCH_SIZE

    def __init__(self, name: str, network: nn.Module, head: nn.Module, view: View, device: torch.device) -> None:
        self.name = name
        self.short_side = view.short_side
        # Of a run, weights and view, wherever its folder is.
        shown = RUN if name.startswith(RUN) else name.partition("@")[0]
        self.digest = tensor_digest(f"{shown} {view} {VERSION}", network.state_dict())
        self._network = network.eval().to(device)
        self._view = view
        self._device = device
        self._input: Tensor | None = None
        head.register_forward_pre_hook(self._keep)
        self.dimension = self.embed([np.zeros((view.short_side, view.short_side, 3), dtype=np.uint8)]).shape[1]

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the vectors (B, D) of images (H, W, 3)."""
        if not images:
            return np.zeros((0, self.dimension), dtype=np.float32)
        pixels, sizes = (torch.from_numpy(array).to(self._device) for array in padded(images))
        with torch.inference_mode():
            self._network(self._view(pixels, sizes))
        assert self._input is not None, "the head is called in every forward pass"
        embedding, self._input = self._input, None
        return embedding.float().cpu().numpy()

    def _keep(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        embedding = inputs[0]
        if isinstance(head, nn.Conv2d):  # of a fully convolutional network: averaged over the places
            embedding = embedding.flatten(2).mean(dim=2)
        elif embedding.ndim > 2:  # averaged over tokens
            embedding = embedding.flatten(1, -2).mean(dim=1)
        self._input = embedding


class _Normalised(nn.Module):
    """A network of images in [0, 1], normalised as those that its weights were trained on."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def of_name(name: str, image_size: int | None, device: str) -> NetworkFeatures:
    """Return a network of torchvision or timm as a backbone.

    Args:
        name: as for `feature_backbone`.
        image_size: side of its input in pixels; None: the usual one.
        device: of PyTorch.

    Raises:
        UserError: an unknown name, or weights that are out of reach.
    """
    architecture, _, source = name.partition("@")
    weights = None if source == RANDOM else source or "DEFAULT"
    if weights not in (None, "DEFAULT") and not Path(weights).expanduser().is_file():
        raise UserError(f"backbone {name}: there is no file {weights}. Give the file of its weights, or {RANDOM}.")
    place = pick_device(device)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of random weights, and of the head, which is not used
            network = build_backbone(architecture, weights and str(Path(weights).expanduser()), num_classes=2)
            statistics = trained_on(architecture, weights, network)
            side = image_size or (USUAL if statistics.image_size > LARGEST else statistics.image_size)
            if side != statistics.image_size and architecture.startswith(TIMM) and hasattr(network, "set_input_size"):
                network = build_backbone(architecture, weights, num_classes=2, image_size=side)
    except UserError as error:
        raise UserError(_explained(name, architecture, str(error))) from error
    head = network.get_submodule(heads.find_head(network)[0])
    normalised = _Normalised(network, statistics.mean, statistics.std)
    try:
        return NetworkFeatures(name, normalised, head, View(side, 1.0, side), place)
    except (RuntimeError, AssertionError, ValueError) as error:  # of whatever kind the network's own checks raise
        raise UserError(
            f"backbone {name}: it takes no images of {side} pixels ({error}). Leave the size out."
        ) from error


def of_run(name: str, folder: Path, device: str) -> NetworkFeatures:
    """Return the classifier of a finished run as a backbone, which sees images as the run showed its test images.

    Args:
        name: of the backbone.
        folder: of the run.
        device: of PyTorch.

    Raises:
        UserError: no finished run, or a checkpoint that is gone or damaged.
    """
    classifier = load_run(folder, device)
    average = classifier.average
    network = classifier.network if average is None else average.module
    head = network.get_submodule(heads.find_head(network)[0])
    assert classifier.view is not None
    return NetworkFeatures(f"{RUN}{folder}", classifier, head, classifier.view, classifier.device)


def load_run(folder: Path, device: str = "auto") -> Classifier:
    """Load the classifier of a finished run, from its best checkpoint.

    Args:
        folder: of the run.
        device: of PyTorch; "auto": a GPU where there is one.

    Raises:
        UserError: no finished run, or a checkpoint that is gone or damaged.
    """
    run = discovery.load_run(folder)
    checkpoint = folder / layout.CHECKPOINT
    if not checkpoint.is_file():
        raise UserError(
            f"There is no {checkpoint}: it was removed. Restore it, or train the run again with overwrite=true."
        )
    layout.require_as_written(folder, layout.CHECKPOINT, run.result)
    settings = (run.result or {}).get("settings", {})
    return load_classifier(checkpoint, device, settings.get("model", {}).get("_target_") or CLASSIFIER)


def _explained(name: str, architecture: str, reason: str) -> str:
    """Turn an error about `model.backbone` and `model.weights` into one about a backbone of embeddings."""
    reason = reason.replace("model.backbone=", "").replace("dataset.image_size=", "images of ")
    reason = reason.replace("model.weights=<path>", f"{architecture}@<path>")
    reason = reason.replace(
        "train from scratch with model.weights=null", f"use random ones with {architecture}@{RANDOM}"
    )
    return f"backbone {name}: {reason} The backbone {PIXELS} needs no weights."
