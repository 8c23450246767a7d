"""Pretrained weights made up for tests, where the libraries look for those that they have fetched before."""

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
