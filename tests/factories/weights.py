"""Weights made up for tests: pretrained ones where the libraries look for them, and the checkpoint of a run."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor


def in_the_cache(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Put a random state dict where torch.hub keeps the default weights of a torchvision network, and return it."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    generator = torch.Generator().manual_seed(1)
    state: dict[str, Tensor] = torchvision.models.get_model(name).state_dict()
    for key, value in state.items():  # statistics too, so that it shows whether they were taken
        if key.endswith("running_mean"):
            value.copy_(torch.rand(value.shape, generator=generator) / 10)
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    (folder / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "hub" / "checkpoints" / url.rpartition("/")[2])
    return state


def write_checkpoint(path: Path, classes: Sequence[str]) -> Path:
    """Write the checkpoint of a small network that was not trained, and return its path."""
    from synthaug.models.classifier import Classifier

    classifier = Classifier(classes, backbone="timm/test_efficientnet")
    content = {
        "pytorch-lightning_version": version("pytorch-lightning"),
        "state_dict": classifier.state_dict(),
        "hyper_parameters": dict(classifier.hparams),
        "datamodule_hyper_parameters": {"image_size": 32, "crop_pct": 1.0, "short_side": 32},
    }
    classifier.on_save_checkpoint(content)
    torch.save(content, path)
    return path
