"""Guidance by real images through the commands as a user types them, with small models of the true classes on disk."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug.files import sha256
from synthaug.runs import contents
from tests.factories.commands import Commands
from tests.factories.pipelines import save_controlnet, save_ip_adapter, save_pipeline, save_xl

SIZED = [f"generator.{key}" for key in ("height=16", "width=16", "num_inference_steps=2", "variant=null")]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    commands = Commands(tmp_path_factory.mktemp("commands"))
    for save, name in ((save_pipeline, "sd"), (save_xl, "xl")):
        save(commands.folder / name)
        save_controlnet(commands.folder / f"{name}_controlnet", commands.folder / name)
    save_ip_adapter(commands.folder / "ip", width=16)
    return commands


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_ip_adapter_shows_the_model_each_real_image_in_turn(commands: Commands) -> None:
    adapter = [f"generator.ip_adapter.{key}" for key in ("model=ip", "subfolder=models", "file=adapter.safetensors")]
    overrides = ["generator=sdxl_ip_adapter", "generator.model=xl", "quality=null", *SIZED, *adapter]
    pixels = []
    for scale, count in ((0.6, 12), (0.0, 2)):
        scaled = [f"generator.ip_adapter.scale={scale}", f"generator.name=scale{scale}", f"per_class={count}"]
        code, printed = commands.run(*overrides, *scaled, command="generate")
        assert code == 0, printed
        (folder,) = (commands.folder / "outputs/synthetic/photos").glob(f"scale{scale}-*")
        rows = manifest(folder)
        for name in ("cat", "dog"):
            counts = Counter(row["source"] for row in rows if row["class_name"] == name)
            assert sorted(counts.values()) == ([1] * 8 + [2] * 2 if count == 12 else [1, 1]), "balanced"
            assert all(path.startswith(f"train/{name}/") for path in counts)
        assert all(row["source_sha256"] == sha256(commands.photos / row["source"]) for row in rows)
        pixels.append(np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*/00000[01].png"))]))
    assert (pixels[0] != pixels[1]).any(axis=(1, 2, 3)).all(), "the scale counts in every image"


def test_arm_is_trained_on_images_that_follow_its_edges(commands: Commands) -> None:
    overrides = ["debug=true", "generator=sd15_controlnet", "generator.model=sd", *SIZED]
    code, printed = commands.run("-m", "mix=real,55", *overrides, "generator.controlnet.model=xl_controlnet")
    assert code == 2, printed
    assert "No run was started:" in printed
    assert "cross_attention_dim is 16, that of sd 8" in printed
    code, printed = commands.run("mix=55", *overrides, "generator.controlnet.model=sd_controlnet")
    assert code == 0, printed
    (run,) = commands.study("default-debug").glob("photos/55-*/seed0")
    arm = contents.read_mix(run)
    real = {Path(row.path).relative_to("photos").as_posix() for row in arm if row.origin == "real"}
    (folder,) = commands.study("default-debug").glob("synthetic/photos/sd15_controlnet-*")
    sources = {row["source"] for row in manifest(folder)}
    assert len(sources) == 8
    assert sources <= real
