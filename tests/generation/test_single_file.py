"""A model in one file: as good as its folder, and refused with the reason where it is not."""

import struct
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.synthetic_set import SyntheticSet
from tests.factories.original_format import save_original
from tests.factories.pipelines import Pipelines, build_generator, load_error, pixels
from tests.generation.test_adapters import save_lora
from tests.generation.test_hub import Hub, hub  # noqa: F401


@pytest.fixture(scope="module")
def checkpoint(pipelines: Pipelines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_original(tmp_path_factory.mktemp("original") / "tiny.safetensors", pipelines("sd"))


def generator(model: Path | str, pipelines: Pipelines, **settings: Any) -> DiffusionGenerator:
    return build_generator(model, **{"base": str(pipelines("sd")), "guidance_scale": 5.0, **settings})


def test_a_file_makes_the_images_of_its_folder(checkpoint: Path, pipelines: Pipelines, tmp_path: Path) -> None:
    of_folder = build_generator(pipelines("sd"), guidance_scale=5.0)
    for of_file in (
        generator(checkpoint, pipelines),
        generator(checkpoint.parent, pipelines, file=checkpoint.name),
        generator(checkpoint, pipelines, allow_pickle=True),
    ):
        of_file.check(["cat"])
        assert (pixels(of_file.sample(["a cat"], [1])) == pixels(of_folder.sample(["a cat"], [1]))).all()
    synthetic = SyntheticSet(tmp_path, of_file)
    synthetic.ensure({"cat": 1})
    (row,) = synthetic.rows()
    assert (row.model, row.scheduler, row.revision) == (str(checkpoint), "PNDMScheduler", "")
    of_folder.load()
    assert len(row.weights) == 64
    assert row.weights != of_folder.provenance()["weights"], "other files"


def test_guidance_is_that_of_the_class(checkpoint: Path, pipelines: Pipelines) -> None:
    with pytest.raises(UserError, match="negative_prompt=odd"):
        generator(checkpoint, pipelines, guidance_scale=1.0, negative_prompt="odd").check(["cat"])


def test_without_its_configuration_the_way_out_is_told(checkpoint: Path, tmp_path: Path, hub: Hub) -> None:  # noqa: F811
    hub.refuse(503, "Overloaded")
    text = load_error(build_generator(checkpoint))
    assert "stable-diffusion-v1-5/stable-diffusion-v1-5" in text, "recognized by the names of the weights"
    assert "generator.base=<folder>" in text
    (tmp_path / "empty").mkdir()
    assert "model_index.json" in load_error(build_generator(checkpoint, base=str(tmp_path / "empty")))


def test_a_base_that_needs_a_token_is_told(checkpoint: Path, hub: Hub) -> None:  # noqa: F811
    hub.refuse(403, "GatedRepo", "/api/models/someone/base")
    text = load_error(build_generator(checkpoint, base="someone/base"))
    assert "someone/base" in text
    assert "hf auth login" in text


def test_settings_of_another_format_are_refused(checkpoint: Path, pipelines: Pipelines) -> None:
    for model, settings in ((pipelines("sd"), {"base": "a/b"}), (checkpoint, {"variant": "fp16"})):
        with pytest.raises(UserError, match=f"generator.{next(iter(settings))}=.*: must be null"):
            build_generator(model, **settings).check(["cat"])


def refusals(model: Path | str, pipelines: Pipelines, **settings: Any) -> str:
    """The error of loading, which the check gives as well, before anything is loaded."""
    text = load_error(generator(model, pipelines, **settings))
    with pytest.raises(UserError) as caught:
        generator(model, pipelines, **settings).check(["cat"])
    assert str(caught.value) == text
    return text


def test_files_that_are_no_whole_model(checkpoint: Path, pipelines: Pipelines, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: len(content) // 2])
    assert "cut short" in refusals(cut, pipelines)
    pickled = tmp_path / "model.ckpt"
    pickled.write_bytes(b"\x80\x04.")
    for settings in ({}, {"allow_pickle": True}):
        assert "pickle" in refusals(pickled, pipelines, **settings)
    lora = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    assert f"generator.lora={lora}" in refusals(lora, pipelines)
    assert "no file" in refusals(tmp_path / "missing.safetensors", pipelines)
    assert "no file" in refusals(tmp_path, pipelines, file="missing.safetensors")
    assert "Git LFS" in refusals(_pointer(tmp_path), pipelines)


@pytest.mark.parametrize("part", ["cond_stage_model", "first_stage_model", "model.diffusion_model.out"])
def test_a_file_without_a_part_is_refused(part: str, pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_original(tmp_path / "part.safetensors", pipelines("sd"), without=part)
    text = load_error(generator(path, pipelines))
    assert "single-file model" in text or "missing" in text
    assert str(path) in text


def test_a_file_of_no_recognized_kind(pipelines: Pipelines, tmp_path: Path) -> None:
    header = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "generator.base" in load_error(build_generator(path))
    assert "does not fit" in load_error(generator(path, pipelines))


def test_a_file_of_the_hub_is_named_and_fetched(checkpoint: Path, pipelines: Pipelines, hub: Hub) -> None:  # noqa: F811
    name = "someone/a-model"
    hub.tell(name, "README.md", "old.ckpt", "whole.safetensors")
    text = load_error(generator(name, pipelines, file="part.safetensors"))
    assert "part.safetensors" in text
    assert "generator.file to one of: whole.safetensors" in text
    assert "pickle" in load_error(generator(name, pipelines, file="old.ckpt"))
    hub.keep(name, "whole.safetensors", checkpoint.read_bytes())
    model = generator(name, pipelines, file="whole.safetensors")
    model.check(["cat"])
    model.load()
    assert model.provenance()["revision"] == "0123456789abcdef0123456789abcdef01234567"


def _pointer(folder: Path) -> Path:
    path = folder / "pointer.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n")
    return path
