"""Which files a pipeline is loaded from, whether they are whole, and the one hash of them all."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.errors import UserError
from synthaug.generation import loading, weights
from tests.factories.pipelines import Pipelines, build_generator, load_error, save_pipeline

UNET = "unet/diffusion_pytorch_model.safetensors"


def refusal(model: Path, **settings: Any) -> str:
    return load_error(build_generator(model, **settings))


@pytest.fixture
def copy(pipelines: Pipelines, tmp_path: Path) -> Path:
    """A pipeline to be broken."""
    return Path(shutil.copytree(pipelines("sd"), tmp_path / "copy"))


# --- which files -----------------------------------------------------------------------------------


def named(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize(
    ("variant", "allow_pickle", "expected"),
    [
        (None, False, ["a/diffusion_pytorch_model.safetensors", "b/model-00001-of-00002.safetensors",
                       "b/model-00002-of-00002.safetensors"]),
        ("fp16", False, ["a/diffusion_pytorch_model.fp16.safetensors", "b/model.fp16-00001-of-00002.safetensors",
                         "b/model.fp16-00002-of-00002.safetensors"]),
        ("bf16", False, ["a/diffusion_pytorch_model.safetensors", "b/model-00001-of-00002.bf16.safetensors",
                         "b/model-00002-of-00002.bf16.safetensors"]),
        (None, True, ["a/diffusion_pytorch_model.safetensors", "b/model-00001-of-00002.safetensors",
                      "b/model-00002-of-00002.safetensors", "c/pytorch_model.bin"]),
    ],
)  # fmt: skip
def test_the_files_that_the_libraries_load(
    variant: str | None, allow_pickle: bool, expected: list[str], tmp_path: Path
) -> None:
    shards = [f"b/model{kind}-0000{n}-of-00002{older}.safetensors" for n in (1, 2) for kind, older in
              (("", ""), (".fp16", ""), ("", ".bf16"))]  # fmt: skip
    named(
        tmp_path, *shards, "a/diffusion_pytorch_model.safetensors", "a/diffusion_pytorch_model.bin", "a/config.json",
        "a/diffusion_pytorch_model.fp16.safetensors", "a/diffusion_pytorch_model.non_ema.safetensors",
        "b/model.safetensors.index.json", "c/pytorch_model.bin", "c/flax_model.msgpack", "d/model.safetensors",
        "v1-5-pruned.safetensors",
    )  # fmt: skip
    assert sorted(weights.weight_files(tmp_path, ["a", "b", "c"], variant, allow_pickle)) == expected


def test_the_files_of_a_variant_are_the_ones_that_are_loaded(tmp_path: Path) -> None:
    folder = save_pipeline(tmp_path / "model", seed=0)
    half = save_pipeline(tmp_path / "half", seed=1, variant="fp16")
    for path in half.glob("*/*.fp16.safetensors"):
        shutil.copy(path, folder / path.relative_to(half))
    plain, variant = build_generator(folder), build_generator(folder, variant="fp16")
    assert variant.provenance()["weights"] == build_generator(half, variant="fp16").provenance()["weights"]
    assert plain.provenance()["weights"] != variant.provenance()["weights"]
    images = [np.asarray(model.sample(["a cat"], [1])[0]) for model in (plain, variant)]
    assert (images[0] != images[1]).any()


# --- the hash --------------------------------------------------------------------------------------


def test_names_and_contents_decide_and_no_order(tmp_path: Path) -> None:
    named(tmp_path, "first", "second")
    first, second = tmp_path / "first", tmp_path / "second"
    assert weights.fingerprint({"a": first, "b": second}) == weights.fingerprint({"b": second, "a": first})
    assert len({weights.fingerprint(files) for files in (
        {"a": first, "b": second}, {"a": second, "b": first}, {"a": first}, {"b": first}, {}
    )}) == 5  # fmt: skip
    lines = f"a\0{hashlib.sha256(b'first').hexdigest()}\n"
    assert weights.fingerprint({"a": first}) == hashlib.sha256(lines.encode()).hexdigest()


def test_the_cache_of_the_hub_has_the_hash_of_a_large_file_in_its_name(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / ("0" * 40)
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    large, small = "5" * 64, "7" * 40
    for name in (large, small):
        (blobs / name).write_bytes(b"weights")
        (snapshot / f"{name[0]}.safetensors").symlink_to(Path("../../blobs") / name)
    plain = tmp_path / "plain.safetensors"
    plain.write_bytes(b"weights")
    by_name, by_content, file = (
        weights.fingerprint({"a": path}) for path in (snapshot / "5.safetensors", snapshot / "7.safetensors", plain)
    )
    assert by_content == file != by_name
    assert by_name == hashlib.sha256(f"a\0{large}\n".encode()).hexdigest()


def test_one_other_number_makes_another_hash(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    before = build_generator(copy).provenance()["weights"]
    assert build_generator(copy).provenance()["weights"] == before
    tensors = load_file(copy / UNET)
    tensors["conv_in.bias"][0] += 1
    save_file(tensors, copy / UNET, metadata={"format": "pt"})
    assert build_generator(copy).provenance()["weights"] != before


# --- files that are not whole ----------------------------------------------------------------------


def test_damaged_files_are_named_in_their_order(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    named(tmp_path, "empty/model.safetensors", "pickled/pytorch_model.bin")
    (tmp_path / "whole").mkdir()
    save_file({"bias": np.zeros(3, np.float32)}, tmp_path / "whole/model.safetensors")
    (tmp_path / "sharded").mkdir()
    index = {"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}
    (tmp_path / "sharded/model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (tmp_path / "whole/model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"bias": "model.safetensors"}}), encoding="utf-8"
    )
    (tmp_path / "sharded/model.safetensors.index.fp16.json").write_text("{", encoding="utf-8")
    (tmp_path / "sharded/pytorch_model.bin.index.json").write_text("{", encoding="utf-8")
    parts = ["empty", "pickled", "sharded", "whole"]

    def damaged(variant: str | None = None, allow_pickle: bool = False) -> list[str]:
        return [text.split()[0] for text in weights.damaged_files(tmp_path, parts, variant, allow_pickle)]

    plain = ["sharded/model-1.safetensors", "sharded/model-2.safetensors", "empty/model.safetensors"]
    assert damaged() == damaged(variant="bf16") == damaged(allow_pickle=True) == plain
    assert damaged(variant="fp16") == ["sharded/(anything:", "empty/model.safetensors"]


def test_a_missing_shard_is_named(copy: Path) -> None:
    index = {"metadata": {}, "weight_map": {"conv_in.bias": "diffusion_pytorch_model-00002-of-00002.safetensors"}}
    (copy / f"{UNET}.index.json").write_text(json.dumps(index), encoding="utf-8")
    text = refusal(copy)
    assert "unet/diffusion_pytorch_model-00002-of-00002.safetensors is missing, which diffusion_pytorch_model." in text
    assert "fetch it again" in text


def test_shards_of_a_true_model_are_loaded_and_hashed(tmp_path: Path, pipelines: Pipelines) -> None:
    folder = save_pipeline(tmp_path / "sharded", max_shard_size="50KB")
    assert len(list(folder.glob("unet/*.safetensors"))) > 1
    model = build_generator(folder)
    assert (np.asarray(model.sample(["a cat"], [1])[0]) == np.asarray(
        build_generator(pipelines("sd")).sample(["a cat"], [1])[0]
    )).all()  # fmt: skip
    assert model._loaded is not None
    assert {path.name for path in model._loaded.files.values()} == {
        path.name for path in folder.glob("*/*.safetensors")
    }
    shard = sorted(folder.glob("unet/*.safetensors"))[-1]
    shard.unlink()
    assert f"unet/{shard.name} is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is cut short or not a safetensors file"),
        (b"\x00\x01\x00", "is cut short or not a safetensors file"),
        ((10**6).to_bytes(8, "little") + b"{", "is cut short or not a safetensors file"),
        ((4).to_bytes(8, "little") + b"nope", "is cut short or not a safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "is cut short or not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS"),
    ],
)
def test_incomplete_and_other_files_in_the_place_of_weights(content: bytes, problem: str, copy: Path) -> None:
    (copy / UNET).write_bytes(content)
    text = refusal(copy)
    assert f"{UNET} {problem}" in text
    assert str(copy) in text


def test_downloads_that_were_broken_off_are_counted(copy: Path) -> None:
    broken = copy / ".cache/huggingface/download/unet/abc.incomplete"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half")
    build_generator(copy).load()  # of a file that nothing needs
    (copy / UNET).unlink()
    assert "(1 of its files downloaded in part: *.incomplete)" in refusal(copy)


# --- pickles, kinds, packages ----------------------------------------------------------------------


def test_pickles_are_read_if_they_are_trusted(tmp_path: Path, pipelines: Pipelines) -> None:
    folder = Path(shutil.copytree(pipelines("sd"), tmp_path / "pickled"))
    import torch
    from safetensors.torch import load_file

    for path in list(folder.glob("*/*.safetensors")):
        name = "pytorch_model.bin" if path.stem == "model" else f"{path.stem}.bin"
        torch.save(load_file(path), path.with_name(name))
        path.unlink()
    assert "generator.allow_pickle=true" in refusal(folder)
    trusted = build_generator(folder, allow_pickle=True)
    assert (np.asarray(trusted.sample(["a cat"], [1])[0]) == np.asarray(
        build_generator(pipelines("sd")).sample(["a cat"], [1])[0]
    )).all()  # fmt: skip
    assert trusted._loaded is not None
    assert len(trusted._loaded.files) == 3
    assert "allow_pickle" not in trusted.settings


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("StableAudioPipeline", "StableAudioPipeline .* audio_end_in_s"),
        ("WanPipeline", "WanPipeline .* num_frames"),
        ("StableVideoDiffusionPipeline", "StableVideoDiffusionPipeline .* (num_frames|image)"),
        ("StableDiffusionInstructPix2PixPipeline", "Pix2PixPipeline .* image"),
        ("StableDiffusionUpscalePipeline", "UpscalePipeline .* image"),
        ("StableDiffusionControlNetPipeline", "Pipeline .* control_image"),
        ("FluxControlPipeline", "Pipeline .* control_image"),
        ("DDPMPipeline", "DDPMPipeline .* prompt"),
        ("PaintByMagicPipeline", "diffusers .* PaintByMagicPipeline"),
        ("UNet2DModel", "diffusers .* UNet2DModel"),
        (["mine", "MyPipeline"], r"\['mine', 'MyPipeline'\] .*code"),
    ],
)
def test_a_pipeline_of_another_kind(kind: Any, detail: str, copy: Path) -> None:
    change(copy / "model_index.json", _class_name=kind)
    assert re.search(detail, refusal(copy))


def test_a_text_to_image_pipeline_that_is_not_listed_as_one(
    copy: Path, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    class OwnPipeline(diffusers.StableDiffusionPipeline):  # type: ignore[misc]
        pass

    class NeedyPipeline(OwnPipeline):
        def __call__(self, prompt: str, token_indices: list[int]) -> None:
            pass

    class DeepPipeline(OwnPipeline):
        def __call__(
            self, prompt: str, num_inference_steps: int = 1, generator: Any = None, guidance_scale: float = 1
        ) -> Any:
            return {"depth": []}

    for cls in (OwnPipeline, NeedyPipeline, DeepPipeline):
        monkeypatch.setattr(diffusers, cls.__name__, cls, raising=False)
    change(copy / "model_index.json", _class_name="OwnPipeline")
    images = [np.asarray(build_generator(model).sample(["a cat"], [1])[0]) for model in (copy, pipelines("sd"))]
    assert (images[0] == images[1]).all()
    change(copy / "model_index.json", _class_name="NeedyPipeline")
    assert re.search("NeedyPipeline .* token_indices", refusal(copy))
    change(copy / "model_index.json", _class_name="DeepPipeline")
    with pytest.raises(UserError, match="does not return images"):
        build_generator(copy).sample(["a cat"], [1])


def test_a_unet_for_inpainting(copy: Path) -> None:
    change(copy / "model_index.json", _class_name="StableDiffusionInpaintPipeline")
    build_generator(copy).load()  # its weights are those of a text-to-image model
    change(copy / "unet/config.json", in_channels=9)
    assert re.search("unet .* 9 .* 4:", refusal(copy))


def test_weights_saved_by_an_image_to_image_pipeline_are_used(copy: Path, pipelines: Pipelines) -> None:
    change(copy / "model_index.json", _class_name="StableDiffusionImg2ImgPipeline")
    images = [np.asarray(build_generator(model).sample(["a cat"], [1])[0]) for model in (copy, pipelines("sd"))]
    assert (images[0] == images[1]).all()


def test_a_model_of_transformers(copy: Path) -> None:
    text = refusal(copy / "text_encoder")
    assert "has no model_index.json" in text
    assert "clip_text_model" in text


def test_a_tokenizer_of_sentencepiece_needs_two_packages(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub has PixArt's."""
    import sentencepiece

    folder = Path(shutil.copytree(pipelines("pixart"), tmp_path / "pixart"))
    for path in (folder / "tokenizer").glob("*"):
        path.unlink()
    texts = iter(["a cat and a dog on a roof", "the quick brown fox jumps over a lazy dog"] * 20)
    with (folder / "tokenizer/spiece.model").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=texts, model_writer=stream, vocab_size=50, hard_vocab_limit=False, minloglevel=2,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        )  # fmt: skip
    change_to = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 300}
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps(change_to), encoding="utf-8")
    model = build_generator(folder, height=32, width=32)
    model.check_prompts(["a cat"])
    assert (np.asarray(model.sample(["a cat"], [1])[0]) != np.asarray(model.sample(["a dog"], [1])[0])).any()

    monkeypatch.setattr(loading, "_is_installed", lambda package: package != "sentencepiece")
    text = refusal(folder)
    assert "(sentencepiece)" in text
    assert "pip install 'synthaug[t5]'" in text


def test_a_package_that_a_library_misses_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoPipelineForText2Image

    def missing(*_: object, **__: object) -> None:
        raise ImportError("StableDiffusionPipeline requires the tiktoken library but it was not found")

    monkeypatch.setattr(AutoPipelineForText2Image, "from_pretrained", missing)
    text = refusal(copy)
    assert "requires the tiktoken library" in text
    assert "pip" in text
