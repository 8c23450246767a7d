"""Which files a pipeline is loaded from, whether they are whole, and the one hash of them all."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.errors import UserError
from synthaug.generation import loading, weights
from synthaug.generation.diffusion import DiffusionGenerator
from tests.factories.pipelines import save_pipeline

Pipelines = Callable[[str], Path]

UNET = "unet/diffusion_pytorch_model.safetensors"


def generator(model: Path, **settings: Any) -> DiffusionGenerator:
    return DiffusionGenerator(str(model), "a {class_name}", **{"num_inference_steps": 2, **settings})


def refusal(model: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        generator(model, **settings).load()
    return str(caught.value)


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
    plain, variant = generator(folder), generator(folder, variant="fp16")
    assert variant.provenance()["weights"] == generator(half, variant="fp16").provenance()["weights"]
    assert plain.provenance()["weights"] != variant.provenance()["weights"]
    one, other = (np.asarray(model.sample(["a cat"], [1])[0]) for model in (plain, variant))
    assert (one != other).any()


# --- the hash --------------------------------------------------------------------------------------


def test_names_and_contents_decide_and_no_order(tmp_path: Path) -> None:
    named(tmp_path, "one", "two")
    one, two = tmp_path / "one", tmp_path / "two"
    assert weights.fingerprint({"a": one, "b": two}) == weights.fingerprint({"b": two, "a": one})
    assert len({weights.fingerprint(files) for files in (
        {"a": one, "b": two}, {"a": two, "b": one}, {"a": one}, {"b": one}, {}
    )}) == 5  # fmt: skip
    lines = f"a\0{hashlib.sha256(b'one').hexdigest()}\n"
    assert weights.fingerprint({"a": one}) == hashlib.sha256(lines.encode()).hexdigest()


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

    before = generator(copy).provenance()["weights"]
    assert generator(copy).provenance()["weights"] == before
    tensors = load_file(copy / UNET)
    tensors["conv_in.bias"][0] += 1
    save_file(tensors, copy / UNET, metadata={"format": "pt"})
    assert generator(copy).provenance()["weights"] != before


# --- files that are not whole ----------------------------------------------------------------------


def test_a_missing_shard_is_named(copy: Path) -> None:
    index = {"metadata": {}, "weight_map": {"conv_in.bias": "diffusion_pytorch_model-00002-of-00002.safetensors"}}
    (copy / f"{UNET}.index.json").write_text(json.dumps(index), encoding="utf-8")
    text = refusal(copy)
    assert "unet/diffusion_pytorch_model-00002-of-00002.safetensors is missing, which diffusion_pytorch_model." in text
    assert "fetch it again" in text


def test_shards_of_a_true_model_are_loaded_and_hashed(tmp_path: Path, pipelines: Pipelines) -> None:
    folder = save_pipeline(tmp_path / "sharded", max_shard_size="50KB")
    assert len(list(folder.glob("unet/*.safetensors"))) > 1
    model = generator(folder)
    assert (np.asarray(model.sample(["a cat"], [1])[0]) == np.asarray(
        generator(pipelines("sd")).sample(["a cat"], [1])[0]
    )).all()  # fmt: skip
    assert model._loaded is not None
    assert {path.name for path in model._loaded.files.values()} == {
        path.name for path in folder.glob("*/*.safetensors")
    }
    shard = sorted(folder.glob("unet/*.safetensors"))[-1]
    shard.unlink()
    assert f"unet/{shard.name} is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is cut short: it has 0 bytes"),
        (b"\x00\x01\x00", "is cut short: it has 3 bytes"),
        ((10**6).to_bytes(8, "little") + b"{", "is cut short: it has 9 bytes, fewer than its header"),
        ((4).to_bytes(8, "little") + b"nope", "is no safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "is no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS"),
    ],
)
def test_what_is_no_whole_file_of_weights(content: bytes, said: str, copy: Path) -> None:
    (copy / UNET).write_bytes(content)
    assert f"{UNET} {said}" in refusal(copy)


def test_downloads_that_were_broken_off_are_counted(copy: Path) -> None:
    broken = copy / ".cache/huggingface/download/unet/abc.incomplete"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half")
    generator(copy).load()  # of a file that nothing needs
    (copy / UNET).unlink()
    assert "(1 of its files half downloaded: *.incomplete)" in refusal(copy)


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
    trusted = generator(folder, allow_pickle=True)
    assert (np.asarray(trusted.sample(["a cat"], [1])[0]) == np.asarray(
        generator(pipelines("sd")).sample(["a cat"], [1])[0]
    )).all()  # fmt: skip
    assert trusted._loaded is not None
    assert len(trusted._loaded.files) == 3
    assert "allow_pickle" not in trusted.settings


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("StableAudioPipeline", "is not a text-to-image model: it asks for audio_end_in_s"),
        ("WanPipeline", "is not a text-to-image model: it asks for num_frames"),
        ("StableVideoDiffusionPipeline", "is not a text-to-image model: "),
        ("StableDiffusionInstructPix2PixPipeline", "is not a text-to-image model: it asks for image"),
        ("StableDiffusionUpscalePipeline", "is not a text-to-image model: it asks for image"),
        ("StableDiffusionControlNetPipeline", "is not a text-to-image model: it asks for control_image"),
        ("FluxControlPipeline", "is not a text-to-image model: it asks for control_image"),
        ("DDPMPipeline", "is not a text-to-image model: it takes no prompt"),
        ("PaintByMagicPipeline", "has no pipeline PaintByMagicPipeline, which it was made for"),
        ("UNet2DModel", "has no pipeline UNet2DModel"),
        (["mine", "MyPipeline"], "is code of its own, which is not run"),
    ],
)
def test_a_pipeline_of_another_kind(kind: Any, said: str, copy: Path) -> None:
    change(copy / "model_index.json", _class_name=kind)
    assert said in refusal(copy)


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
    images = [np.asarray(generator(model).sample(["a cat"], [1])[0]) for model in (copy, pipelines("sd"))]
    assert (images[0] == images[1]).all()
    change(copy / "model_index.json", _class_name="NeedyPipeline")
    assert "is not a text-to-image model: it asks for token_indices" in refusal(copy)
    change(copy / "model_index.json", _class_name="DeepPipeline")
    with pytest.raises(UserError, match="makes something else than images"):
        generator(copy).sample(["a cat"], [1])


def test_a_unet_that_fills_in_pictures(copy: Path) -> None:
    change(copy / "model_index.json", _class_name="StableDiffusionInpaintPipeline")
    generator(copy).load()  # its weights are those of a text-to-image model
    change(copy / "unet/config.json", in_channels=9)
    assert "its unet takes 9 channels and not 4: it was made to change a picture" in refusal(copy)


def test_weights_saved_by_a_pipeline_that_changes_pictures_paint_as_well(copy: Path, pipelines: Pipelines) -> None:
    change(copy / "model_index.json", _class_name="StableDiffusionImg2ImgPipeline")
    images = [np.asarray(generator(model).sample(["a cat"], [1])[0]) for model in (copy, pipelines("sd"))]
    assert (images[0] == images[1]).all()


def test_a_model_of_transformers(copy: Path) -> None:
    text = refusal(copy / "text_encoder")
    assert "has no model_index.json" in text
    assert "(but a clip_text_model model of transformers)" in text


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
    model = generator(folder, height=32, width=32)
    model.check_prompts(["a cat"])
    assert (np.asarray(model.sample(["a cat"], [1])[0]) != np.asarray(model.sample(["a dog"], [1])[0])).any()

    monkeypatch.setattr(loading, "_is_installed", lambda package: package != "sentencepiece")
    text = refusal(folder)
    assert "its tokenizer needs packages that are not installed (sentencepiece)" in text
    assert "pip install 'synthaug[t5]'" in text


def test_a_package_that_a_library_misses_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoPipelineForText2Image

    def missing(*_: object, **__: object) -> None:
        raise ImportError("StableDiffusionPipeline requires the tiktoken library but it was not found")

    monkeypatch.setattr(AutoPipelineForText2Image, "from_pretrained", missing)
    text = refusal(copy)
    assert "requires the tiktoken library" in text
    assert "install the package that is named there with pip" in text
