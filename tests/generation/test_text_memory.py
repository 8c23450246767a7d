"""A batch of the same texts is encoded once, and images are the same to the last bit."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from synthaug.generation import diffusion, text_memory
from synthaug.generation.diffusion import DiffusionGenerator
from tests.factories.pipelines import Pipelines, build_generator, pixels

# Architecture → its settings. Every way in which embeddings are returned: tensors, lists, masks, ids of positions.
KINDS: dict[str, dict[str, Any]] = {
    "sd": {"guidance_scale": 5.0, "negative_prompt": "odd"},
    "sdxl": {"guidance_scale": 5.0},
    "flux_guided": {"guidance_scale": 3.5, "height": 16, "width": 16},
    "QwenImagePipeline": {"guidance_scale": 4.0, "height": 16, "width": 16},
    "ZImagePipeline": {"guidance_scale": 4.0, "height": 16, "width": 16},
}
BATCHES = [(["a cat"] * 2, [1, 2]), (["a cat"] * 2, [3, 4]), (["a cat", "a dog"], [1, 2]), (["a cat"] * 2, [1, 2])]


def sampled(model: DiffusionGenerator) -> np.ndarray[Any, Any]:
    return np.concatenate([pixels(model.sample(texts, seeds)) for texts, seeds in BATCHES])


def count_encodings(model: DiffusionGenerator) -> Counter[str]:
    """Have the forward passes of a loaded model's text encoders counted."""
    counted: Counter[str] = Counter()
    for name, part in model.pipeline.components.items():
        if name.startswith("text_encoder") and part is not None:
            part.register_forward_pre_hook(lambda *_, part_name=name: counted.update([part_name]))
    return counted


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_the_same_to_the_last_bit(kind: str, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering = build_generator(pipelines(kind), **KINDS[kind])
    remembering.load()
    counted = count_encodings(remembering)
    images = sampled(remembering)
    monkeypatch.setattr(diffusion, "remember_texts", lambda pipeline: None)
    plain = build_generator(pipelines(kind), **KINDS[kind])
    plain.load()
    expected = count_encodings(plain)
    assert (sampled(plain) == images).all()
    # Two of the four batches differ. A negative prompt is one more text, which some classes encode by itself.
    assert counted
    assert all(counted[name] * 2 <= expected[name] for name in expected)


def test_what_was_trained_into_a_text_encoder_is_not_missed() -> None:
    class Pipeline:
        weight = 1

        def encode_prompt(self, prompt: list[str]) -> list[int]:
            return [len(text) * self.weight for text in prompt]

        def set_adapters(self, weight: int) -> None:
            self.weight = weight

    pipeline = Pipeline()
    text_memory.remember_texts(pipeline)
    assert pipeline.encode_prompt(["cat"]) == [3]
    pipeline.weight = 5
    assert pipeline.encode_prompt(["cat"]) == [3]
    pipeline.set_adapters(2)
    assert pipeline.encode_prompt(["cat"]) == [6]


def test_no_list_is_shared_with_what_is_kept() -> None:
    memory = text_memory._TextMemory(lambda prompt: ([1], 2))
    first = memory(prompt=["a"])
    first[0].append(7)
    assert memory(prompt=["a"]) == ([1], 2)


def test_arguments_decide_and_tensors_are_never_compared() -> None:
    import torch

    calls: list[Any] = []
    memory = text_memory._TextMemory(lambda *positional, **named: calls.append((positional, named)))
    for _ in range(2):
        memory("a", 1, do=True)
        memory("a", 1.0, do=True)
        memory("a", "1", do=True)
        memory(["a"], 1, do=True)
        memory("a", 1, do=torch.device("cpu"))
    assert len(calls) == 5
    for _ in range(2):
        memory("a", embeds=torch.ones(1))
    assert len(calls) == 7


def test_the_oldest_is_forgotten_where_there_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(text_memory, "_MOST_BYTES", 8 * 4)
    calls: list[str] = []

    def encode(text: str) -> tuple[Any]:
        calls.append(text)
        return (torch.zeros(4),)

    memory = text_memory._TextMemory(encode)
    for text in ("a", "b", "a", "c", "a", "b"):
        memory(text)
    assert calls == ["a", "b", "c", "b"]
