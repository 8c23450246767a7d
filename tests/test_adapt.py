"""The command `adapt`: which images it takes, what it leaves behind, and how the generator that it writes is used."""

import logging
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image, ImageDraw

from synthaug import adapt
from synthaug.arms import adapting, build, mixing, real_share
from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution import factory
from synthaug.files import read_json
from synthaug.generation import adaptation, autoencoder
from synthaug.generation.adapter_record import read_record
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.runs import identity
from tests.factories import commands
from tests.factories.images import write_dataset

FEW = ["adapt.steps=2", "adapt.batch_size=2", "adapt.rank=2"]


@pytest.fixture
def strokes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of ones and zeros, which the embedded model's autoencoder shows; the folder of the command."""
    monkeypatch.chdir(tmp_path)
    schema.register()
    random = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 2), ("test", 3)):
        for name in ("0", "1"):
            folder = tmp_path / "strokes" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = Image.new("L", (28, 28))
                left, top = random.integers(4, 12, 2).tolist()
                box = (left, top, left + 10, top + 14)
                draw = ImageDraw.Draw(image)
                draw.ellipse(box, outline=255, width=3) if name == "0" else draw.line(box, fill=255, width=3)
                image.putpixel((0, 0), int(random.integers(0, 40)))
                image.save(folder / f"{number:02d}.png")
    return tmp_path


def job_of(*arguments: str, data: str = "strokes") -> Job:
    (job,) = commands.jobs_of("dataset=imagefolder", f"dataset.root={data}", "dataset.image_size=28", *FEW, *arguments)
    return job


def train(*arguments: str) -> Path:
    job = job_of(*arguments)
    adapt.adapt(job)
    (folder,) = (path for path in (job.output_dir / "adapters/strokes").iterdir() if path.name[0] != ".")
    return folder


def test_adapter_has_the_real_images_of_the_arm_and_all_that_made_it(strokes: Path) -> None:
    folder = train("mix=64", "seed=3", "adapt.images_per_class=2")
    assert folder.name == "tiny_digits-lora-real0.4-seed3"
    assert sorted(path.name for path in folder.iterdir()) == ["adapter.json", "pytorch_lora_weights.safetensors"]
    record = read_record(folder)
    assert record is not None
    job = job_of("mix=64", "seed=3")
    real = build.list_real(job.settings["dataset"], job.output_dir).real
    share = real_share.select(real, job.settings)
    chosen = [s for name in "01" for s in mixing.shuffled([s for s in share if s.class_name == name], 3)[:2]]
    assert len(share) == 8
    assert sorted(image.sha256 for image in record.images) == sorted(sample.sha256 for sample in chosen)
    assert {image.path for image in record.images} == {s.path.relative_to("strokes").as_posix() for s in chosen}
    assert record.recipe["training"]["seed"] == 3
    assert record.recipe["prompts"] == {"0": ["a handwritten digit 0"], "1": ["a handwritten digit 1"]}
    assert len(record.losses["all"]) == 2
    assert {"weights", "torch", "diffusers", "model"} <= record.origin.keys()


def test_fewer_images_are_among_more(strokes: Path) -> None:
    def images(*arguments: str) -> set[str]:
        job = job_of("mix=real", *arguments)
        generator = factory.make_generator(job)
        plan = adapting.plan(job.settings, generator, lambda: None)
        return {sample.sha256 for samples in plan.sources.by_class.values() for sample in samples}

    few, more, every = images("adapt.images_per_class=2"), images("adapt.images_per_class=5"), images()
    assert (len(few), len(more), len(every)) == (4, 10, 20)
    assert few < more < every
    with pytest.raises(UserError, match=r"adapt\.images_per_class=11: .*\n  - 0: 10 of 11"):
        images("adapt.images_per_class=11")
    with pytest.raises(UserError, match="0: 0 of 1"):
        images("mix=synthetic")


@pytest.mark.parametrize("typed", ["adapt.per_class=false", "adapt.per_class=true", "adapt.method=textual_inversion"])
def test_generator_that_was_written_is_found_and_samples(strokes: Path, typed: str) -> None:
    path = adapt.adapt(job_of("mix=64", typed, "adapt.name=mine"))
    assert path == Path("outputs/conf/generator/mine.yaml")
    assert path.read_text(encoding="utf-8").startswith("# tiny_digits adapted to strokes")
    (job,) = commands.jobs_of(
        "--config-dir", "outputs/conf", "generator=mine", "mix=64", "dataset=imagefolder", "dataset.root=strokes"
    )
    assert job.settings["generator"]["name"] == "mine"
    adapted, plain = factory.make_generator(job), factory.make_generator(job_of("mix=64"))
    assert isinstance(adapted, DiffusionGenerator)
    adapted.check(["0", "1"])
    assert job.synthetic_set != job_of("mix=64").synthetic_set
    prompts = build.make_prompts(job.settings, adapted)
    assert prompts.prompt("1", 0) == f"a handwritten digit {'<1>' if 'inversion' in typed else '1'}"
    images = [
        np.asarray(generator.sample([text], [7], classes=["1"])[0])
        for generator, text in ((adapted, prompts.prompt("1", 0)), (plain, "a handwritten digit 1"))
    ]
    assert (images[0] != images[1]).any()
    folder = Path("outputs/adapters/strokes/mine")
    expected = ["adapter.json", *(["pytorch_lora_weights.safetensors"] if "false" in typed else ["0", "1"])]
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


def test_printed_command_is_the_same_arm_with_the_new_generator(
    strokes: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["dataset=imagefolder", "dataset.root=strokes", "mix=64", "generator=tiny_digits", *FEW]
    monkeypatch.setattr("sys.argv", ["adapt", *typed, "dataset.name=my strokes"])
    with caplog.at_level(logging.INFO):
        adapt.adapt(job_of("mix=64", "dataset.name=my strokes"))
    (line,) = (line for line in caplog.text.splitlines() if "synthaug.train" in line)
    words = shlex.split(line)
    assert words[:5] == ["python", "-m", "synthaug.train", "--config-dir", "outputs/conf"]
    (job,) = commands.jobs_of(*words[3:])
    assert (job.settings["mix"]["name"], job.settings["dataset"]["name"]) == ("64", "my strokes")
    assert job.settings["generator"]["lora"]


def test_own_configuration_folder_gets_the_generator(strokes: Path) -> None:
    assert adapt.adapt(job_of("mix=real"), "conf").parent == Path("conf/generator")


def test_generator_keeps_what_sampling_needs(strokes: Path) -> None:
    """Settings that training does without come back."""
    path = adapt.adapt(job_of("mix=real", "generator.slicing=true", "generator.strength=0.5"))
    node = OmegaConf.load(path)
    assert (node.slicing, node.strength, node.crop) == (True, 0.5, 28)
    assert "name" not in node


def test_second_command_finds_the_adapter_and_a_changed_recipe_is_refused(
    strokes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train("mix=64")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}

    def fail(*arguments: Any, **more: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(adaptation, "train_adapter", fail)
    assert train("mix=64") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(UserError, match=r"training\.steps: recorded 2, now 3\n(?s:.)*adapt\.name=<name>"):
        train("mix=64", "adapt.steps=3")
    (strokes / "strokes/train/0/00.png").unlink()
    with pytest.raises(UserError, match="images: recorded "):
        train("mix=real", "adapt.name=tiny_digits-lora-real0.4-seed0")


def test_stopped_training_leaves_no_adapter_and_goes_on(strokes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["mix=64", "adapt.per_class=true", "adapt.name=mine"]
    folder = Path("outputs/adapters/strokes/mine")
    trained: list[str] = []
    train_adapter = adaptation.train_adapter

    def stop(*positional: Any) -> list[float]:
        trained.append(positional[-2])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train_adapter(*positional)

    monkeypatch.setattr(adaptation, "train_adapter", stop)
    with pytest.raises(KeyboardInterrupt):
        adapt.adapt(job_of(*arguments))
    assert not folder.exists()
    assert not Path("outputs/conf").exists()
    adapt.adapt(job_of(*arguments))
    assert trained == ["adapting 0 (1 of 2)", "adapting 1 (2 of 2)", "adapting 1 (2 of 2)"]
    assert sorted(read_json(folder / "adapter.json")["losses"]) == ["0", "1"]
    assert not folder.with_name(".mine").exists()
    assert len(list(folder.rglob("*"))) == 5


def test_stopped_training_of_another_recipe_is_dropped(strokes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*positional: Any) -> list[float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(adaptation, "train_adapter", stop)
        with pytest.raises(KeyboardInterrupt):
            adapt.adapt(job_of("mix=64", "adapt.name=mine"))
    partial = Path("outputs/adapters/strokes/.mine")
    (partial / "losses.json").write_text("{}", encoding="utf-8")
    adapt.adapt(job_of("mix=64", "adapt.name=mine", "adapt.steps=3"))
    record = read_record(Path("outputs/adapters/strokes/mine"))
    assert record is not None
    assert len(record.losses["all"]) == 3


def test_arm_is_told_of_an_adapter_that_saw_more(strokes: Path, caplog: pytest.LogCaptureFixture) -> None:
    train("mix=64")
    adapted = [f"generator.lora={Path('outputs/adapters/strokes/tiny_digits-lora-real0.4-seed0').absolute()}"]

    def check(*arguments: str) -> str:
        job = job_of(*adapted, *arguments)
        real = build.list_real(job.settings["dataset"], job.output_dir).real
        caplog.clear()
        real_share.source_images(real, job.settings, factory.make_generator(job))
        return caplog.text

    assert check("mix=64") == check("mix=55") == check("mix=add100") == ""
    assert "8 real images, 4 of which the arm does not have" in check("mix=82")
    assert "of which the arm does not have" in check("mix=64", "seed=1")
    assert "8 of which the arm does not have" in check("mix=synthetic")
    job = job_of(*adapted, "mix=82")
    real = build.list_real(job.settings["dataset"], job.output_dir).real
    (seen,) = real_share.adapted_images(real, job.settings, factory.make_generator(job))
    assert (seen.folder, seen.images, seen.foreign) == (adapted[0].partition("=")[2], 8, 4)


def test_records_of_other_programs_are_left_alone_and_damaged_ones_named(tmp_path: Path) -> None:
    for content in ("{}", '{"format": 1, "images": 3}'):
        (tmp_path / "adapter.json").write_text(content, encoding="utf-8")
        assert read_record(tmp_path) is None
    for content in ('{"format": "synthaug adapter 1"}', '{"format": "synthaug adapter 1", "images": [1]}', "{"):
        (tmp_path / "adapter.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="is damaged"):
            read_record(tmp_path)


@pytest.mark.parametrize("split", ["val", "test"])
def test_adapter_that_saw_held_out_images_is_refused_by_content(strokes: Path, split: str) -> None:
    folder = train("mix=real")
    (strokes / f"strokes/{split}/0/renamed.png").write_bytes((strokes / "strokes/train/0/03.png").read_bytes())
    (strokes / "strokes/train/0/03.png").unlink()
    job = job_of("mix=64", f"generator.lora={folder.absolute()}")
    real = build.list_real(job.settings["dataset"], job.output_dir).real
    with pytest.raises(UserError, match=rf"1 image of the validation or test set(?s:.)*{split}: train/0/03\.png"):
        real_share.source_images(real, job.settings, factory.make_generator(job))


def test_what_cannot_be_adapted_is_refused_before_a_model_is_loaded(strokes: Path, tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").touch()
    (tmp_path / "texts.yaml").write_text("'0': [a zero]\n'1': [a one]\n", encoding="utf-8")
    for arguments, message in {
        ("generator=folder", "generator.root=pool"): "cannot be adapted",
        ("generator.lora=lora.safetensors",): "has adapters already",
        ("generator.classes=[one]",): "was trained on the classes one only",
        ("adapt.vectors=2",): r"adapt\.vectors=2: must be 1, or adapt\.method=textual_inversion",
        ("adapt.method=textual_inversion", "prompts=file", "prompts.file=texts.yaml"): "a file holds whole prompts",
    }.items():
        with pytest.raises(UserError, match=message):
            adapt.adapt(job_of("mix=64", *arguments))
    assert not Path("outputs/adapters").exists()


def test_photographs_are_none_that_the_embedded_model_can_show(strokes: Path) -> None:
    write_dataset(strokes / "photos", ("0", "1"), size=(28, 28))
    refused = r"autoencoder of pkg://.* cannot show these images \(PSNR(?s:.)*"
    with pytest.raises(UserError, match=refused + r"adapt\.autoencoder=true"):
        adapt.adapt(job_of("mix=real", data="photos"))
    trained = ["adapt.autoencoder=true", "adapt.autoencoder_steps=1", "adapt.name=short"]
    with pytest.raises(UserError, match=refused + r"Raise adapt\.autoencoder_steps=1"):
        adapt.adapt(job_of("mix=real", *trained, data="photos"))


def test_generator_that_was_written_has_the_trained_autoencoder(
    strokes: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["mix=real", "adapt.autoencoder=true", "adapt.autoencoder_steps=2", "adapt.name=both"]

    def stop(*positional: Any) -> list[float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, caplog.at_level(logging.INFO):
        context.setattr(adaptation, "train_adapter", stop)
        with pytest.raises(KeyboardInterrupt):
            adapt.adapt(job_of(*arguments))
    assert re.search(r"it shows the images with \d+\.\d dB, \d+\.\d before", caplog.text)
    with monkeypatch.context() as context:
        context.setattr(autoencoder, "optimize", stop)  # it is trained already
        path = adapt.adapt(job_of(*arguments))
    folder = Path("outputs/adapters/strokes/both")
    assert {path.name for path in folder.rglob("*")} == {
        "adapter.json", "pytorch_lora_weights.safetensors", "vae", "config.json", "diffusion_pytorch_model.safetensors"
    }  # fmt: skip
    record = read_record(folder)
    assert record is not None
    assert record.reconstruction.keys() == {"before", "after"}
    node = OmegaConf.load(path)
    assert node.vae == str((folder / "vae").absolute())
    (job,) = commands.jobs_of("--config-dir", "outputs/conf", "generator=both", "mix=64", "dataset=imagefolder",
                              "dataset.root=strokes")  # fmt: skip
    generator = factory.make_generator(job)
    assert isinstance(generator, DiffusionGenerator)
    generator.check(["0", "1"])
    (image,) = generator.sample(["a handwritten digit 1"], [7])
    assert not isinstance(image, str)
    assert image.size == (28, 28)


@pytest.mark.parametrize(
    "typed",
    [
        "adapt.steps=0",
        "adapt.method=some",
        "adapt.vectors=0",
        "adapt.rank=0",
        "adapt.lr=0",
        "adapt.layers=some",
        "adapt.resolution=100",
        "adapt.name=a/b",
    ],
)
def test_bad_settings_are_refused_with_the_configuration(strokes: Path, typed: str) -> None:
    with pytest.raises(UserError, match=typed.partition("=")[0].replace(".", r"\.")):
        job_of("mix=64", typed)


def test_settings_mirror_the_recipe() -> None:
    import dataclasses

    recipe = {field.name: field.default for field in dataclasses.fields(adaptation.Recipe) if field.name != "seed"}
    config = {field.name: field.default for field in dataclasses.fields(schema.AdaptConfig)}
    assert recipe.items() <= config.items()
    assert config.keys() - recipe.keys() == {"name", "images_per_class", "per_class"}


def test_run_does_not_record_how_an_adapter_is_trained(strokes: Path) -> None:
    first, second = job_of("mix=64"), job_of("mix=64", "adapt.steps=7")
    assert first.folder == second.folder
    assert "adapt" not in first.recorded
    assert identity.run_settings(first.settings) == identity.run_settings(second.settings)
