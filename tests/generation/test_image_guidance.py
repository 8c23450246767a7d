"""Guidance by real images: what each pipeline receives, in its size, and what is refused before it is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.image_guidance import MASKS, fit, paint_mask
from tests.factories.images import image
from tests.factories.pipelines import Pipelines, build_generator, pixels

SIZED = {"height": 16, "width": 16}
# Architecture → settings that fit it, and its pipelines for image-to-image and inpainting.
GUIDED: dict[str, tuple[dict[str, Any], str, str]] = {
    "sd": ({}, "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "sdxl": ({"guidance_scale": 5.0}, "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    "sd3": ({**SIZED, "guidance_scale": 4.5}, "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    "flux": ({**SIZED, "guidance_scale": 0.0}, "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
}
SOURCES = [image(1, (40, 24)), image(2, (16, 16)), image(3, (20, 30))]
TEXTS, SEEDS = ["a cat", "a dog", "a cat"], [5, 6, 7]


@contextmanager
def spied(generator: DiffusionGenerator, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Yield what the generator's pipeline receives."""
    generator.load()
    received: list[dict[str, Any]] = []
    kind = type(generator.pipeline)
    call = kind.__call__

    def watch(pipeline: Any, **arguments: Any) -> Any:
        received.append(arguments)
        return call(pipeline, **arguments)

    watch.__signature__ = __import__("inspect").signature(call)  # type: ignore[attr-defined]
    with monkeypatch.context() as context:
        context.setattr(kind, "__call__", watch)
        yield received


@pytest.mark.parametrize("mask", [None, "center"])
@pytest.mark.parametrize("kind", GUIDED)
def test_pipeline_receives_the_real_images(
    kind: str, mask: str | None, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (kind, mask) == ("sd3", "center"):
        pytest.skip("its inpainting takes latents of 16 channels alone")
    settings, *names = GUIDED[kind]
    generator = build_generator(pipelines(kind), num_inference_steps=4, strength=0.5, mask=mask, **settings)
    assert generator.is_guided
    with spied(generator, monkeypatch) as received:
        images = generator.sample(TEXTS, SEEDS, SOURCES)
    assert type(generator.pipeline).__name__ == names[mask is not None]
    (arguments,) = received
    assert (arguments["prompt"], arguments["strength"]) == (TEXTS, 0.5)
    assert [item.size for item in arguments["image"]] == [(16, 16)] * 3
    assert (pixels(arguments["image"]) == pixels([fit(source, (16, 16)) for source in SOURCES])).all()
    assert ("mask_image" in arguments) == (mask is not None)
    assert pixels(images).shape == (3, 16, 16, 3)
    alone = [
        generator.sample([text], [seed], [source])[0] for text, seed, source in zip(TEXTS, SEEDS, SOURCES, strict=True)
    ]
    assert abs(pixels(alone) - pixels(images)).max() <= 2, "whatever the batch"
    turned = pixels(generator.sample(TEXTS, SEEDS, SOURCES[::-1]))
    assert (turned[0] != pixels(images)[0]).any(), "another source makes another image"


def test_pipeline_shares_its_weights(pipelines: Pipelines) -> None:
    plain, guided = build_generator(pipelines("sd")), build_generator(pipelines("sd"), strength=0.5)
    for generator in (plain, guided):
        generator.load()
    text2image = plain.pipeline
    adapted, attached = guided._guidance.adapt(text2image, "model")
    assert attached == {}
    assert adapted.unet is text2image.unet
    assert adapted.vae is text2image.vae
    assert adapted.scheduler is text2image.scheduler
    assert plain.provenance()["weights"] == guided.provenance()["weights"]


def test_strength_says_how_much_of_the_real_image_stays() -> None:
    from synthaug.generation.diffusion import DiffusionGenerator

    digit = Image.new("RGB", (28, 28))
    digit.paste((255, 255, 255), (12, 4, 16, 24))  # a one
    distances = []
    for strength in (0.2, 0.6, 1.0):
        embedded = DiffusionGenerator(
            "pkg://synthaug.assets/tiny_digits", "a handwritten digit {class_name}", num_inference_steps=16,
            guidance_scale=2.0, crop=28, mode="L", dtype="float32", strength=strength,
        )  # fmt: skip
        images = embedded.sample(["a handwritten digit 8"] * 4, [1, 2, 3, 4], [digit] * 4)
        distances.append(float(np.abs(pixels(images) - np.asarray(digit.convert("L"), dtype=np.int64)).mean()))
    assert distances[0] < 0.3 * distances[2]
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("strength", [0, 0.0, -0.5, 1.01, 1.5, True, "much"])
def test_strength_outside_its_range_is_refused_before_anything_is_loaded(strength: Any) -> None:
    with pytest.raises(UserError, match=r"generator\.strength=.*: must be more than 0 and at most 1"):
        build_generator("no/model", strength=strength).check(["cat"])


@given(st.integers(1, 100), st.floats(0.01, 1))
def test_a_strength_leaves_a_step_or_is_refused(steps: int, strength: float) -> None:
    problems = build_generator("no/model", strength=strength)._guidance.problems(steps)
    assert bool(problems) == (int(steps * strength) < 1)


def test_masks_need_a_strength_and_a_name_of_their_own() -> None:
    with pytest.raises(UserError, match=r"generator\.mask=center: needs generator\.strength"):
        build_generator("no/model", mask="center").check(["cat"])
    with pytest.raises(UserError, match=r"generator\.mask=middle: must be one of center, border, random"):
        build_generator("no/model", mask="middle", strength=0.5).check(["cat"])


def test_model_without_such_a_pipeline_is_refused_by_its_name(pipelines: Pipelines) -> None:
    generator = build_generator(pipelines("pixart"), strength=0.5, guidance_scale=4.5, height=32, width=32)
    with pytest.raises(UserError, match=r"no pipeline for image-to-image with a PixArtSigmaPipeline"):
        generator.load()


def test_guided_generator_without_images_is_refused(pipelines: Pipelines) -> None:
    with pytest.raises(UserError, match="guided by real images"):
        build_generator(pipelines("sd"), strength=0.5).sample(["a cat"], [1])


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(16, 16), (16, 24), (32, 8)]))
def test_images_are_cut_in_the_centre_and_fill_the_size(width: int, height: int, size: tuple[int, int]) -> None:
    fitted = fit(Image.new("RGB", (width, height), (10, 20, 30)), size)
    assert fitted.size == size[::-1]
    assert fitted.getcolors() == [(size[0] * size[1], (10, 20, 30))], "no border"


def test_fit_keeps_the_middle() -> None:
    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    assert fit(wide, (20, 20)).getcolors() == [(400, (0, 0, 255))]


def test_crop_is_undone() -> None:
    source = image(4, (28, 28))
    fitted = fit(source, (32, 32), crop=28)
    assert fitted.size == (32, 32)
    assert (pixels([fitted.crop((2, 2, 30, 30))]) == pixels([source])).all()
    assert fitted.getpixel((0, 0)) == source.getpixel((0, 0)), "edges are repeated"


@pytest.mark.parametrize("kind", MASKS)
def test_masks(kind: str) -> None:
    size = (32, 64)
    shares = []
    for seed in range(50):
        mask = np.asarray(paint_mask(kind, size, seed))
        assert mask.shape == size
        assert set(np.unique(mask)) == {0, 255}
        assert (mask == np.asarray(paint_mask(kind, size, seed))).all()
        shares.append((mask == 255).mean())
    if kind == "random":
        assert len(set(shares)) > 20
        assert 0.1 <= min(shares) <= max(shares) <= 0.45
    else:
        assert set(shares) == {0.25 if kind == "center" else 0.75}
        assert mask[16, 32] == (255 if kind == "center" else 0)


def test_model_without_a_size_asks_for_one(pipelines: Pipelines, tmp_path: Path) -> None:
    generator = build_generator(pipelines("sd"), strength=0.5)
    generator.load()
    generator.pipeline.unet.register_to_config(sample_size=None)
    with pytest.raises(UserError, match=r"generator\.height=null, generator\.width=null"):
        generator.sample(["a cat"], [1], [SOURCES[0]])
