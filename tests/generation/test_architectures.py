"""The generator on a tiny pipeline of every architecture that conf/generator names, and those configurations on it."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from synthaug.config import schema
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.synthetic_set import SyntheticSet, image_seed
from tests.factories.pipelines import (
    SAVERS,
    Pipelines,
    load_error,
    pixels,
    save_controlnet,
    save_flux,
    save_ip_adapter,
)
from tests.generation.test_adapters import save_lora

# Architecture → settings that fit it. PixArt's smallest size is 256 pixels, which it scales to what is requested.
FITTING: dict[str, dict[str, Any]] = {
    "sd": {},
    "sdxl": {"guidance_scale": 5.0},
    "turbo": {"guidance_scale": 0.0, "num_inference_steps": 1},
    "sd3": {"guidance_scale": 4.5, "height": 16, "width": 16},
    "flux": {"guidance_scale": 0.0, "height": 16, "width": 16},
    "flux_guided": {"guidance_scale": 3.5, "height": 16, "width": 16},
    "pixart": {"guidance_scale": 4.5, "height": 32, "width": 32},
}
# File in conf/generator → the architecture that it is of, and pixels that a tiny model of it makes.
CONFIGURED = {
    "sd15": ("sd", 16),
    "sd21": ("sd", 16),
    "sdxl": ("sdxl", 16),
    "sdxl_turbo": ("turbo", 16),
    "sd35_medium": ("sd3", 16),
    "flux_schnell": ("flux", 16),
    "pixart_sigma": ("pixart", 32),
    "z_image_turbo": ("ZImagePipeline", 16),
    "flux2_klein": ("Flux2KleinPipeline-distilled", 16),
    "qwen_image": ("QwenImagePipeline", 16),
    "sana": ("SanaPipeline", 32),
    "sd35_large": ("sd3", 16),
    "sd35_large_turbo": ("sd3", 16),
    "flux_dev": ("flux_guided", 16),
    "sdxl_lightning": ("sdxl", 16),
}


# File in conf/generator that starts from real images → the architecture.
GUIDED = {
    "tiny_digits_guided": "",
    "sd15_img2img": "sd",
    "sd15_inpaint": "sd",
    "sd15_controlnet": "sd",
    "sdxl_ip_adapter": "sdxl",
}


def generator(model: Path, kind: str = "sd", **settings: Any) -> DiffusionGenerator:
    return DiffusionGenerator(str(model), "a {class_name}", **{"num_inference_steps": 2, **FITTING[kind], **settings})


@pytest.mark.parametrize("kind", SAVERS)
def test_seed_and_prompt_decide_whatever_the_batch(kind: str, pipelines: Pipelines) -> None:
    model = generator(pipelines(kind), kind)
    texts, seeds = ["a cat", "a dog", "a cat"], [5, 6, 2**63 - 1]
    together = pixels(model.sample(texts, seeds))
    side = FITTING[kind].get("height", 16)
    assert together.shape == (3, side, side, 3)
    assert np.ptp(together, axis=(1, 2, 3)).min() > 20
    assert abs(together[0] - together[2]).max() > 20  # another seed is another image
    model.unload()
    assert (pixels(model.sample(texts, seeds)) == together).all()
    turned = pixels(model.sample(texts[::-1], seeds[::-1]))[::-1]
    alone = np.concatenate([pixels(model.sample([text], [seed])) for text, seed in zip(texts, seeds, strict=True)])
    assert max(abs(turned - together).max(), abs(alone - together).max()) <= 2
    dog = pixels(model.sample(["a dog", *texts[1:]], seeds))
    assert (dog[0] != together[0]).any()


@pytest.mark.parametrize("kind", SAVERS)
def test_the_manifest_says_what_an_image_was_made_from(kind: str, pipelines: Pipelines, tmp_path: Path) -> None:
    model = generator(pipelines(kind), kind)
    synthetic = SyntheticSet(tmp_path, model)
    assert synthetic.ensure({"cat": 1}) == 1
    (row,) = synthetic.rows()
    assert (row.model, row.seed, row.dtype) == (str(pipelines(kind)), image_seed("cat", "a cat", 0), "float32")
    assert (row.steps, row.guidance) == (
        str(model.num_inference_steps),
        f"{FITTING[kind].get('guidance_scale', 7.5):g}",
    )
    assert len(row.weights) == 64
    assert all([row.scheduler, row.diffusers, row.transformers, row.torch, row.python])
    # Every part that has weights is in the hash.
    parts = {path.parent.name for path in pipelines(kind).glob("*/*.safetensors")}
    assert model.pipeline is None
    model.load()
    assert model._loaded is not None
    assert {name.partition("/")[0] for name in model._loaded.files} == parts


def test_a_set_records_what_the_pipeline_was_passed(pipelines: Pipelines, tmp_path: Path) -> None:
    qwen = generator(pipelines("QwenImagePipeline"), height=16, width=16, guidance_scale=[2.0, 4.0])
    synthetic = SyntheticSet(tmp_path, qwen)
    synthetic.ensure({"cat": 2})
    assert {row.negative_prompt for row in synthetic.rows()} == {" "}
    assert len({row.guidance for row in synthetic.rows()}) == 2
    recorded = read_json(tmp_path / "set.json")["call"]
    passed = {"true_cfg_scale": [2.0, 4.0], "negative_prompt": " ", "num_inference_steps": 2, "height": 16, "width": 16}
    assert recorded == {**passed, "output_type": "np"}
    assert SyntheticSet(tmp_path, qwen).ensure({"cat": 2}) == 0


# --- conf/generator --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def composing() -> Iterator[None]:
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base=schema.VERSION_BASE):
        yield


def test_every_generator_of_conf_is_tested() -> None:
    shipped = {path.stem for path in schema.CONF.glob("generator/*.yaml")}
    untested = {"tiny_digits", "folder", "hub", "webdataset", "parquet", "huggingface"}
    assert {*CONFIGURED, *GUIDED} == shipped - untested - {"hidream"}, "hidream is tested in test_components"


@pytest.mark.parametrize("choice", CONFIGURED)
def test_a_generator_of_conf_makes_an_image(choice: str, pipelines: Pipelines, composing: None, tmp_path: Path) -> None:
    kind, side = CONFIGURED[choice]
    small = [f"generator.model={pipelines(kind)}", f"generator.height={side}", f"generator.width={side}"]
    whole = [*small, "++generator.variant=null", "++generator.dtype=float32"]
    if choice == "sdxl_lightning":
        whole.append(f"generator.lora={save_lora(tmp_path / 'SDXL-Lightning' / 'a.safetensors', pipelines(kind))}")
    settings = compose("config", [f"generator={choice}", *whole]).generator
    assert len(compose("config", [f"generator={choice}"]).generator.revision) == 40
    model = instantiate(schema.target_kwargs(settings))
    assert isinstance(model, DiffusionGenerator)
    model.check(["cat", "dog"])
    model.check_prompts(["a photo"])
    images = model.sample(["a photo"], [1])
    assert pixels(images).shape == (1, side, side, 3)
    model.unload()


@pytest.mark.parametrize("choice", GUIDED)
def test_a_guided_generator_of_conf_makes_an_image(
    choice: str, pipelines: Pipelines, composing: None, tmp_path: Path
) -> None:
    kind = GUIDED[choice]
    extra = ["++generator.variant=null", "++generator.dtype=float32", "generator.num_inference_steps=3"]
    if choice != "tiny_digits_guided":
        extra += [f"generator.model={pipelines(kind)}", "generator.height=16", "generator.width=16"]
    settings = compose("config", [f"generator={choice}"]).generator
    for key in ("ip_adapter", "controlnet"):
        if (node := settings.get(key)) is not None:
            assert len(node.revision) == 40
            extra += [f"generator.{key}.model={tmp_path}"]
    if choice == "sd15_controlnet":
        save_controlnet(tmp_path, pipelines(kind))
    if choice == "sdxl_ip_adapter":
        extra += ["generator.ip_adapter.subfolder=models", "generator.ip_adapter.file=adapter.safetensors"]
        save_ip_adapter(tmp_path, width=16)
    model = instantiate(schema.target_kwargs(compose("config", [f"generator={choice}", *extra]).generator))
    assert isinstance(model, DiffusionGenerator)
    assert model.is_guided
    model.check(["0"])
    (image,) = model.sample(["a handwritten digit 0"], [1], [Image.new("RGB", (40, 30), "red")])
    assert not isinstance(image, str)
    assert image.size == ((28, 28) if choice == "tiny_digits_guided" else (16, 16))


# --- options that a pipeline does not take ---------------------------------------------------------


def test_all_settings_that_a_pipeline_would_ignore_are_refused_at_once(pipelines: Pipelines) -> None:
    model = generator(pipelines("flux"), "flux", guidance_scale=3.5, negative_prompt="blurry")
    headline, *problems = load_error(model).splitlines()
    assert str(pipelines("flux")) in headline
    assert [problem.partition(": ")[0] for problem in problems] == [
        "  - generator.guidance_scale=3.5", "  - generator.negative_prompt=blurry"
    ]  # fmt: skip
    assert "distilled" in problems[0]
    assert model.pipeline is None


def test_max_sequence_length_is_for_encoders_that_have_one(pipelines: Pipelines) -> None:
    text = load_error(generator(pipelines("sd"), max_sequence_length=64))
    assert re.search("generator.max_sequence_length=64: .*StableDiffusionPipeline.* null", text)
    with_length = generator(pipelines("sd3"), "sd3", max_sequence_length=64).sample(["a cat"], [1])
    assert (pixels(with_length) != pixels(generator(pipelines("sd3"), "sd3").sample(["a cat"], [1]))).any()


def test_turbo_has_no_guidance_whatever_its_scheduler(pipelines: Pipelines) -> None:
    for more in ({}, {"scheduler": "EulerDiscreteScheduler"}):
        assert "distilled to a few steps" in load_error(
            generator(pipelines("turbo"), "turbo", guidance_scale=5.0, **more)
        )
    generator(pipelines("sdxl"), "sdxl", negative_prompt="blurry").load()


def test_guided_flux_takes_guidance_and_no_negative_prompt(pipelines: Pipelines) -> None:
    low, high = (
        pixels(generator(pipelines("flux_guided"), "flux_guided", guidance_scale=scale).sample(["a cat"], [1]))
        for scale in (1.5, 9.0)
    )
    assert (low != high).any()
    assert "negative_prompt=blurry" in load_error(
        generator(pipelines("flux_guided"), "flux_guided", negative_prompt="blurry")
    )


def test_a_size_that_a_pipeline_would_round_is_refused(tmp_path: Path) -> None:
    model = generator(save_flux(tmp_path / "flux", blocks=4), "flux", height=24)  # its sizes are multiples of 16
    with pytest.raises(UserError, match=r"generator.height=24, generator.width=16: .* 16 x 16") as caught:
        model.sample(["a cat"], [1])
    assert "null" in str(caught.value)


def test_what_a_pipeline_itself_refuses_is_no_traceback(pipelines: Pipelines) -> None:
    model = generator(pipelines("flux"), "flux", max_sequence_length=600)
    with pytest.raises(UserError, match=r"refuses .*\(ValueError: .*max_sequence_length"):
        model.sample(["a cat"], [1])


# --- guidance drawn from a range -------------------------------------------------------------------


def test_guidance_from_a_range_depends_on_the_seed_alone(pipelines: Pipelines) -> None:
    model = generator(pipelines("sd"), guidance_scale=[2, 9])
    seeds = list(range(200))
    drawn = [float(model.seed_provenance(seed)["guidance"]) for seed in seeds]
    assert 2 <= min(drawn) < 2.5
    assert 8.5 < max(drawn) <= 9
    assert len(set(drawn)) > 190
    assert 5 < sum(drawn) / len(drawn) < 6
    together = pixels(model.sample(["a cat"] * 3, [1, 2, 3]))
    turned = pixels(model.sample(["a cat"] * 2, [3, 1]))
    assert (turned == together[[2, 0]]).all()
    for seed, image in zip([1, 2, 3], together, strict=True):
        fixed = generator(pipelines("sd"), guidance_scale=drawn[seed])
        assert (pixels(fixed.sample(["a cat"], [seed]))[0] == image).all()
        assert fixed.seed_provenance(seed) == {}


def test_drawn_guidance_stands_in_the_row_of_its_image(pipelines: Pipelines, tmp_path: Path) -> None:
    model = generator(pipelines("sd"), guidance_scale=(2.0, 9.0))
    assert model.settings["guidance_scale"] == [2.0, 9.0]
    synthetic = SyntheticSet(tmp_path, model)
    synthetic.ensure({"cat": 3})
    assert all(row.guidance == model.seed_provenance(row.seed)["guidance"] for row in synthetic.rows())
    assert len({row.guidance for row in synthetic.rows()}) == 3
    assert model.provenance()["guidance"] == "2 to 9"


@pytest.mark.parametrize("wrong", [[9, 2], [1], [1, 2, 3], "high", [1, "2"], -1, [-1, 2], True])
def test_guidance_that_is_no_number_and_no_range(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"generator.guidance_scale=.*: must be "):
        DiffusionGenerator("someone/a-model", "{class_name}", guidance_scale=wrong).check(["cat"])


def test_a_negative_prompt_needs_guidance_in_all_of_a_range() -> None:
    with pytest.raises(UserError, match=r"negative_prompt=blurry: must be .*guidance_scale=\[0, 3\] "):
        DiffusionGenerator("a/b", "{class_name}", guidance_scale=[0, 3], negative_prompt="blurry").check(["cat"])


# --- prompts that are too long ---------------------------------------------------------------------


def test_a_prompt_that_no_encoder_reads_is_refused_with_what_would_be_lost(pipelines: Pipelines) -> None:
    model = generator(pipelines("sd"), negative_prompt="hazy, blurry and odd")
    with pytest.raises(UserError) as caught:
        model.check_prompts(["a cat", "a cat on a sunny roof"])
    headline, *lost = str(caught.value).splitlines()
    assert str(pipelines("sd")) in headline
    assert "generator.max_sequence_length" not in headline, "CLIP has as many positions as it was trained with"
    # A token is a letter, and two mark start and end.
    numbers = [re.findall(r"'[^']+'|\d+", line) for line in lost]
    assert numbers == [["'a cat on a sunny roof'", "18", "16", "'of'"], ["'hazy, blurry and odd'", "19", "16", "'odd'"]]
    generator(pipelines("sd")).check_prompts(["a cat on a sunny"])


def test_of_many_prompts_that_are_too_long_some_are_named(pipelines: Pipelines) -> None:
    with pytest.raises(UserError) as caught:
        generator(pipelines("sd")).check_prompts([f"a cat on a sunny roof {number}" for number in range(100)])
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  … and 90 more"


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_a_prompt_that_one_encoder_reads_is_only_logged(
    kind: str, pipelines: Pipelines, caplog: pytest.LogCaptureFixture
) -> None:
    model = generator(pipelines(kind), kind)
    with caplog.at_level("INFO", "synthaug"):
        model.check_prompts(["a cat"])
        assert caplog.records == []
        model.check_prompts(["a cat on a sunny roof"])
    (record,) = caplog.records
    assert re.search(r"\btokenizer \(18 tokens, .* 16\)", record.getMessage())


def test_the_length_of_a_t5_encoder_is_that_of_the_call(pipelines: Pipelines) -> None:
    model = generator(pipelines("pixart"), "pixart")
    model.check_prompts(["a" * 290])
    with pytest.raises(UserError, match="reads 300: '"):
        model.check_prompts(["a" * 310])
    with pytest.raises(UserError, match=r"generator.max_sequence_length.*\n.* 20: '"):
        generator(pipelines("pixart"), "pixart", max_sequence_length=20).check_prompts(["a" * 40])


def test_a_set_is_refused_before_its_first_image(pipelines: Pipelines, tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, generator(pipelines("sd")))
    with pytest.raises(UserError, match="'a long haired guinea pig' has "):
        synthetic.ensure({"cat": 2, "long_haired_guinea_pig": 2})
    assert synthetic.rows() == []


# --- the same images everywhere --------------------------------------------------------------------


def test_images_do_not_depend_on_which_other_packages_are_installed(
    pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captions are cleaned, and XL's images marked, only where a package for it is."""
    pixart = generator(pipelines("pixart"), "pixart")
    pixart.load()
    keywords: dict[str, Any] = {}
    true_call = type(pixart.pipeline).__call__

    @functools.wraps(true_call)
    def call(pipeline: Any, **arguments: Any) -> Any:
        keywords.update(arguments)
        return true_call(pipeline, **arguments)

    monkeypatch.setattr(type(pixart.pipeline), "__call__", call)
    pixart.sample(["a cat"], [1])
    assert keywords["clean_caption"] is False

    from diffusers import StableDiffusionXLPipeline

    set_up = StableDiffusionXLPipeline.__init__

    @functools.wraps(set_up)
    def marking(pipeline: Any, *arguments: Any, **more: Any) -> None:
        set_up(pipeline, *arguments, **more)
        pipeline.watermark = object()

    monkeypatch.setattr(StableDiffusionXLPipeline, "__init__", marking)
    images = generator(pipelines("sdxl"), "sdxl").sample(["a cat"], [1])
    monkeypatch.undo()
    assert (pixels(images) == pixels(generator(pipelines("sdxl"), "sdxl").sample(["a cat"], [1]))).all()
