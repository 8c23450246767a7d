from typing import Any

import lightning_fabric
import pytest
import torch
from pytorch_lightning import Trainer

from synthaug.training import hardware


def machine(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None) -> None:
    """Pretend to have a GPU of a compute capability, or none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "GPU")


@pytest.mark.parametrize(
    ("capability", "accelerator", "precision"),
    [
        (None, "auto", "32-true"),
        ((9, 0), "auto", "bf16-mixed"),
        ((8, 0), "gpu", "bf16-mixed"),
        ((7, 5), "cuda", "16-mixed"),
        ((6, 1), "auto", "32-true"),
        ((9, 0), "cpu", "32-true"),
        ((9, 0), "mps", "32-true"),
    ],
)
def test_auto_is_the_fastest_precision_that_the_device_computes_in(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, accelerator: str, precision: str
) -> None:
    machine(monkeypatch, capability)
    node: dict[str, Any] = {"accelerator": accelerator, "precision": "auto", "max_epochs": 3}
    assert hardware.trainer_settings(node) == {**node, "precision": precision}
    assert hardware.description(node).endswith(f" in {precision}")


def test_a_mac_trains_on_what_lightning_takes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, None)
    monkeypatch.setattr(lightning_fabric.accelerators.mps.MPSAccelerator, "is_available", lambda: True)
    for accelerator in ("auto", "gpu", "mps"):
        node: dict[str, Any] = {"accelerator": accelerator, "precision": "auto"}
        assert hardware.description(node) == "mps in 32-true"
        trainer = Trainer(**hardware.trainer_settings(node), devices=1, logger=False, enable_checkpointing=False)
        assert hardware.device_name(trainer.strategy.root_device) == "mps"
    assert hardware.description({"accelerator": "cpu", "precision": "auto"}) == "cpu in 32-true"


def test_a_precision_that_was_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (9, 0))
    for node in ({"precision": "32-true"}, {"max_epochs": 3}):
        assert hardware.trainer_settings(node) == node
        assert hardware.description(node) == "GPU in 32-true"


def test_the_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hardware.description({"accelerator": "cpu"}) == "cpu in 32-true"
    machine(monkeypatch, None)
    assert hardware.description({"accelerator": "auto", "precision": "auto"}) == "cpu in 32-true"
