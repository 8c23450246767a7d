"""LoRA weights and learned words, on tiny files of the kind that the training scripts of diffusers save."""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator
from tests.factories.pipelines import Pipelines, build_generator, load_error


def cat(model: DiffusionGenerator, text: str = "a cat") -> NDArray[np.int64]:
    (image,) = model.sample([text], [1])
    return np.asarray(image, dtype=np.int64)


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
    plain = cat(build_generator(pipelines(kind), **sizes))
    whole = cat(build_generator(pipelines(kind), lora=str(path), **sizes))
    half = cat(build_generator(pipelines(kind), lora={"model": str(path), "weight": 0.5}, **sizes))
    none = cat(build_generator(pipelines(kind), lora=[{"model": str(path), "weight": 0.0}], **sizes))
    assert (whole != plain).any()
    assert (half != whole).any()
    assert (half != plain).any()
    assert abs(none - plain).max() <= 1


def test_several_loras_add_up_in_any_notation(pipelines: Pipelines, tmp_path: Path) -> None:
    unet = save_lora(tmp_path / "unet/pytorch_lora_weights.safetensors", pipelines("sd"))
    text = save_lora(tmp_path / "text.safetensors", pipelines("sd"), "text_encoder")
    both = build_generator(pipelines("sd"), lora=[str(unet.parent), {"model": str(text), "weight": 1}])
    alone = [cat(build_generator(pipelines("sd"), lora=str(path))) for path in (unet, text)]
    assert all((cat(both) != image).any() for image in alone)
    assert json.loads(json.dumps(both.settings))["lora"] == [str(unet.parent), {"model": str(text), "weight": 1}]


def test_loras_are_part_of_the_hash_of_what_was_loaded(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    plain = build_generator(pipelines("sd")).provenance()["weights"]
    first = build_generator(pipelines("sd"), lora=str(path)).provenance()["weights"]
    save_lora(path, pipelines("sd"), scale=2.0)
    second = build_generator(pipelines("sd"), lora=str(path)).provenance()["weights"]
    assert len({plain, first, second}) == 3


def test_a_lora_for_another_model_is_refused(pipelines: Pipelines, tmp_path: Path) -> None:
    other_size = save_lora(tmp_path / "xl.safetensors", pipelines("sdxl"))
    text = load_error(build_generator(pipelines("sd"), lora=str(other_size)))
    assert str(other_size) in text
    assert f"does not fit {pipelines('sd')} (" in text
    assert "generator.lora=null" in text
    other_parts = save_lora(tmp_path / "sd3.safetensors", pipelines("sd3"), "transformer")
    assert "generator.lora=null" in load_error(build_generator(pipelines("sd"), lora=str(other_parts)))
    words = save_words(tmp_path / "words.safetensors", {"<x>": (1, 8)})
    assert "generator.lora=null" in load_error(build_generator(pipelines("sd"), lora=str(words)))


def test_a_pipeline_that_takes_no_lora_or_no_words(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    text = load_error(build_generator(pipelines("pixart"), lora=str(path)))
    assert re.search(r"generator\.lora: .* PixArtSigmaPipeline", text)
    text = load_error(build_generator(pipelines("sd3"), textual_inversion=str(path)))
    assert re.search(r"generator\.textual_inversion: .* StableDiffusion3Pipeline", text)


def test_a_missing_package_is_named_before_anything_is_loaded(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"generator.lora: needs .* pip install 'synthaug\[lora\]'"):
        build_generator(pipelines("sd"), lora=str(path)).check(["cat"])


# --- words -----------------------------------------------------------------------------------------


def test_a_learned_word_is_one_in_the_prompt(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "learned_embeds.safetensors", {"<fur>": (8,)})
    model = build_generator(pipelines("sd"), textual_inversion=str(tmp_path))
    model.check_prompts(["a <fur> cat"])
    assert (cat(model, "a <fur> cat") != cat(build_generator(pipelines("sd")), "a <fur> cat")).any()
    assert abs(cat(model) - cat(build_generator(pipelines("sd")))).max() <= 1
    renamed = build_generator(pipelines("sd"), textual_inversion={"model": str(path), "token": "<hair>"})
    assert (cat(renamed, "a <hair> cat") == cat(model, "a <fur> cat")).all()
    assert model.provenance()["weights"] != build_generator(pipelines("sd")).provenance()["weights"]


def test_a_word_of_several_vectors_is_as_many_tokens(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "fur.safetensors", {"<fur>": (12, 8)})
    model = build_generator(pipelines("sd"), textual_inversion=str(path))
    model.check_prompts(["<fur>"])
    with pytest.raises(UserError, match=r"'a <fur> cat' has 18 tokens, tokenizer .* 16:"):
        model.check_prompts(["a <fur> cat"])


def test_a_word_that_stands_in_no_prompt_would_do_nothing(pipelines: Pipelines, tmp_path: Path) -> None:
    paths = [save_words(tmp_path / f"{word}.safetensors", {f"<{word}>": (2, 8)}) for word in ("bad", "fur")]
    files = [str(path) for path in paths]
    model = build_generator(pipelines("sd"), textual_inversion=files, negative_prompt="<bad>")
    with pytest.raises(UserError) as caught:
        model.check_prompts(["a cat", "a dog"])
    assert "generator.textual_inversion" in str(caught.value)
    assert "'<fur>'" in str(caught.value)
    assert "<bad>" not in str(caught.value)
    model.check_prompts(["a cat", "<fur>"])


def test_words_for_both_encoders_of_xl(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "fur.safetensors", {"clip_l": (1, 8), "clip_g": (1, 8)})
    text = load_error(build_generator(pipelines("sdxl"), textual_inversion=str(path)))
    assert "{model: <file>, token: <word>}" in text
    model = build_generator(pipelines("sdxl"), textual_inversion={"model": str(path), "token": "<fur>"})
    model.check_prompts(["a <fur> cat"])
    assert all("<fur>" in tokenizer.get_vocab() for tokenizer in (model.pipeline.tokenizer, model.pipeline.tokenizer_2))


def test_words_of_another_size_do_not_fit(pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_words(tmp_path / "fur.safetensors", {"<fur>": (1, 12)})
    text = load_error(build_generator(pipelines("sd"), textual_inversion=str(path)))
    assert str(path) in text
    assert "generator.textual_inversion=null" in text


# --- which file ------------------------------------------------------------------------------------


def test_a_missing_file_is_not_looked_for_on_the_hub(pipelines: Pipelines, tmp_path: Path) -> None:
    for name in (str(tmp_path / "missing"), "loras/style.safetensors", "./style"):
        with pytest.raises(UserError) as caught:
            build_generator(pipelines("sd"), lora=name).check(["cat"])
        assert str(Path(name).absolute()) in str(caught.value)
        assert "generator.lora=<file>" in str(caught.value)
        assert "hub" not in str(caught.value)


def test_one_of_several_files_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    paths = [save_lora(tmp_path / f"{name}.safetensors", pipelines("sd")) for name in ("one", "two")]
    text = load_error(build_generator(pipelines("sd"), lora=str(tmp_path)))
    assert "one.safetensors, two.safetensors" in text
    assert f"generator.lora=[{{model: {tmp_path}, file: <name>}}]" in text
    chosen = build_generator(pipelines("sd"), lora={"model": str(tmp_path), "file": paths[1].name})
    assert (cat(chosen) == cat(build_generator(pipelines("sd"), lora=str(paths[0])))).all()
    text = load_error(build_generator(pipelines("sd"), lora={"model": str(tmp_path), "file": "three.safetensors"}))
    assert "three.safetensors" in text


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
    text = load_error(build_generator(pipelines("sd"), **{key: str(pickled)}))
    assert "style.bin" in text
    assert "generator.allow_pickle=true" in text
    trusted = build_generator(pipelines("sd"), **{key: str(pickled)}, allow_pickle=True)
    text = "a <fur> cat"
    assert (cat(trusted, text) == cat(build_generator(pipelines("sd"), **{key: str(safe)}), text)).all()


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (3, ""),
        ("", ""),
        ([["a"]], ""),
        ({"weight": 1}, ""),
        ({"model": "a/b", "scale": 1}, "'scale' is not one of file, model, revision, weight"),
        ({"model": "a/b", "token": "x"}, "'token' is not one of file, model, revision, weight"),
        ({"model": "a/b", "weight": "much"}, "weight"),
        ({"model": "a/b", "weight": True}, "weight"),
        ({"model": "a/b", "file": 3}, "text"),
    ],
)
def test_an_invalid_entry(value: Any, detail: str) -> None:
    with pytest.raises(UserError) as caught:
        build_generator(Path("someone/a-model"), lora=value).check(["cat"])
    rule, _, end = str(caught.value).partition("; ")
    assert f"generator.lora={value!r}: must be null" in rule
    assert "{model: <file>, weight: 0.8}" in rule
    assert detail in end
    assert bool(end) == bool(detail)


def test_weights_of_a_lora_that_the_model_lacks_are_logged(
    pipelines: Pipelines, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file, save_file

    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    tensors = load_file(path)
    foreign = {name.replace("unet.", "unet.elsewhere."): tensor.clone() for name, tensor in tensors.items()}
    save_file({**tensors, **foreign}, path)
    with caplog.at_level(logging.WARNING, "synthaug"):
        build_generator(pipelines("sd"), lora=str(path)).load()
    (record,) = caplog.records
    assert (str(path), str(pipelines("sd"))) == record.args[:2]  # type: ignore[index]
    assert "elsewhere." in record.getMessage()
