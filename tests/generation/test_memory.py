"""Batches that a memory does not take, images that are no numbers, and the ways to need less memory."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from synthaug.errors import UserError
from synthaug.generation import diffusion, memory
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.synthetic_set import SyntheticSet

Pipelines = Callable[[str], Path]

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB, other allocations: 1.00 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1000 bytes."),
    MemoryError("Unable to allocate 3 GiB for an array"),
]


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not run out of memory yet."""
    monkeypatch.setattr(diffusion, "_most_at_once", {})


def generator(model: Path, **settings: Any) -> DiffusionGenerator:
    return DiffusionGenerator(str(model), "a {class_name}", **{"num_inference_steps": 2, **settings})


def pixels(images: Any) -> NDArray[np.int64]:
    return np.stack([np.asarray(image, dtype=np.int64) for image in images])


def give(model: DiffusionGenerator, most: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a pipeline fail, in the middle of a call, for more than `most` images; returns how many it was asked for."""
    model.load()
    asked: list[int] = []
    true_call = type(model.pipeline).__call__

    @functools.wraps(true_call)
    def call(pipeline: Any, **arguments: Any) -> Any:
        asked.append(len(arguments["prompt"]))
        if len(arguments["prompt"]) > most:
            for state in arguments["generator"]:  # noise was drawn before the memory was full
                torch.randn(3, generator=state)
            raise error
        return true_call(pipeline, **arguments)

    monkeypatch.setattr(type(model.pipeline), "__call__", call)
    return asked


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:20])
def test_a_batch_that_is_too_large_is_made_in_halves(
    error: BaseException, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    texts, seeds = [f"a {n}" for n in range(7)], list(range(7))
    expected = pixels(generator(pipelines("sd")).sample(texts, seeds))
    model = generator(pipelines("sd"))
    asked = give(model, 2, error, monkeypatch)
    with caplog.at_level(logging.WARNING, "synthaug"):
        made = pixels(model.sample(texts, seeds))
    assert abs(made - expected).max() <= 2
    assert asked == [7, 3, *[1] * 7]
    assert [record.getMessage() for record in caplog.records] == [
        "The memory of cpu does not take 7 images at once: 3 from now on",
        "The memory of cpu does not take 3 images at once: 1 from now on",
    ]


def test_what_was_found_out_holds_for_the_rest_of_the_process(
    pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = generator(pipelines("sd"))
    asked = give(model, 2, FULL[0], monkeypatch)
    model.sample(["a cat"] * 4, [1, 2, 3, 4])
    assert asked == [4, 2, 2]
    generator(pipelines("sd")).sample(["a cat"] * 4, [1, 2, 3, 4])  # of the next arm
    assert asked == [4, 2, 2, 2, 2]
    generator(pipelines("sd"), height=8, width=8).sample(["a cat"] * 2, [1, 2])  # smaller images are another matter
    assert asked[-1] == 2


def test_a_memory_that_does_not_take_one_image(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    model = generator(pipelines("sd"), height=16, width=24)
    give(model, 0, FULL[0], monkeypatch)
    with pytest.raises(UserError) as caught:
        model.sample(["a cat"] * 2, [1, 2])
    text = str(caught.value)
    assert f"The memory of cpu does not do for {pipelines('sd')} (one image of 16 x 24 pixels in float32)" in text
    for way_out in ("offload=model", "slicing=true", "tiling=true", "dtype=float16", "generator.height"):
        assert way_out in text


def test_another_error_is_not_taken_for_a_full_memory(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    model = generator(pipelines("sd"))
    asked = give(model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), monkeypatch)
    with pytest.raises(RuntimeError, match="mat1"):
        model.sample(["a cat"] * 2, [1, 2])
    assert asked == [2]


def test_weights_that_do_not_fit_alone(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DiffusionPipeline

    def full(*_: object, **__: object) -> None:
        raise FULL[0]

    monkeypatch.setattr(DiffusionPipeline, "to", full)
    with pytest.raises(UserError, match=r"does not do for .*sd \(its weights alone\).*generator.offload=model"):
        generator(pipelines("sd")).load()


# --- no numbers ------------------------------------------------------------------------------------


@pytest.fixture
def overflowing(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> DiffusionGenerator:
    """A model whose every second image of a batch overflows."""
    model = generator(pipelines("sd"), dtype="bfloat16")
    model.load()
    true_call = type(model.pipeline).__call__

    @functools.wraps(true_call)
    def call(pipeline: Any, **arguments: Any) -> Any:
        done = true_call(pipeline, **arguments)
        done.images[1::2, 3, 4, 0] = np.nan
        return done

    monkeypatch.setattr(type(model.pipeline), "__call__", call)
    return model


def test_an_image_that_is_no_number_has_a_reason_in_its_place(overflowing: DiffusionGenerator) -> None:
    one, two, three = overflowing.sample(["a cat"] * 3, [1, 2, 3])
    assert two == "not a number (overflow in half precision: try generator.dtype=bfloat16 or float32)"
    assert not isinstance(one, str)
    assert not isinstance(three, str)


def test_its_row_says_so_and_another_is_made(overflowing: DiffusionGenerator, tmp_path: Path) -> None:
    overflowing.batch_size = 3
    synthetic = SyntheticSet(tmp_path, overflowing)
    assert synthetic.ensure({"cat": 3}) == 3
    rows = synthetic.rows()
    assert [bool(row.rejected) for row in rows] == [False, True, False, False]
    assert rows[1].rejected.startswith("not a number (overflow")
    assert (rows[1].sha256, rows[1].dtype) == ("", "bfloat16")
    assert not (tmp_path / "cat/000001.png").exists()


# --- ways to need less -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart"])
def test_slicing_and_tiling_change_images_by_rounding_at_most(kind: str, pipelines: Pipelines) -> None:
    texts, seeds = ["a cat", "a dog"], [1, 2]
    size = {"height": 32, "width": 32}
    plain = pixels(generator(pipelines(kind), **size).sample(texts, seeds))
    model = generator(pipelines(kind), **size, slicing=True)
    assert abs(pixels(model.sample(texts, seeds)) - plain).max() <= 2
    assert model.pipeline.vae.use_slicing
    tiled = generator(pipelines(kind), **size, tiling=True)
    tiled.load()
    assert tiled.pipeline.vae.use_tiling


def test_a_way_that_a_pipeline_does_not_offer() -> None:
    class Plain:
        vae = object()

    with pytest.raises(UserError) as caught:
        memory.place("a model", Plain(), "cpu", None, slicing=True, tiling=True, compiled=True)
    assert str(caught.value).splitlines() == [
        "The model a model cannot be used like this:",
        "  - generator.slicing=true: a Plain offers none; set it to false",
        "  - generator.tiling=true: a Plain offers none; set it to false",
        "  - generator.compile=true: a Plain has no unet or transformer; set it to false",
    ]


def test_nothing_is_offloaded_to_where_it_is(pipelines: Pipelines) -> None:
    with pytest.raises(UserError, match=r"generator.offload=model: with generator.device=cpu all is in main memory"):
        generator(pipelines("sd"), offload="model", device="cpu").load()


@pytest.mark.parametrize("way", memory.OFFLOADS)
def test_offloading_takes_the_place_of_moving(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, Any]] = []

    class Pipeline:
        unet = object()

        def enable_model_cpu_offload(self, device: str) -> None:
            done.append(("model", device))

        def enable_sequential_cpu_offload(self, device: str) -> None:
            done.append(("sequential", device))

    memory.place("a model", Pipeline(), "cuda", way, slicing=False, tiling=False, compiled=False)
    assert done == [(way, "cuda")]


def test_offloading_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"generator.offload=model: needs .* pip install 'synthaug\[offload\]'"):
        generator(Path("someone/a-model"), offload="model").check(["cat"])


def test_the_denoiser_is_compiled_if_that_was_asked_for(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    for kind in ("sd", "sd3"):
        generator(pipelines(kind), compile=True).load()
    assert compiled == ["UNet2DConditionModel", "SD3Transformer2DModel"]


def test_what_cannot_be_compiled_is_no_traceback(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    model = generator(pipelines("sd"), compile=True)
    give(model, 0, BackendCompilerFailed(lambda: None, RuntimeError("no compiler"), None), monkeypatch)
    with pytest.raises(UserError, match=r"cannot be compiled here \(.*no compiler.*set generator.compile=false"):
        model.sample(["a cat"], [1])
