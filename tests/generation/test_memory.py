"""Batches that a memory does not take, images that are not numbers, and the ways to need less memory."""

import functools
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthaug.errors import UserError
from synthaug.generation import diffusion, memory
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.synthetic_set import SyntheticSet
from tests.factories.pipelines import Pipelines, build_generator, pixels

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB, other allocations: 1.00 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1000 bytes."),
    MemoryError("Unable to allocate 3 GiB for an array"),
]


@pytest.fixture(autouse=True)
def no_known_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not run out of memory yet."""
    monkeypatch.setattr(diffusion, "_fitting_batch", {})


def limit_memory(
    model: DiffusionGenerator, most: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Let a pipeline fail, in the middle of a call, for more than `most` images; returns the size of each call."""
    model.load()
    sizes: list[int] = []
    true_call = type(model.pipeline).__call__

    @functools.wraps(true_call)
    def call(pipeline: Any, **arguments: Any) -> Any:
        sizes.append(len(arguments["prompt"]))
        if len(arguments["prompt"]) > most:
            for state in arguments["generator"]:  # noise was drawn before the memory was full
                torch.randn(3, generator=state)
            raise error
        return true_call(pipeline, **arguments)

    monkeypatch.setattr(type(model.pipeline), "__call__", call)
    return sizes


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:20])
def test_errors_of_a_full_memory_are_recognized(error: BaseException) -> None:
    assert memory.is_out_of_memory(error)
    assert not memory.is_out_of_memory(RuntimeError(str(error)[:9]))


def test_a_batch_that_is_too_large_is_made_in_halves(
    pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    texts, seeds = [f"a {n}" for n in range(7)], list(range(7))
    expected = pixels(build_generator(pipelines("sd")).sample(texts, seeds))
    model = build_generator(pipelines("sd"))
    sizes = limit_memory(model, 2, FULL[1], monkeypatch)
    with caplog.at_level(logging.WARNING, "synthaug"):
        images = pixels(model.sample(texts, seeds))
    assert abs(images - expected).max() <= 2
    assert sizes == [7, 3, *[1] * 7]
    assert [record.args for record in caplog.records] == [(7, "cpu", 3), (3, "cpu", 1)]


def test_the_batch_size_that_fits_is_kept_for_the_process(
    pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_generator(pipelines("sd"))
    sizes = limit_memory(model, 2, FULL[0], monkeypatch)
    model.sample(["a cat"] * 4, [1, 2, 3, 4])
    assert sizes == [4, 2, 2]
    build_generator(pipelines("sd")).sample(["a cat"] * 4, [1, 2, 3, 4])  # of the next arm
    assert sizes == [4, 2, 2, 2, 2]
    build_generator(pipelines("sd"), height=8, width=8).sample(
        ["a cat"] * 2, [1, 2]
    )  # smaller images are another matter
    assert sizes[-1] == 2


def test_a_memory_that_does_not_take_one_image(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_generator(pipelines("sd"), height=16, width=24)
    limit_memory(model, 0, FULL[0], monkeypatch)
    with pytest.raises(UserError) as caught:
        model.sample(["a cat"] * 2, [1, 2])
    text = str(caught.value)
    assert re.search(rf"cpu .*{pipelines('sd')} \(.*16 x 24 pixels in float32\)", text)
    for remedy in ("offload=model", "slicing=true", "tiling=true", "dtype=float16", "generator.height"):
        assert remedy in text


def test_another_error_is_not_taken_for_a_full_memory(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_generator(pipelines("sd"))
    sizes = limit_memory(model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), monkeypatch)
    with pytest.raises(RuntimeError, match="mat1"):
        model.sample(["a cat"] * 2, [1, 2])
    assert sizes == [2]


def test_weights_that_do_not_fit_alone(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DiffusionPipeline

    def full(*_: object, **__: object) -> None:
        raise FULL[0]

    monkeypatch.setattr(DiffusionPipeline, "to", full)
    with pytest.raises(UserError, match=r"cpu .*sd \(its weights alone\).*generator.offload=model"):
        build_generator(pipelines("sd")).load()


# --- no numbers ------------------------------------------------------------------------------------


@pytest.fixture
def overflowing(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> DiffusionGenerator:
    """A model whose every second image of a batch overflows."""
    model = build_generator(pipelines("sd"), dtype="bfloat16")
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
    first, second, third = overflowing.sample(["a cat"] * 3, [1, 2, 3])
    assert isinstance(second, str)
    assert "generator.dtype=" in second
    assert not isinstance(first, str)
    assert not isinstance(third, str)


def test_its_row_says_so_and_another_is_made(overflowing: DiffusionGenerator, tmp_path: Path) -> None:
    overflowing.batch_size = 3
    synthetic = SyntheticSet(tmp_path, overflowing)
    assert synthetic.ensure({"cat": 3}) == 3
    rows = synthetic.rows()
    assert [bool(row.rejected) for row in rows] == [False, True, False, False]
    assert (rows[1].sha256, rows[1].dtype) == ("", "bfloat16")
    assert not (tmp_path / "cat/000001.png").exists()


# --- ways to need less -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart"])
def test_slicing_and_tiling_change_images_by_rounding_at_most(kind: str, pipelines: Pipelines) -> None:
    texts, seeds = ["a cat", "a dog"], [1, 2]
    size = {"height": 32, "width": 32}
    plain = pixels(build_generator(pipelines(kind), **size).sample(texts, seeds))
    model = build_generator(pipelines(kind), **size, slicing=True)
    assert abs(pixels(model.sample(texts, seeds)) - plain).max() <= 2
    assert model.pipeline.vae.use_slicing
    tiled = build_generator(pipelines(kind), **size, tiling=True)
    tiled.load()
    assert tiled.pipeline.vae.use_tiling


def test_a_way_that_a_pipeline_does_not_offer() -> None:
    class Plain:
        vae = object()

    with pytest.raises(UserError) as caught:
        memory.place_pipeline("a model", Plain(), "cpu", None, slicing=True, tiling=True, compiled=True)
    headline, *problems = str(caught.value).splitlines()
    assert "a model" in headline
    assert [problem.partition(": ")[0] for problem in problems] == [
        "  - generator.slicing=true", "  - generator.tiling=true", "  - generator.compile=true"
    ]  # fmt: skip


def test_nothing_is_offloaded_to_where_it_is(pipelines: Pipelines) -> None:
    with pytest.raises(UserError, match=r"generator.offload=model: .*generator.device=cpu"):
        build_generator(pipelines("sd"), offload="model", device="cpu").load()


@pytest.mark.parametrize("way", memory.OFFLOADS)
def test_offloading_takes_the_place_of_moving(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, Any]] = []

    class Pipeline:
        unet = object()

        def enable_model_cpu_offload(self, device: str) -> None:
            done.append(("model", device))

        def enable_sequential_cpu_offload(self, device: str) -> None:
            done.append(("sequential", device))

    memory.place_pipeline("a model", Pipeline(), "cuda", way, slicing=False, tiling=False, compiled=False)
    assert done == [(way, "cuda")]


def test_offloading_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"generator.offload=model: needs .* pip install 'synthaug\[offload\]'"):
        build_generator(Path("someone/a-model"), offload="model").check(["cat"])


def test_the_denoiser_is_compiled_if_that_was_sizes_for(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    for kind in ("sd", "sd3"):
        build_generator(pipelines(kind), compile=True).load()
    assert compiled == ["UNet2DConditionModel", "SD3Transformer2DModel"]


def test_what_cannot_be_compiled_is_no_traceback(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    model = build_generator(pipelines("sd"), compile=True)
    limit_memory(model, 0, BackendCompilerFailed(lambda: None, RuntimeError("no compiler"), None), monkeypatch)
    with pytest.raises(UserError, match=r"\(.*no compiler.*generator.compile=false"):
        model.sample(["a cat"], [1])
