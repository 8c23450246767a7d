"""Weights in fewer bits: what is quantized, that images stay nearly the same, and what is refused."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from synthaug.errors import UserError
from synthaug.generation import quantization
from tests.factories.pipelines import Pipelines, build_generator, pixels


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the packages were installed."""
    monkeypatch.setattr(quantization, "is_installed", lambda name: True)


def refusals(**settings: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        build_generator("someone/a-model", **settings).check(["cat"])
    return str(caught.value).splitlines()[1:]


def test_what_cannot_be_is_refused_at_once(packaged: None) -> None:
    (text,) = refusals(quantization="3bit")
    assert "int8, 8bit, 4bit" in text
    assert len(refusals(quantization="4bit", device="cpu", offload="sequential", file="a.safetensors")) == 3
    assert len(refusals(quantization="int8", device="cpu", offload="sequential")) == 1


def test_a_machine_without_a_gpu_is_told_before_weights_are_read(packaged: None, pipelines: Pipelines) -> None:
    model = build_generator(pipelines("sd"), quantization="4bit", device=None)
    with pytest.raises(UserError, match=r"quantization=4bit: generator.device=(cpu|mps) .*int8"):
        model.load()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "is_installed", lambda name: False)
    assert "pip install 'synthaug[quantization]'" in refusals(quantization="int8")[0]
    build_generator("someone/a-model", quantization=None)._check_values()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ZImagePipeline", {"transformer", "text_encoder"}),
        ("sd3", {"transformer", "text_encoder_3"}),
        ("sd", {"unet"}),
    ],
)
def test_the_large_parts_are_quantized(
    name: str, parts: set[str], pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    captured: dict[str, Any] = {}
    monkeypatch.setattr(diffusers, "PipelineQuantizationConfig", lambda quant_mapping: captured.update(quant_mapping))
    monkeypatch.setattr(quantization, "_bitsandbytes", lambda library, method, dtype: library.__name__)
    quantization.quantization_config("4bit", pipelines(name), None)
    assert set(captured) == parts
    assert {captured[part] for part in parts if part.startswith("text")} <= {"transformers"}
    assert {captured[part] for part in parts if not part.startswith("text")} == {"diffusers"}


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs torchao")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ZImagePipeline", "QwenImagePipeline"])
def test_eight_bits_keep_the_images(name: str, pipelines: Pipelines) -> None:
    import torch

    settings: dict[str, Any] = {"height": 16, "width": 16, "device": "cpu"}
    whole = build_generator(pipelines(name), **settings)
    reduced = build_generator(pipelines(name), quantization="int8", **settings)
    images = [pixels(model.sample(["a cat"], [1])) for model in (whole, reduced)]
    difference = np.abs(images[0] - images[1])
    assert 0 < difference.max() <= 12
    for part in (reduced.pipeline.transformer, reduced.pipeline.text_encoder):
        kinds = {type(layer.weight).__name__ for layer in part.modules() if isinstance(layer, torch.nn.Linear)}
        assert "Parameter" not in kinds or len(kinds) > 1
    assert reduced.settings["quantization"] == "int8"
