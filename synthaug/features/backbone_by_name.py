"""Backbones of embeddings by name: a small copy of the pixels, a pretrained network, or the network of a run."""

from pathlib import Path

from synthaug.features.feature_backbone import PIXELS, RUN, FeatureBackbone
from synthaug.features.pixel_features import PixelThumbnails


def feature_backbone(name: str = PIXELS, image_size: int | None = None, device: str = "auto") -> FeatureBackbone:
    """Return a backbone, ready to use.

    Args:
        name: "pixels", which needs no network (`PixelThumbnails`); a classifier of torchvision ("resnet18") or timm
            ("timm/vit_small_patch14_dinov2.lvd142m", "timm/vit_base_patch16_clip_quickgelu_224.openai") with its
            pretrained weights, those of a file as "<name>@<file>", or random ones, always the same, as
            "<name>@random"; or "run:<folder>", the classifier of a finished run. Networks give what their last layer
            gets.
        image_size: side of a network's input in pixels; None: that of its weights, but 224 for larger than 299.
        device: of PyTorch, such as "cpu" or "cuda:1"; "auto": a GPU where there is one.

    Raises:
        UserError: an unknown name, weights that are out of reach, no finished run, no such device.
    """
    if name == PIXELS:
        return PixelThumbnails()
    from synthaug.features import network_features  # imports torch

    if name.startswith(RUN):
        return network_features.of_run(name, Path(name.removeprefix(RUN)).expanduser(), device)
    return network_features.of_name(name, image_size, device)
