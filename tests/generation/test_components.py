"""Parts of a pipeline that come from another model: what is loaded, what the fingerprint has, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from synthaug.config import schema
from synthaug.errors import UserError
from synthaug.generation.components import parse_components
from synthaug.generation.diffusion import DiffusionGenerator
from tests.factories.further_pipelines import hidream
from tests.factories.pipelines import (
    Pipelines,
    build_generator,
    load_error,
    pixels,
    random_weights,
    save_pipeline,
    small_autoencoder,
)

SIZED = {"guidance_scale": 5.0, "height": 256, "width": 256, "max_sequence_length": 16}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """HiDream as its makers publish it, and the language model that it needs."""
    root = tmp_path_factory.mktemp("hidream")
    with random_weights(30):
        hidream().save_pretrained(root / "model")
    (root / "llama").mkdir()
    index = root / "model" / "model_index.json"
    content = json.loads(index.read_text(encoding="utf-8"))
    for name in ("text_encoder_4", "tokenizer_4"):
        for file in (root / "model" / name).iterdir():
            shutil.move(file, root / "llama" / file.name)
        (root / "model" / name).rmdir()
        del content[name]
    index.write_text(json.dumps(content), encoding="utf-8")
    return root / "model", root / "llama"


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def save(blocks: int = 2, **config: Any) -> Path:
        folder = tmp_path_factory.mktemp("vae")
        with random_weights(31):
            network = small_autoencoder(blocks)
            network.register_to_config(**config)
            network.save_pretrained(folder)
        return folder

    return save


def test_hidream_of_conf_takes_its_fourth_encoder_from_elsewhere(parts: tuple[Path, Path]) -> None:
    model, llama = parts
    schema.register()
    small = [f"generator.{key}={value}" for key, value in SIZED.items() if key != "max_sequence_length"]
    with initialize_config_dir(str(schema.CONF), version_base=schema.VERSION_BASE):
        assert all(
            len(part.revision) == 40 for part in compose("config", ["generator=hidream"]).generator.components.values()
        )
        settings = compose(
            "config",
            [
                *("generator=hidream", f"generator.model={model}", *small, "+generator.max_sequence_length=16"),
                *(f"generator.components.{name}={llama}" for name in ("text_encoder_4", "tokenizer_4")),
                *("generator.dtype=float32", "generator.num_inference_steps=1"),
            ],
        ).generator
    generator = instantiate(schema.target_kwargs(settings))
    assert isinstance(generator, DiffusionGenerator)
    generator.check(["cat"])
    images = pixels(generator.sample(["a cat"], [1]))
    assert images.shape == (1, 256, 256, 3)
    assert "text_encoder_4/model.safetensors" in generator._loaded.files  # type: ignore[union-attr]


def test_hidream_without_its_fourth_encoder_names_what_is_missing(
    parts: tuple[Path, Path], pipelines: Pipelines
) -> None:
    model, llama = parts
    assert "generator.components={text_encoder_4: <hub id or folder>, tokenizer_4:" in load_error(
        build_generator(model, **SIZED)
    )
    foreign = {"text_encoder_4": str(pipelines("sd") / "text_encoder"), "tokenizer_4": str(llama)}
    message = load_error(build_generator(model, components=foreign, **SIZED))
    assert "it is of the kind clip_text_model, and text_encoder_4 is a LlamaForCausalLM" in message
    assert "a StableDiffusionPipeline has no such part" in load_error(
        build_generator(pipelines("sd"), components={"text_encoder_4": str(llama)})
    )


@pytest.mark.parametrize("key", ["vae", "components"])
def test_another_autoencoder_makes_other_images(
    key: str, pipelines: Pipelines, autoencoder: Callable[..., Path]
) -> None:
    folder = autoencoder()
    more = {"vae": str(folder)} if key == "vae" else {"components": {"vae": {"model": str(folder)}}}
    plain, changed = build_generator(pipelines("sd")), build_generator(pipelines("sd"), **more)
    changed.check(["cat"])
    images = [pixels(generator.sample(["a cat"], [1])) for generator in (plain, changed)]
    assert (images[0] != images[1]).any()
    assert plain.provenance()["weights"] != changed.provenance()["weights"]
    assert plain.settings != changed.settings
    assert changed._loaded is not None
    assert changed._loaded.files["vae/diffusion_pytorch_model.safetensors"].parent == folder


def test_autoencoder_of_the_same_weights_makes_the_same_images(pipelines: Pipelines) -> None:
    same = {"model": str(pipelines("sd")), "subfolder": "vae"}
    plain, replaced = build_generator(pipelines("sd")), build_generator(pipelines("sd"), vae=same)
    assert (pixels(plain.sample(["a cat"], [1])) == pixels(replaced.sample(["a cat"], [1]))).all()
    assert plain.provenance()["weights"] == replaced.provenance()["weights"]


def test_damaged_part_that_is_replaced_does_no_harm(tmp_path: Path, autoencoder: Callable[..., Path]) -> None:
    model = save_pipeline(tmp_path / "model")
    (model / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert "cut short" in load_error(build_generator(model))
    assert len(build_generator(model, vae=str(autoencoder())).sample(["a cat"], [1])) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 3}, r"its pixels a latent is 4, and the model's 2"),
        ({"scaling_factor": 0.9}, r"its scaling_factor is 0\.9, and the model's 0\.18215"),
        ({"latent_channels": 16}, r"its latent_channels is 16, and the model's 4"),
    ],
)
def test_autoencoder_of_other_latents_is_refused(
    settings: dict[str, Any], message: str, pipelines: Pipelines, autoencoder: Callable[..., Path]
) -> None:
    generator = build_generator(pipelines("sd"), vae=str(autoencoder(**settings)))
    with pytest.raises(UserError, match=message):
        generator.check(["cat"])
    if "latent_channels" not in settings:  # whose file is of four
        with pytest.raises(UserError, match=message):
            generator.load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vae": 3}, r"generator\.vae=3: must be a hub id or folder"),
        ({"vae": {"revision": "a"}}, r"generator\.vae=.*: must be a hub id or folder"),
        ({"vae": {"model": "a/b", "file": "x"}}, "'file' is not one of model, revision, subfolder"),
        ({"vae": {"model": "a/b", "revision": 3}}, "all of it is text"),
        ({"components": "a/b"}, r"generator\.components='a/b': must be null, or map parts"),
        ({"components": {"vae": "a/b"}, "vae": "a/c"}, r"generator\.vae, generator\.components\.vae: name one"),
        ({"vae": "./none"}, r"there is no folder (?s:.)*set generator\.vae=<folder>"),
    ],
)
def test_bad_entries_are_refused_before_anything_is_loaded(
    settings: dict[str, Any], message: str, pipelines: Pipelines
) -> None:
    with pytest.raises(UserError, match=message):
        build_generator(pipelines("sd"), **settings).check(["cat"])


def test_folder_of_a_whole_pipeline_asks_for_the_subfolder(pipelines: Pipelines, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json(?s:.)*subfolder: vae\}"):
        build_generator(pipelines("sd"), vae=str(pipelines("sd"))).check(["cat"])
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "diffusion_pytorch_model.bin").touch()
    with pytest.raises(UserError, match="no weights as safetensors"):
        build_generator(pipelines("sd"), vae=str(tmp_path)).check(["cat"])
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"diffusion_pytorch_model\.safetensors is cut short"):
        build_generator(pipelines("sd"), vae=str(tmp_path)).check(["cat"])


def test_entries_that_are_null_are_none() -> None:
    assert parse_components({"vae": None}, None) == {}
