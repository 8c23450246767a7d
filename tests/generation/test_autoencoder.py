"""Training of an autoencoder on a few images: it learns to show them, and goes on where it was stopped."""

from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderKL
from PIL import Image, ImageOps

from synthaug.generation import autoencoder
from synthaug.generation.autoencoder import encode_images, train_autoencoder
from synthaug.generation.training_loop import OptimizerSettings, batch_indices
from tests.factories.images import image
from tests.factories.pipelines import Pipelines, build_generator

FILE = "diffusion_pytorch_model.safetensors"


def train(
    model: Path | str, folder: Path, images: list[Image.Image], steps: int, rate: float
) -> tuple[Any, float, float]:
    generator = build_generator(model)
    generator.load()
    settings = OptimizerSettings(steps, rate, "adapt.autoencoder_lr", "recipe", "training")
    size = (32, 32) if str(model).startswith("pkg") else (16, 16)
    before, after = train_autoencoder(
        generator.pipeline, images, settings, 4, 0, folder / "checkpoint.pt", folder, size, None
    )
    return generator.pipeline, before, after


def test_inverted_digits_are_learned_from_few_steps(tmp_path: Path) -> None:
    digit = Image.new("RGB", (32, 32))
    digit.paste((255, 255, 255), (12, 6, 18, 26))
    images = [ImageOps.invert(digit)]
    pipeline, before, after = train("pkg://synthaug.assets/tiny_digits", tmp_path, images, steps=40, rate=3e-3)
    assert before < 6
    assert after > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", FILE], "no checkpoint is left"
    pipeline.vae = AutoencoderKL.from_pretrained(tmp_path)
    latents, read = encode_images(pipeline, images, (32, 32), None)
    assert read == pytest.approx(after, abs=0.01)
    assert latents.shape[0] == 1


def test_training_that_was_stopped_ends_as_one_that_was_not(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image(seed, (16, 16)) for seed in range(5)]
    _, *whole = train(pipelines("sd"), tmp_path / "whole", images, steps=5, rate=1e-2)
    calls = list[int]()

    def interrupt(*arguments: int) -> list[int]:
        calls.append(arguments[-1])
        if len(calls) > 3:
            raise KeyboardInterrupt
        return batch_indices(*arguments)

    with monkeypatch.context() as context:
        context.setattr(autoencoder, "batch_indices", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(pipelines("sd"), tmp_path / "stopped", images, steps=5, rate=1e-2)
    assert (tmp_path / "stopped" / "checkpoint.pt").is_file()
    _, *resumed = train(pipelines("sd"), tmp_path / "stopped", images, steps=5, rate=1e-2)
    assert resumed[1] == whole[1]
    assert (tmp_path / "stopped" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()
