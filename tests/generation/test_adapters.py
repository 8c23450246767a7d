"""LoRA weights and learned words, on tiny files of the kind that the training scripts of diffusers save."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator

Pipelines = Callable[[str], Path]


def generator(model: Path, **settings: Any) -> DiffusionGenerator:
    return DiffusionGenerator(str(model), "a {class_name}", **{"num_inference_steps": 2, **settings})


def cat(model: DiffusionGenerator, text: str = "a cat") -> NDArray[np.int64]:
    (image,) = model.sample([text], [1])
    return np.asarray(image, dtype=np.int64)


def refusal(model: DiffusionGenerator) -> str:
    with pytest.raises(UserError) as caught:
        model.load()
    return str(caught.value)


def save_lora(path: Path, model: Path, part: str = "unet", scale: float = 1.0) -> Path:
    """LoRA weights of rank 2 for every attention of a pipeline, of the size that its weights have."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(next((model / part).glob("*.safetensors")))
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for name, weight in weights.items():
        if name.endswith(("to_q.weight", "to_v.weight", "v_proj.weight")):
            base = f"{part}.{name.removesuffix('.weight')}"
            tensors[f"{base}.lora_A.weight"] = scale * torch.randn((2, weight.shape[1]), generator=random)
            tensors[f"{base}.lora_B.weight"] = scale * torch.randn((weight.shape[0], 2), generator=random)
    assert tensors
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def save_words(path: Path, words: Mapping[str, tuple[int, ...]]) -> Path:
    """A file of learned words: name → shape of its vectors."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(0)
    save_file({name: 30 * torch.randn(shape, generator=random) for name, shape in words.items()}, path)
    return path


# --- LoRA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "part"), [("sd", "unet"), ("sd", "text_encoder"), ("sdxl", "unet"), ("sd3", "transformer")]
)
def test_a_lora_changes_the_images_by_its_weight(kind: str, part: str, pipelines: Pipelines, tmp_path: Path) -> None:
    sizes = {"height": 16, "width": 16}
    path = save_lora(tmp_path / "style.safetensors", pipelines(kind), part)
    plain = cat(generator(pipelines(kind), **sizes))
    whole = cat(generator(pipelines(kind), lora=str(path), **sizes))
    half = cat(generator(pipelines(kind), lora={"model": str(path), "weight": 0.5}, **sizes))
    none = cat(generator(pipelines(kind), lora=[{"model": str(path), "weight": 0.0}], **sizes))
    assert (whole != plain).any()
    assert (half != whole).any()
    assert (half != plain).any()
    assert abs(none - plain).max() <= 1


def test_several_loras_add_up_in_any_notation(pipelines: Pipelines, tmp_path: Path) -> None:
    one = save_lora(tmp_path / "one/pytorch_lora_weights.safetensors", pipelines("sd"))
    two = save_lora(tmp_path / "two.safetensors", pipelines("sd"), "text_encoder")
    both = generator(pipelines("sd"), lora=[str(one.parent), {"model": str(two), "weight": 1}])
    alone = [cat(generator(pipelines("sd"), lora=str(path))) for path in (one, two)]
    assert all((cat(both) != image).any() for image in alone)
    assert json.loads(json.dumps(both.settings))["lora"] == [str(one.parent), {"model": str(two), "weight": 1}]


def test_loras_are_part_of_the_hash_of_what_was_loaded(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    plain = generator(pipelines("sd")).provenance()["weights"]
    first = generator(pipelines("sd"), lora=str(path)).provenance()["weights"]
    save_lora(path, pipelines("sd"), scale=2.0)
    second = generator(pipelines("sd"), lora=str(path)).provenance()["weights"]
    assert len({plain, first, second}) == 3


def test_a_lora_for_another_model_is_refused(pipelines: Pipelines, tmp_path: Path) -> None:
    other_size = save_lora(tmp_path / "xl.safetensors", pipelines("sdxl"))
    text = refusal(generator(pipelines("sd"), lora=str(other_size)))
    assert text.startswith(f"The LoRA {other_size} could not be loaded.\n  cause: it does not fit {pipelines('sd')} (")
    assert "generator.lora=null" in text
    other_parts = save_lora(tmp_path / "sd3.safetensors", pipelines("sd3"), "transformer")
    assert "does not fit" in refusal(generator(pipelines("sd"), lora=str(other_parts)))
    words = save_words(tmp_path / "words.safetensors", {"<x>": (1, 8)})
    assert "does not fit" in refusal(generator(pipelines("sd"), lora=str(words)))


def test_a_pipeline_that_takes_no_lora_or_no_words(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    text = refusal(generator(pipelines("pixart"), lora=str(path)))
    assert "is a PixArtSigmaPipeline, which takes no LoRA: set it to null" in text
    text = refusal(generator(pipelines("sd3"), textual_inversion=str(path)))
    assert "generator.textual_inversion: " in text
    assert "takes no textual inversion" in text


def test_a_missing_package_is_named_before_anything_is_loaded(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"generator.lora: needs .* pip install 'synthaug\[lora\]'"):
        generator(pipelines("sd"), lora=str(path)).check(["cat"])


# --- words -----------------------------------------------------------------------------------------


def test_a_learned_word_is_one_in_the_prompt(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "learned_embeds.safetensors", {"<fur>": (8,)})
    model = generator(pipelines("sd"), textual_inversion=str(tmp_path))
    model.check_prompts(["a <fur> cat"])
    assert (cat(model, "a <fur> cat") != cat(generator(pipelines("sd")), "a <fur> cat")).any()
    assert abs(cat(model) - cat(generator(pipelines("sd")))).max() <= 1
    other = generator(pipelines("sd"), textual_inversion={"model": str(path), "token": "<hair>"})
    assert (cat(other, "a <hair> cat") == cat(model, "a <fur> cat")).all()
    assert model.provenance()["weights"] != generator(pipelines("sd")).provenance()["weights"]


def test_a_word_of_several_vectors_is_as_many_tokens(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "fur.safetensors", {"<fur>": (12, 8)})
    model = generator(pipelines("sd"), textual_inversion=str(path))
    model.check_prompts(["<fur>"])
    with pytest.raises(UserError, match="'a <fur> cat' has 18 tokens, tokenizer takes 16"):
        model.check_prompts(["a <fur> cat"])


def test_a_word_that_stands_in_no_prompt_would_do_nothing(pipelines: Pipelines, tmp_path: Path) -> None:
    paths = [save_words(tmp_path / f"{word}.safetensors", {f"<{word}>": (2, 8)}) for word in ("bad", "fur")]
    files = [str(path) for path in paths]
    model = generator(pipelines("sd"), textual_inversion=files, negative_prompt="<bad>")
    with pytest.raises(UserError) as caught:
        model.check_prompts(["a cat", "a dog"])
    assert "'<fur>': write it into the prompt" in str(caught.value)
    assert "<bad>" not in str(caught.value)
    model.check_prompts(["a cat", "<fur>"])


def test_words_for_both_encoders_of_xl(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "fur.safetensors", {"clip_l": (1, 8), "clip_g": (1, 8)})
    text = refusal(generator(pipelines("sdxl"), textual_inversion=str(path)))
    assert "the file does not say the word: give {model: <file>, token: <word>}" in text
    model = generator(pipelines("sdxl"), textual_inversion={"model": str(path), "token": "<fur>"})
    model.check_prompts(["a <fur> cat"])
    assert all("<fur>" in tokenizer.get_vocab() for tokenizer in (model.pipeline.tokenizer, model.pipeline.tokenizer_2))


def test_words_of_another_size_do_not_fit(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "fur.safetensors", {"<fur>": (1, 12)})
    text = refusal(generator(pipelines("sd"), textual_inversion=str(path)))
    assert text.startswith(f"The textual inversion {path} could not be loaded.\n  cause: it does not fit")


# --- which file ------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_does_not_speak_of_the_hub(pipelines: Pipelines, tmp_path: Path) -> None:
    for name in (str(tmp_path / "missing"), "loras/style.safetensors", "./style"):
        with pytest.raises(UserError) as caught:
            generator(pipelines("sd"), lora=name).check(["cat"])
        assert f"there is no file {Path(name).absolute()}" in str(caught.value)
        assert "hub" not in str(caught.value)


def test_one_of_several_files_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    one, two = (save_lora(tmp_path / f"{name}.safetensors", pipelines("sd")) for name in ("one", "two"))
    text = refusal(generator(pipelines("sd"), lora=str(tmp_path)))
    assert "it has several files: one.safetensors, two.safetensors" in text
    assert f"generator.lora=[{{model: {tmp_path}, file: <name>}}]" in text
    chosen = generator(pipelines("sd"), lora={"model": str(tmp_path), "file": two.name})
    assert (cat(chosen) == cat(generator(pipelines("sd"), lora=str(one)))).all()
    text = refusal(generator(pipelines("sd"), lora={"model": str(tmp_path), "file": "three.safetensors"}))
    assert "it has no file three.safetensors" in text


@pytest.mark.parametrize("key", ["lora", "textual_inversion"])
def test_a_pickle_is_refused_unread_and_read_if_it_is_trusted(key: str, pipelines: Pipelines, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    if key == "lora":
        safe = save_lora(tmp_path / "safe.safetensors", pipelines("sd"))
    else:
        safe = save_words(tmp_path / "safe.safetensors", {"<fur>": (1, 8)})
    pickled = tmp_path / "style.bin"
    torch.save(load_file(safe), pickled)
    text = refusal(generator(pipelines("sd"), **{key: str(pickled)}))
    assert "it comes as style.bin only, a pickle, which can run any code" in text
    assert "generator.allow_pickle=true" in text
    trusted = generator(pipelines("sd"), **{key: str(pickled)}, allow_pickle=True)
    text = "a <fur> cat"
    assert (cat(trusted, text) == cat(generator(pipelines("sd"), **{key: str(safe)}), text)).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "must be null, a file, folder or hub id"),
        ("", "must be null, a file"),
        ([["a"]], "must be null, a file"),
        ({"weight": 1}, "must be null, a file"),
        ({"model": "a/b", "scale": 1}, "'scale' is none of file, model, revision, weight"),
        ({"model": "a/b", "token": "x"}, "'token' is none of"),
        ({"model": "a/b", "weight": "much"}, "a weight is a number"),
        ({"model": "a/b", "file": 3}, "all else is text"),
    ],
)
def test_an_entry_that_is_none(value: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"generator.lora=.*must be null") as caught:
        generator(Path("someone/a-model"), lora=value).check(["cat"])
    assert said in str(caught.value)
    assert "{model: <file>, weight: 0.8}" in str(caught.value)


def test_weights_of_a_lora_without_a_place_are_spoken_of(
    pipelines: Pipelines, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file, save_file

    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    tensors = load_file(path)
    foreign = {name.replace("unet.", "unet.elsewhere."): tensor.clone() for name, tensor in tensors.items()}
    save_file({**tensors, **foreign}, path)
    with caplog.at_level(logging.WARNING, "synthaug"):
        generator(pipelines("sd"), lora=str(path)).load()
    assert "has no place in" in caplog.text
