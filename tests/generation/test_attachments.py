"""IP-Adapters and ControlNets: what they receive, what they change, and what is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from synthaug.errors import UserError
from synthaug.generation.canny import canny_edges
from synthaug.generation.image_guidance import fit
from tests.factories.images import image
from tests.factories.pipelines import (
    Pipelines,
    build_generator,
    load_error,
    pixels,
    save_controlnet,
    save_ip_adapter,
)
from tests.generation.test_image_guidance import SEEDS, SOURCES, TEXTS, spied


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = save_ip_adapter(tmp_path_factory.mktemp("ip"))
    return {"model": str(folder), "subfolder": "models", "file": "adapter.safetensors"}


@pytest.fixture(scope="module")
def controlnet(tmp_path_factory: pytest.TempPathFactory, pipelines: Pipelines) -> dict[str, Any]:
    return {"model": str(save_controlnet(tmp_path_factory.mktemp("control"), pipelines("sd")))}


@pytest.mark.parametrize("strength", [None, 0.5])
def test_ip_adapter_receives_each_real_image(
    strength: float | None, adapter: dict[str, Any], pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = build_generator(
        pipelines("sd"), num_inference_steps=4, ip_adapter={**adapter, "scale": 0.7}, strength=strength
    )
    assert generator.is_guided
    generator.check(["cat"])
    with spied(generator, monkeypatch) as received:
        images = pixels(generator.sample(TEXTS, SEEDS, SOURCES))
    assert [arguments["prompt"] for arguments in received] == [[text] for text in TEXTS], "one by one"
    shown = pixels([arguments["ip_adapter_image"] for arguments in received])
    assert (shown == pixels([fit(source, (16, 16)) for source in SOURCES])).all()
    assert all(("image" in arguments) == (strength is not None) for arguments in received)
    turned = pixels(generator.sample(TEXTS, SEEDS, SOURCES[::-1]))
    assert (turned[0] != images[0]).any()
    if strength is None:
        plain = pixels(build_generator(pipelines("sd"), num_inference_steps=4).sample(TEXTS, SEEDS))
        off = build_generator(pipelines("sd"), num_inference_steps=4, ip_adapter={**adapter, "scale": 0.0})
        assert abs(pixels(off.sample(TEXTS, SEEDS, SOURCES)) - plain).max() <= 2
        assert abs(images - plain).max() > 2


@pytest.mark.parametrize(("strength", "name"), [(None, "image"), (0.5, "control_image")])
def test_controlnet_receives_the_edges(
    strength: float | None,
    name: str,
    controlnet: dict[str, Any],
    pipelines: Pipelines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = build_generator(
        pipelines("sd"), num_inference_steps=4, controlnet={**controlnet, "scale": 0.8}, strength=strength
    )
    with spied(generator, monkeypatch) as received:
        images = pixels(generator.sample(TEXTS, SEEDS, SOURCES))
    (arguments,) = received
    assert "ControlNet" in type(generator.pipeline).__name__
    assert arguments["controlnet_conditioning_scale"] == 0.8
    assert (pixels(arguments[name]) == pixels([canny_edges(fit(source, (16, 16))) for source in SOURCES])).all()
    assert images.shape == (3, 16, 16, 3)
    without = build_generator(
        pipelines("sd"), num_inference_steps=4, controlnet={**controlnet, "scale": 0.0}, strength=strength
    )
    assert (pixels(without.sample(TEXTS, SEEDS, SOURCES)) != images).any()


def test_weights_of_attachments_are_in_the_fingerprint(
    adapter: dict[str, Any], controlnet: dict[str, Any], pipelines: Pipelines
) -> None:
    fingerprints = set()
    for settings in ({}, {"ip_adapter": adapter}, {"controlnet": controlnet}, {"strength": 0.9}):
        generator = build_generator(pipelines("sd"), **settings)
        fingerprints.add(generator.provenance()["weights"])
        assert {"ip_adapter", "controlnet"} <= generator.settings.keys()
    assert len(fingerprints) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ip_adapter": "someone/adapter"}, r"generator\.ip_adapter='someone/adapter': must be null, or \{model"),
        ({"ip_adapter": {"model": "a/b"}}, r"file names its weights, a \.safetensors file"),
        ({"ip_adapter": {"model": "a/b", "file": "x.bin"}}, r"file names its weights, a \.safetensors file"),
        ({"ip_adapter": {"model": "a/b", "file": "x.safetensors", "scale": 3}}, "scale is a number from 0 to 2"),
        ({"ip_adapter": {"model": "a/b", "file": "x.safetensors", "weight": 1}}, "'weight' is not one of model"),
        ({"controlnet": {"model": "a/b", "file": "x.safetensors"}}, "'file' is not one of model"),
        ({"controlnet": {"model": "no/such/folder"}}, "there is no folder"),
        ({"ip_adapter": {"model": "./none", "file": "x.safetensors"}}, "there is no folder"),
    ],
)
def test_bad_entries_are_refused_before_anything_is_loaded(
    settings: dict[str, Any], message: str, pipelines: Pipelines
) -> None:
    with pytest.raises(UserError, match=message):
        build_generator(pipelines("sd"), **settings).check(["cat"])


def test_folders_that_lack_files_are_refused(adapter: dict[str, Any], pipelines: Pipelines, tmp_path: Path) -> None:
    missing = build_generator(pipelines("sd"), ip_adapter={**adapter, "file": "other.safetensors"})
    with pytest.raises(UserError, match=r"it has no models/other\.safetensors"):
        missing.check(["cat"])
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "diffusion_pytorch_model.bin").touch()
    with pytest.raises(UserError, match=r"no diffusion_pytorch_model\.safetensors, only pickles"):
        build_generator(pipelines("sd"), controlnet={"model": str(tmp_path)}).check(["cat"])
    (tmp_path / "diffusion_pytorch_model.safetensors").touch()
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    assert "is a UNet2DConditionModel and no ControlNet" in load_error(
        build_generator(pipelines("sd"), controlnet={"model": str(tmp_path)})
    )


def test_ip_adapter_of_another_base_is_refused_before_anything_is_loaded(
    adapter: dict[str, Any], pipelines: Pipelines, tmp_path: Path
) -> None:
    foreign = build_generator(pipelines("sdxl"), guidance_scale=5.0, ip_adapter=adapter)
    with pytest.raises(UserError, match=r"encodings of 8 numbers a token, those of .* have 16"):
        foreign.check(["cat"])
    assert "it does not fit" in load_error(foreign)
    for content, message in ((b"short", "is cut short"), (None, "none of the weights of an IP-Adapter")):
        folder = save_ip_adapter(tmp_path / message)
        weights, encoder = folder / "models/adapter.safetensors", folder / "models/image_encoder/model.safetensors"
        weights.write_bytes(content or encoder.read_bytes())
        with pytest.raises(UserError, match=message):
            build_generator(pipelines("sd"), ip_adapter={**adapter, "model": str(folder)}).check(["cat"])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("sdxl", r"its cross_attention_dim is 8, that of .* 16; its addition_embed_type is None, that of .* text_time"),
        ("sd3", "it is a ControlNetModel, and not for a SD3Transformer2DModel"),
        ("flux", "it is a ControlNetModel, and not for a FluxTransformer2DModel"),
    ],
)
def test_controlnet_of_another_architecture_is_refused(
    kind: str, reason: str, controlnet: dict[str, Any], pipelines: Pipelines
) -> None:
    scale = {"sdxl": 5.0, "sd3": 4.5, "flux": 0.0}[kind]
    generator = build_generator(pipelines(kind), guidance_scale=scale, height=16, width=16, controlnet=controlnet)
    with pytest.raises(UserError, match=reason):
        generator.check(["cat"])
    assert re.search(reason, load_error(generator)), "whose configuration is known only then"


@pytest.mark.parametrize("kind", ["flux", "pixart"])
def test_pipelines_that_take_none_are_refused_by_name(
    kind: str, adapter: dict[str, Any], controlnet: dict[str, Any], pipelines: Pipelines
) -> None:
    settings = {"guidance_scale": 4.5 if kind == "pixart" else 0.0, "height": 32, "width": 32}
    assert "which takes no IP-Adapter here" in load_error(
        build_generator(pipelines(kind), ip_adapter=adapter, **settings)
    )
    if kind == "pixart":
        message = load_error(build_generator(pipelines(kind), controlnet=controlnet, **settings))
        assert "with a ControlNet with a PixArtSigmaPipeline" in message


def test_edges_are_where_the_image_changes() -> None:
    square = Image.new("RGB", (64, 64))
    ImageDraw.Draw(square).rectangle((16, 16, 47, 47), fill=(200, 200, 200))
    edges = np.asarray(canny_edges(square).convert("L"))
    assert set(np.unique(edges)) == {0, 255}
    rows, columns = np.nonzero(edges)
    distance = np.maximum(abs(rows - 31.5), abs(columns - 31.5))
    assert abs(distance - 16).max() <= 2
    assert 100 <= len(rows) <= 160, "thin"
    assert np.asarray(canny_edges(Image.new("RGB", (32, 32), "white"))).max() == 0
    faint = Image.new("RGB", (64, 64))
    ImageDraw.Draw(faint).rectangle((16, 16, 47, 47), fill=(20, 20, 20))
    assert np.asarray(canny_edges(faint)).max() == 0


def test_edges_of_photographs_are_few() -> None:
    edges = np.asarray(canny_edges(image(1, (128, 96))).convert("L"))
    assert edges.shape == (96, 128)
    assert (edges > 0).mean() < 0.2
