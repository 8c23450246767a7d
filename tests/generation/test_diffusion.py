"""The generator over diffusers, on tiny pipelines of the true classes and on the embedded model."""

import contextlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.hub import locate
from synthaug.generation.synthetic_set import SyntheticSet, image_seed
from tests.factories.pipelines import SIDE, build_generator, load_error, pixels, save_pipeline

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = "pkg://synthaug.assets/tiny_digits"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"


@pytest.fixture(scope="session")
def tiny(pipelines: Callable[[str], Path]) -> Path:
    """A pipeline of the kind of Stable Diffusion 1.5; read only."""
    return pipelines("sd")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """The same pipeline, to be broken."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def accepted(model: DiffusionGenerator, texts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
    """The images, where every one of them could be made."""
    return [image for image in model.sample(texts, seeds) if not isinstance(image, str)]


def refusal(model: Path | str, **settings: Any) -> str:
    """The error of loading; it names the model, has a cause and a remedy, and stays readable."""
    text = load_error(build_generator(model, **settings))
    headline, cause, *rest = text.splitlines()
    assert str(model) in headline
    assert cause.startswith("  cause: ")
    assert sum(line.startswith("  remedy: ") for line in rest) == 1
    assert "Traceback" not in text
    return text


# --- images ----------------------------------------------------------------------------------------


def test_one_image_per_prompt(tiny: Path) -> None:
    images = accepted(build_generator(tiny), ["a cat", "a dog", "a cat"], [1, 2, 3])
    assert [(image.mode, image.size) for image in images] == [("RGB", (SIDE, SIDE))] * 3
    assert np.ptp(pixels(images), axis=(1, 2, 3)).min() > 20
    assert abs(pixels(images)[0] - pixels(images)[2]).max() > 20  # another seed is another image


def test_seed_and_prompt_decide_whatever_the_batch(tiny: Path) -> None:
    model = build_generator(tiny)
    texts, seeds = ["a cat", "a dog", "a sea lion", "a cat"], [5, 6, 2**63 - 1, 7]
    together = pixels(model.sample(texts, seeds))
    assert (pixels(model.sample(texts, seeds)) == together).all()
    turned = pixels(model.sample(texts[::-1], seeds[::-1]))[::-1]
    assert abs(turned - together).max() <= 1
    alone = np.concatenate([pixels(model.sample([text], [seed])) for text, seed in zip(texts, seeds, strict=True)])
    assert abs(alone - together).max() <= 2
    changed = pixels(model.sample(["a dog", *texts[1:]], seeds))
    assert (changed[1:] == together[1:]).all()
    assert (changed[0] != together[0]).any()


def test_the_rest_of_the_program_keeps_its_random_state(tiny: Path) -> None:
    import torch

    torch.manual_seed(0)
    before = torch.get_rng_state()
    build_generator(tiny).sample(["a cat"], [1])
    assert (torch.get_rng_state() == before).all()


def test_a_set_of_a_real_pipeline_does_not_depend_on_how_it_grew(tiny: Path, tmp_path: Path) -> None:
    at_once = SyntheticSet(tmp_path / "at once", build_generator(tiny, batch_size=8))
    at_once.ensure({"cat": 3, "dog": 2})
    grown = SyntheticSet(tmp_path / "grown", build_generator(tiny, batch_size=2, device="cpu"))
    grown.ensure({"dog": 1})
    grown.ensure({"dog": 2, "cat": 3})
    pairs = list(zip(at_once.samples(["cat", "dog"]), grown.samples(["cat", "dog"]), strict=True))
    assert len(pairs) == 5
    for first, second in pairs:
        assert (first.class_name, first.order) == (second.class_name, second.order)
        assert abs(pixels([Image.open(first.path)]) - pixels([Image.open(second.path)])).max() <= 2
    row = grown.rows()[0]
    assert (row.class_name, row.index, row.seed) == ("cat", 0, image_seed("cat", "a cat", 0))
    assert (row.model, row.revision, row.scheduler, row.steps, row.guidance) == (
        str(tiny), "", "PNDMScheduler", "2", "7.5"
    )  # fmt: skip
    assert all([row.diffusers, row.transformers, row.torch, row.python])
    # Where and in which portions is nobody's setting: a third generator takes either set as its own.
    assert SyntheticSet(tmp_path / "grown", build_generator(tiny, batch_size=1)).ensure({"cat": 3}) == 0


def test_guidance_and_negative_prompt_have_an_effect(tiny: Path) -> None:
    def cat(**settings: Any) -> NDArray[np.int64]:
        return pixels(build_generator(tiny, **settings).sample(["a cat"], [1]))

    plain, guided = cat(guidance_scale=1), cat(guidance_scale=7.5)
    assert (plain != guided).any()
    assert (cat(guidance_scale=7.5, negative_prompt="blurry") != guided).any()
    assert (cat(guidance_scale=1.0) == plain).all()


def test_crop_keeps_the_centre_and_mode_is_of_the_real_images(tiny: Path) -> None:
    whole = accepted(build_generator(tiny), ["a cat"], [1])[0]
    small = accepted(build_generator(tiny, crop=10, mode="L"), ["a cat"], [1])[0]
    assert (small.mode, small.size) == ("L", (10, 10))
    assert small.tobytes() == whole.crop((3, 3, 13, 13)).convert("L").tobytes()
    with pytest.raises(UserError, match=r"generator.crop=20 .* 16x16 pixels .*sd"):
        build_generator(tiny, crop=20).sample(["a cat"], [1])


def test_height_and_width(tiny: Path) -> None:
    assert accepted(build_generator(tiny, height=24, width=40), ["a cat"], [1])[0].size == (40, 24)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", None])
def test_dtype(tiny: Path, dtype: str | None) -> None:
    model = build_generator(tiny, dtype=dtype)
    model.load()
    names = {str(parameter.dtype) for parameter in model.pipeline.unet.parameters()}
    assert names == {f"torch.{dtype or 'float32'}"}
    assert len(model.sample(["a cat"], [1])) == 1


def test_weights_stored_in_half_precision_are_computed_in_full(tmp_path: Path) -> None:
    folder = save_pipeline(tmp_path / "half", variant="fp16")
    model = build_generator(folder, variant="fp16")
    model.load()
    assert {str(parameter.dtype) for parameter in model.pipeline.text_encoder.parameters()} == {"torch.float32"}


def test_unload_gives_the_pipeline_away_and_the_next_image_loads_it_again(tiny: Path) -> None:
    model = build_generator(tiny)
    first = pixels(model.sample(["a cat"], [1]))
    pipeline = model.pipeline
    model.load()
    assert model.pipeline is pipeline
    model.unload()
    assert model.pipeline is None
    assert (pixels(model.sample(["a cat"], [1])) == first).all()


# --- scheduler -------------------------------------------------------------------------------------


def test_another_scheduler_keeps_the_noise_of_the_model(tiny: Path) -> None:
    model = build_generator(tiny, scheduler="DPMSolverMultistepScheduler")
    assert model.provenance()["scheduler"] == "DPMSolverMultistepScheduler"
    config = model.pipeline.scheduler.config
    assert (config.beta_schedule, config.beta_start, config.beta_end) == ("scaled_linear", 0.00085, 0.012)
    assert (pixels(model.sample(["a cat"], [1])) != pixels(build_generator(tiny).sample(["a cat"], [1]))).any()


@pytest.mark.parametrize("wanted", ["DDIMScheduler", "DDPMScheduler"])
def test_latents_are_not_clipped_by_a_scheduler_that_would_by_itself(tiny: Path, wanted: str) -> None:
    model = build_generator(tiny, scheduler=wanted)
    model.load()
    assert model.pipeline.scheduler.config.clip_sample is False


@pytest.mark.parametrize("name", ["DPMSolver", "UNet2DModel", "", "__name__"])
def test_a_scheduler_that_is_none_is_named_before_anything_is_loaded(name: str) -> None:
    with pytest.raises(UserError, match=f"generator.scheduler={name}: .*EulerDiscreteScheduler"):
        build_generator("/nowhere", scheduler=name).load()


def test_a_scheduler_of_another_kind_of_model_is_refused_with_those_that_fit(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"generator.scheduler=Flow.*sd, .* PNDMScheduler; .*DDIMScheduler, "):
        build_generator(tiny, scheduler="FlowMatchEulerDiscreteScheduler").load()


# --- settings --------------------------------------------------------------------------------------


def test_settings_are_all_that_changes_images_and_no_more() -> None:
    image_settings = {"model": "m", "num_inference_steps": 9, "crop": 4, "dtype": "float16", "revision": "main"}
    model = DiffusionGenerator(**image_settings, prompt="p", batch_size=3, device="cpu")  # type: ignore[arg-type]
    assert image_settings.items() <= model.settings.items()
    rest = {name for name in vars(model) if not name.startswith("_")} - set(model.settings)
    assert rest == {
        "prompt",
        "batch_size",
        "device",
        "classes",
        "offload",
        "slicing",
        "tiling",
        "compile",
        "allow_pickle",
    }
    assert json.loads(json.dumps(model.settings)) == model.settings


def test_wrong_values_are_all_named_at_once() -> None:
    wrong = {
        "num_inference_steps": 0, "guidance_scale": -1, "batch_size": 0, "crop": 0, "height": 30, "width": 0,
        "mode": "CMYK", "dtype": "half", "max_sequence_length": 0, "offload": "disk",
    }  # fmt: skip
    with pytest.raises(UserError) as caught:
        build_generator("/nowhere", **wrong).load()
    for name, value in wrong.items():
        assert f"generator.{name}={value}: must be" in str(caught.value)


def test_a_negative_prompt_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(UserError, match=r"generator.negative_prompt=blurry: must be .*guidance_scale=0 "):
        build_generator("/nowhere", guidance_scale=0, negative_prompt="blurry").load()


def test_a_device_that_is_not_there(tiny: Path) -> None:
    for device in ("warp", "cuda:97"):
        with pytest.raises(UserError, match=f"generator.device={device} .*generator.device=cpu"):
            build_generator(tiny, device=device).load()


# --- models that cannot be loaded ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["./missing", "missing/", "/missing/model", "~/missing model", "a/b/c", "..\\model"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(name: str) -> None:
    text = refusal(name)
    assert str(Path(name).expanduser().absolute()) in text
    assert "generator.model=<folder>" in text
    assert "hub" not in text


def test_package_data_that_is_not_there() -> None:
    assert "'no_such_package'" in refusal("pkg://no_such_package/model")
    assert "''" in refusal("pkg://")
    assert str(ROOT / "synthaug" / "assets" / "missing") in refusal("pkg://synthaug.assets/missing")


def test_a_folder_that_holds_no_pipeline(copy: Path) -> None:
    text = refusal(copy.parent)
    assert f"{copy.parent} has no model_index.json" in text
    assert f"generator.model={copy} " in text
    assert "generator.file=" in refusal(copy / "unet")
    assert "generator.base" in refusal(copy / UNET)


def remove(name: str) -> Callable[[Path], object]:
    return lambda model: (model / name).unlink()


def cut(name: str) -> Callable[[Path], object]:
    return lambda model: (model / name).write_bytes((model / name).read_bytes()[:-100])


def lose_a_tensor(name: str) -> Callable[[Path], object]:
    def change(model: Path) -> None:
        from safetensors.torch import load, save_file

        tensors = load((model / name).read_bytes())
        del tensors[sorted(tensors)[-1]]
        save_file(tensors, model / name, metadata={"format": "pt"})

    return change


def rewrite(old: str, new: str) -> Callable[[Path], object]:
    def change(model: Path) -> None:
        path = model / "model_index.json"
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (remove(UNET), "no file named diffusion_pytorch_model.safetensors .*unet"),
        (remove(TEXT), "no file named model.safetensors .*text_encoder"),
        (remove("unet/config.json"), "no file named config.json .*unet"),
        (lambda model: shutil.rmtree(model / "vae"), "no file named config.json"),
        (lambda model: shutil.rmtree(model / "tokenizer"), "its tokenizer has no words"),
        (remove("tokenizer/tokenizer.json"), "its tokenizer has no words"),
        (cut(UNET), "unet/diffusion_pytorch_model.safetensors is cut short"),
        (cut(TEXT), "text_encoder/model.safetensors is cut short"),
        (lose_a_tensor(UNET), "newly initialized"),
        (lose_a_tensor(TEXT), "newly initialized"),
        (rewrite("{", ""), "model_index.json is damaged"),
        (rewrite("StableDiffusionPipeline", "DDPMPipeline"), "DDPMPipeline"),
    ],
)  # fmt: skip
def test_a_damaged_model(copy: Path, change: Callable[[Path], object], cause: str) -> None:
    change(copy)
    text = refusal(copy)
    assert re.search(cause, text), text
    assert "fetch it again" in text


def test_a_variant_that_the_folder_has_not(tiny: Path) -> None:
    text = refusal(tiny, variant="fp16")
    assert "`variant=fp16`" in text
    assert "set generator.variant=null" in text


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_pickled_weights_are_refused_unread(copy: Path, part: str) -> None:
    weights = next((copy / part).glob("*.safetensors"))
    weights.with_name("pytorch_model.bin").write_bytes(b"no one may read this")
    weights.unlink()
    text = refusal(copy)
    assert f"its {part} exists as pytorch_model.bin only" in text
    assert "generator.allow_pickle=true" in text


# --- the hub ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that nobody answers for, and an empty cache."""
    from huggingface_hub import constants, hf_api

    monkeypatch.setattr(hf_api.api, "endpoint", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def test_a_hub_out_of_reach(hub: Path) -> None:
    text = refusal("someone/a-model")
    assert "(ConnectError" in text
    assert f" {hub} " in text
    for remedy in ("generator.model=<folder>", "HF_HOME", "HF_HUB_OFFLINE=1", "hf auth login", "generator=folder"):
        assert remedy in text
    assert str(hub.parent / "someone" / "a-model") in text


def test_a_hub_that_does_not_answer_is_asked_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries by themselves ask again for half a minute."""
    from huggingface_hub import hf_api

    requests = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    requests.append(connection.recv(1000))
                    connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        monkeypatch.setattr(hf_api.api, "endpoint", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert "the hub cannot be reached" in refusal("someone/a-model")
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert len(requests) == 1
    assert requests[0].startswith(b"GET /api/models/someone/a-model")


def test_offline_by_request(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "the hub cannot be reached (HF_HUB_OFFLINE is set)" in refusal("someone/a-model")


def test_a_name_that_the_hub_cannot_have(hub: Path) -> None:
    assert "Repo id must use" in refusal("someone's/model")


@pytest.fixture
def cached(hub: Path, tiny: Path) -> str:
    """The id of a model that an earlier session fetched."""
    folder = hub / "models--someone--a-model"
    shutil.copytree(tiny, folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return "someone/a-model"


@pytest.mark.parametrize("offline", [True, False])
def test_the_cache_does_where_the_hub_does_not(
    cached: str, tiny: Path, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    model = build_generator(cached)
    assert model.provenance()["revision"] == COMMIT
    assert (pixels(model.sample(["a cat"], [1])) == pixels(build_generator(tiny).sample(["a cat"], [1]))).all()


def test_half_a_model_in_the_cache(cached: str, hub: Path) -> None:
    folder = hub / "models--someone--a-model" / "snapshots" / COMMIT
    (folder / UNET).unlink()
    assert str(folder) in refusal(cached) or "does not hold the whole model" in refusal(cached)


def test_a_revision_that_is_not_cached(cached: str) -> None:
    assert "does not hold the whole model" in refusal(cached, revision="f" * 40)


# --- quiet -----------------------------------------------------------------------------------------

SESSION = """
import sys, warnings
from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator

assert not {"torch", "diffusers", "transformers", "huggingface_hub"} & set(sys.modules), "imported too early"
model = DiffusionGenerator(sys.argv[1], "{class_name}", num_inference_steps=2, scheduler="DDIMScheduler", batch_size=2)
model.sample(["a cat " * 40, "a dog"], [1, 2])
model.provenance()
try:
    DiffusionGenerator("someone/a-model", "{class_name}").load()
except UserError:
    print("done")
"""


def test_nothing_is_imported_early_and_nothing_reaches_the_screen(tiny: Path, tmp_path: Path) -> None:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(tiny)],
        env={**quiet, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_what_was_silenced_speaks_again_afterwards(tiny: Path) -> None:
    import diffusers
    import transformers

    libraries = [diffusers, transformers]
    loggers = [logging.getLogger(library.__name__) for library in libraries]

    def state() -> list[object]:
        shown = [library.utils.logging.is_progress_bar_enabled() for library in libraries]
        return [
            *shown,
            *((list(logger.handlers), logger.propagate, logger.level) for logger in loggers),
            list(warnings.filters),
        ]

    for library in libraries:
        library.utils.logging.enable_progress_bar()
    before = state()
    assert before[:2] == [True, True]
    model = build_generator(tiny)
    model.sample(["a cat"], [1])
    assert state() == before
    with pytest.raises(UserError):
        build_generator(tiny, variant="fp16").load()
    assert state() == before


# --- the embedded model ----------------------------------------------------------------------------


@pytest.fixture
def embedded() -> Iterator[DiffusionGenerator]:
    folder = locate(EMBEDDED)
    if folder is None or not (folder / "model_index.json").is_file():
        pytest.skip("the embedded model is not trained yet")
    model = DiffusionGenerator(
        EMBEDDED, "a handwritten digit {class_name}", num_inference_steps=16, guidance_scale=2.0, crop=28, mode="L",
        dtype="float32", batch_size=8,
    )  # fmt: skip
    yield model
    model.unload()


def test_the_embedded_model_goes_the_same_way(embedded: DiffusionGenerator, tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, embedded)
    assert synthetic.ensure({"0": 4, "1": 4}) == 8
    zeros, ones = (
        pixels([Image.open(sample.path) for sample in synthetic.samples(["0", "1"]) if sample.class_name == name])
        for name in "01"
    )
    assert zeros.shape == ones.shape == (4, 28, 28)
    assert min(zeros.max(), ones.max()) > 150
    # Strokes on black; a one has no ink at both sides, a zero none in the middle.
    assert np.median(np.concatenate([zeros, ones])) < 30
    assert zeros[:, 12:16, 12:16].mean() < ones[:, 12:16, 12:16].mean()
