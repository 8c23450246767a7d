"""Training of a LoRA or a word: it learns, goes on where it was stopped, and writes a file that the generator loads."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import UserError
from synthaug.generation import adaptation, training_loop
from synthaug.generation.adaptation import Recipe, check_recipe, train_adapter
from synthaug.generation.learned_words import FILE, LearnedWord, class_tokens
from synthaug.generation.training_loop import batch_indices
from tests.factories.images import image
from tests.factories.pipelines import Pipelines, build_generator, load_error, pixels, save_pipeline

IMAGES = [image(seed, (16, 16)) for seed in range(4)]
TEXTS = ["a cat", "a cat", "a dog", "a dog"]
CAT = LearnedWord("<cat>", "cat")
FITTING: dict[str, dict[str, Any]] = {"sd": {}, "sdxl": {"guidance_scale": 5.0}}


@pytest.fixture(autouse=True)
def any_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoencoders with random weights show no image."""
    monkeypatch.setattr(adaptation, "_LEAST_PSNR", 0)


def states(pipeline: Any) -> dict[str, torch.Tensor]:
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    return {
        f"{part}.{name}": value for part, network in networks.items() for name, value in network.state_dict().items()
    }


def train(
    model: Path,
    folder: Path,
    kind: str = "sd",
    word: LearnedWord | None = None,
    texts: list[str] = TEXTS,
    **recipe: Any,
) -> list[float]:
    generator = build_generator(model, **FITTING[kind])
    generator.load()
    pipeline = generator.pipeline
    before = {name: parameter.clone() for name, parameter in states(pipeline).items()}
    vocabulary, trainable = len(pipeline.tokenizer), [item.requires_grad for item in pipeline.unet.parameters()]
    settings = Recipe(**{"steps": 6, "rank": 2, "lr": 1e-2, "batch_size": 2, **recipe})
    losses = train_adapter(pipeline, str(model), IMAGES, texts, settings, folder / "checkpoint.pt", folder, word=word)
    after = states(pipeline)
    assert before.keys() == after.keys()
    assert all(torch.equal(parameter, after[name]) for name, parameter in before.items()), "the model stays as it was"
    assert len(pipeline.tokenizer) == vocabulary
    assert [item.requires_grad for item in pipeline.unet.parameters()] == trainable
    return losses


@pytest.mark.parametrize("kind", FITTING)
@pytest.mark.parametrize("layers", ["attention", "all"])
def test_lora_is_trained_and_changes_the_images(kind: str, layers: str, pipelines: Pipelines, tmp_path: Path) -> None:
    losses = train(pipelines(kind), tmp_path, kind, layers=layers)
    assert len(losses) == 6
    assert np.isfinite(losses).all()
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_lora_weights.safetensors"], "no checkpoint is left"
    plain, adapted = (build_generator(pipelines(kind), lora=lora, **FITTING[kind]) for lora in (None, str(tmp_path)))
    images = [pixels(generator.sample(TEXTS[:2], [1, 2])) for generator in (plain, adapted)]
    assert (images[0] != images[1]).any()
    assert plain.provenance()["weights"] != adapted.provenance()["weights"]


def test_loss_falls_where_there_is_something_to_learn() -> None:
    """On the embedded model, whose autoencoder shows these images: a single digit again and again."""
    from PIL import Image

    from synthaug.generation.diffusion import DiffusionGenerator

    generator = DiffusionGenerator("pkg://synthaug.assets/tiny_digits", "a {class_name}", crop=28, dtype="float32")
    generator.load()
    bar = Image.new("RGB", (28, 28))
    bar.paste((255, 255, 255), (4, 4, 24, 8))
    recipe = Recipe(steps=30, rank=8, lr=3e-3, batch_size=4, layers="all", prompt_dropout=0)
    folder = Path("unused")
    losses = []
    with pytest.MonkeyPatch.context() as context:
        context.setattr(adaptation, "_save", lambda *arguments: None)
        losses = train_adapter(
            generator.pipeline, "tiny", [bar], ["a handwritten digit 1"], recipe, folder, folder, None, 28
        )
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:8])


@pytest.mark.parametrize("method", ["lora", "textual_inversion"])
def test_training_that_was_stopped_ends_as_one_that_was_not(
    method: str, pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = None if method == "lora" else CAT
    more: dict[str, Any] = {"word": word, "method": method, "texts": TEXTS if word is None else ["a <cat>"] * 4}
    whole = train(pipelines("sd"), tmp_path / "whole", **more)
    for stop in (1, 3, 5) if word is None else (3,):
        folder = tmp_path / f"stopped{stop}"
        loss, calls = adaptation._loss, list[int]()

        def interrupt(*arguments: Any, stop: int = stop, calls: list[int] = calls, loss: Any = loss) -> Any:
            calls.append(arguments[-1])
            if len(calls) > stop:
                raise KeyboardInterrupt
            return loss(*arguments)

        with monkeypatch.context() as context:
            context.setattr(adaptation, "_loss", interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(pipelines("sd"), folder, **more)
        assert (folder / "checkpoint.pt").is_file()
        assert train(pipelines("sd"), folder, **more) == whole
        name = "pytorch_lora_weights.safetensors" if word is None else FILE
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("kind", FITTING)
@pytest.mark.parametrize("vectors", [1, 3])
def test_word_is_trained_and_changes_the_images(kind: str, vectors: int, pipelines: Pipelines, tmp_path: Path) -> None:
    more: dict[str, Any] = {"method": "textual_inversion", "word": CAT, "texts": ["a <cat>"] * 4, "vectors": vectors}
    losses = train(pipelines(kind), tmp_path, kind, **more)
    assert np.isfinite(losses).all()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    tensors = safetensors.torch.load_file(tmp_path / FILE)
    assert list(tensors) == (["<cat>"] if kind == "sd" else ["clip_g", "clip_l"])
    assert all(tensor.shape == (vectors, 8) for tensor in tensors.values())
    generator = build_generator(
        pipelines(kind),
        textual_inversion_per_class={"cat": {"model": str(tmp_path), "token": "<cat>"}},
        **FITTING[kind],
    )
    assert generator.class_words == {"cat": "<cat>"}
    changed, plain = (pixels(generator.sample([text], [1])) for text in ("a <cat>", "a cat"))
    assert (changed != plain).any()
    untrained = build_generator(pipelines(kind), **FITTING[kind])
    assert (pixels(untrained.sample(["a cat"], [1])) == plain).all(), "other prompts stay as they were"
    with pytest.raises(UserError, match="'<cat>': write it into the prompt"):
        generator.check_prompts(["a cat"])


def test_word_begins_as_its_initializer(pipelines: Pipelines) -> None:
    """A word of one letter that has learned nothing yet is read as this letter."""
    from synthaug.generation.learned_words import learned_word

    generator = build_generator(pipelines("sd"))
    generator.load()
    pipeline = generator.pipeline
    expected = adaptation._encode_prompt(pipeline, "a b", (16, 16))["encoder_hidden_states"]
    with learned_word(pipeline, LearnedWord("<cat>", "b"), 1) as learned:
        states = adaptation._encode_prompt(pipeline, "a <cat>", (16, 16))["encoder_hidden_states"]
        assert torch.equal(states, expected)
        states.sum().backward()
    assert learned["text_encoder"].grad.abs().sum() > 0
    with (
        pytest.raises(UserError, match="is not one that tokenizer knows"),
        learned_word(pipeline, LearnedWord("<c>", ""), 1),
    ):
        pass


@given(st.lists(st.text(min_size=1), unique=True, max_size=6))
def test_every_class_has_a_token_of_its_own(classes: list[str]) -> None:
    tokens = class_tokens(classes)
    assert list(tokens) == classes
    assert len(set(tokens.values())) == len(classes)
    assert all(token == token.lower() and " " not in token for token in tokens.values())
    assert class_tokens(["Polar_bear", "polar bear", "猫"]) == {
        "Polar_bear": "<polar-bear>", "polar bear": "<polar-bear1>", "猫": "<猫>"
    }  # fmt: skip


def test_state_is_saved_while_training_goes_on(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_loop, "_CHECKPOINT_SECONDS", 0)
    saved: list[int] = []
    save = training_loop._save_state

    def count(checkpoint: Path, *rest: Any) -> None:
        save(checkpoint, *rest)
        saved.append(len(rest[-1]))

    monkeypatch.setattr(training_loop, "_save_state", count)
    train(pipelines("sd"), tmp_path)
    assert saved == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("state", ["cut", "other"])
def test_unusable_state_begins_anew(state: str, pipelines: Pipelines, tmp_path: Path) -> None:
    whole = train(pipelines("sd"), tmp_path / "whole")
    checkpoint = tmp_path / "again" / "checkpoint.pt"
    checkpoint.parent.mkdir()
    if state == "cut":
        checkpoint.write_bytes(b"PK\3\4")
    else:
        torch.save({"recipe": "another", "parameters": [], "optimizer": {}, "losses": [1.0]}, checkpoint)
    assert train(pipelines("sd"), tmp_path / "again") == whole


def test_seed_decides(pipelines: Pipelines, tmp_path: Path) -> None:
    first, again, second = (
        train(pipelines("sd"), tmp_path / str(number), seed=seed) for number, seed in enumerate((0, 0, 1))
    )
    assert first == again != second


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_loss_is_of_what_the_model_predicts(kind: str, gamma: float | None, tmp_path: Path) -> None:
    """A denoiser that knows the latents has no loss, whatever it predicts."""
    from diffusers import DDPMScheduler

    schedule = DDPMScheduler(prediction_type=kind)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    states = {"encoder_hidden_states": torch.zeros(1, 3, 8)}

    class Oracle:
        dtype = torch.float32

        def __call__(self, noisy: Any, steps: Any, **conditions: Any) -> Any:
            signal = schedule.alphas_cumprod[steps][:, None, None, None]
            noise = (noisy - signal.sqrt() * latents[order]) / (1 - signal).sqrt()
            answers = {"epsilon": noise, "v_prediction": signal.sqrt() * noise - (1 - signal).sqrt() * latents[order]}
            return type("Answer", (), {"sample": answers[kind] + shift})

    encoded = adaptation._Encoded(latents, ["a cat", "a dog"], lambda text: states)
    recipe = Recipe(batch_size=2, snr_gamma=gamma)
    order = batch_indices(2, 2, 0, 0)
    shift = 0.0
    assert float(adaptation._loss(Oracle(), schedule, encoded, recipe, 0)) < 1e-6
    shift = 1.0
    loss = float(adaptation._loss(Oracle(), schedule, encoded, recipe, 0))
    assert loss == pytest.approx(1, abs=1e-3) if gamma is None else 0 < loss <= 1.001


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 3))
def test_images_are_used_equally_often(count: int, batch_size: int, seed: int) -> None:
    used = Counter(index for step in range(10) for index in batch_indices(count, batch_size, seed, step))
    times = [used[index] for index in range(count)]
    assert max(times) - min(times) <= 1
    assert sum(times) == 10 * batch_size


@pytest.mark.parametrize("kind", ["sd3", "flux", "pixart"])
def test_transformers_are_refused_with_a_way_out(kind: str, pipelines: Pipelines, tmp_path: Path) -> None:
    settings = {"sd3": {"guidance_scale": 4.5}, "flux": {"guidance_scale": 0.0}, "pixart": {"guidance_scale": 4.5}}
    generator = build_generator(pipelines(kind), **settings[kind])
    generator.load()
    with pytest.raises(UserError, match=r"only UNets of the Stable Diffusion family .*generator\.lora=<file>"):
        train_adapter(generator.pipeline, kind, IMAGES, TEXTS, Recipe(), tmp_path / "checkpoint.pt", tmp_path)


def test_distilled_weights_are_refused(pipelines: Pipelines, tmp_path: Path) -> None:
    generator = build_generator(pipelines("turbo"), guidance_scale=0.0)
    generator.load()
    with pytest.raises(UserError, match="is distilled to a few steps"):
        train_adapter(generator.pipeline, "turbo", IMAGES, TEXTS, Recipe(), tmp_path / "checkpoint.pt", tmp_path)


def test_images_that_the_autoencoder_cannot_show_are_refused(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "_LEAST_PSNR", 60)
    with pytest.raises(UserError, match=r"cannot show these images \(PSNR \d+\.\d dB"):
        train(pipelines("sd"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_loss_that_is_no_number_stops(pipelines: Pipelines, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the loss of step \d+ is not finite: lower adapt\.lr"):
        train(pipelines("sd"), tmp_path, lr=1e30, steps=20)


def test_recipe_is_checked_as_a_whole() -> None:
    with pytest.raises(UserError) as caught:
        check_recipe(Recipe(steps=0, rank=0, lr=0, batch_size=0, layers="some", resolution=100, snr_gamma=0))
    assert str(caught.value).count("adapt.") == 7
    with pytest.raises(UserError, match=r"adapt\.vectors=2(?s:.)*adapt\.initializer=cat: must be null"):
        check_recipe(Recipe(vectors=2, initializer="cat"))
    check_recipe(Recipe(method="textual_inversion", vectors=2, initializer="cat"))
    check_recipe(Recipe())


def test_lora_of_another_architecture_is_refused(pipelines: Pipelines, tmp_path: Path) -> None:
    train(pipelines("sdxl"), tmp_path, "sdxl")
    message = load_error(build_generator(pipelines("sd"), lora=str(tmp_path)))
    assert "it does not fit" in message
    assert "choose one that was trained for this model" in message


def test_each_class_has_its_own_lora(pipelines: Pipelines, tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        train(pipelines("sd"), tmp_path / name, seed=number)
    per_class = {name: str(tmp_path / name) for name in ("cat", "dog")}
    both = build_generator(pipelines("sd"), lora_per_class=per_class)
    texts, seeds, classes = ["an animal"] * 4, [1, 2, 3, 4], ["cat", "cat", "dog", "cat"]
    images = pixels(both.sample(texts, seeds, classes=classes))
    for index, name in enumerate(classes):
        (alone,) = build_generator(pipelines("sd"), lora=per_class[name]).sample([texts[index]], [seeds[index]])
        assert abs(pixels([alone])[0] - images[index]).max() <= 2, name
    with pytest.raises(UserError, match="classes are not named"):
        both.sample(texts, seeds)
    with pytest.raises(UserError, match=r"generator\.lora_per_class has no LoRA of owl"):
        both.check(["cat", "dog", "owl"])
    for wrong in ("a file", {"cat": ["a", "b"]}, {"cat": {"weight": 1}}):
        with pytest.raises(UserError, match=r"generator\.lora"):
            build_generator(pipelines("sd"), lora_per_class=wrong).check(["cat"])
    for word in ("a file", {"cat": ["a", "b"]}, {"cat": "a"}):
        with pytest.raises(UserError, match=r"generator\.textual_inversion"):
            build_generator(pipelines("sd"), textual_inversion_per_class=word).check(["cat"])


def test_synthetic_set_names_the_classes(pipelines: Pipelines, tmp_path: Path) -> None:
    from synthaug.generation.synthetic_set import SyntheticSet

    for number, name in enumerate(("cat", "dog")):
        train(pipelines("sd"), tmp_path / name, seed=number)
    generator = build_generator(
        pipelines("sd"), lora_per_class={name: str(tmp_path / name) for name in ("cat", "dog")}, batch_size=4
    )
    assert SyntheticSet(tmp_path / "set", generator).ensure({"cat": 3, "dog": 3}) == 6


def test_saved_pipeline_of_another_prediction_is_trained(tmp_path: Path) -> None:
    import json

    folder = save_pipeline(tmp_path / "v")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "v_prediction"}))
    assert len(train(folder, tmp_path / "lora")) == 6
