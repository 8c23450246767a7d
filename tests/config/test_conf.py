"""Every configuration file that the project ships: it composes, says what its name says, and can be made."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from synthaug.config import schema, validation
from synthaug.config.job import build_job, without_hydra
from synthaug.data.augment import Augmentation, evaluation_view
from synthaug.data.policies import POLICIES
from synthaug.data.samples import RealImages, Sample
from synthaug.data.split_rule import Rule
from synthaug.errors import UserError
from synthaug.execution import clusters, factory
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.pool_sources import PoolSource
from synthaug.generation.prompts import read_prompts
from synthaug.models.classifier import Classifier
from synthaug.screening.settings import ScreeningSettings
from synthaug.tracking import loggers
from synthaug.training import evaluation, fit, hardware, lightning_rules
from tests.factories.commands import jobs_of
from tests.factories.images import write_dataset
from tests.factories.weights import in_the_cache

FILES = sorted(schema.CONF.glob("*/*.yaml"))
EXPERIMENTS = sorted(schema.EXPERIMENTS.glob("*.yaml"))
MIXES = {
    "real": (1, 0),
    "55": (0.5, 0.5),
    "64": (0.4, 0.6),
    "73": (0.3, 0.7),
    "82": (0.2, 0.8),
    "46": (0.6, 0.4),
    "37": (0.7, 0.3),
    "28": (0.8, 0.2),
    "real20": (0.2, 0),
    "real30": (0.3, 0),
    "real40": (0.4, 0),
    "real50": (0.5, 0),
    "real150": (1.5, 0),
    "real200": (2, 0),
    "add50": (1, 0.5),
    "add100": (1, 1),
    "synthetic": (0, 1),
    "synthetic1000": (0, 10),
    "strong": (1, 0),
    "fill": (1, 0),
}
FURTHER: dict[str, Any] = {"strong": {"augment": {"policy": "trivial", "erasing": 0.25}}, "fill": {"fill": "largest"}}

# Keys that a choice leaves to the user.
MANDATORY = {
    ("generator", "folder"): ["generator.root=pool"],
    ("generator", "hub"): ["generator.model=someone/a-model"],
    ("generator", "webdataset"): ["generator.urls=pool/*.tar"],
    ("generator", "parquet"): ["generator.files=pool/*.parquet"],
    ("generator", "huggingface"): ["generator.id=owner/photos"],
    ("mix", "real150"): ["dataset.more=generator"],
    ("mix", "real200"): ["dataset.more=generator"],
    ("shift", "folder"): ["shift.folder.root=photos/another camera"],
}
# Studies with controls: their arms in order, and the budget.
CONTROLLED = {
    "controls": ("real 55 real50 64 real40 73 real30 82 real20", "steps"),
}
NO_PROMPTS: dict[str, Any] = {"templates": [], "settings": {}, "names": {}, "lists": {}, "file": None}

# A dataset of one's own is called like its folder.
NAMED_BY_FOLDER = {"imagefolder": "photos", "huggingface": "photos", "folder": "pool", "hub": "hub-someone-a-model"}
OWN_FOLDER = {"imagefolder": "dataset.root", "huggingface": "dataset.prepare.id"}

Compose = Callable[..., DictConfig]


def choices(group: str) -> list[str]:
    return [path.stem for path in FILES if path.parent.name == group]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "photos", train=1, val=1, test=1)


@pytest.fixture(scope="module")
def compositions() -> dict[tuple[str, ...], DictConfig]:
    """What was composed by the tests before, by its overrides."""
    return {}


@pytest.fixture
def composed(photos: Path, compositions: dict[tuple[str, ...], DictConfig]) -> Iterator[Compose]:
    """Compose overrides; a dataset of one's own gets a folder."""

    def with_overrides(*overrides: str) -> DictConfig:
        extra = [f"{key}={photos}" for choice, key in OWN_FOLDER.items() if f"dataset={choice}" in overrides]
        if overrides not in compositions:
            quoted = [schema.quote_choices(override) for override in overrides]
            compositions[overrides] = compose("config", [*quoted, *extra], return_hydra_config=True)
        return compositions[overrides].copy()

    with initialize_config_dir(str(schema.CONF), version_base=schema.VERSION_BASE):
        yield with_overrides


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_choice_composes_and_has_no_problems(path: Path, composed: Compose) -> None:
    group, choice = path.parent.name, path.stem
    assert group in schema.GROUPS
    config = composed(f"{group}={choice}", *MANDATORY.get((group, choice), ()))
    assert validation.validate(without_hydra(config)) == []
    settings = build_job(without_hydra(config), config.hydra).settings
    name = NAMED_BY_FOLDER.get(choice, choice)
    assert group in ("logger", "trainer", "shift", "cluster") or settings[group]["name"] == name


@pytest.mark.parametrize("choice", choices("cluster"))
def test_cluster_can_be_made(choice: str, composed: Compose) -> None:
    config = composed(f"cluster={choice}")
    job, local = (build_job(without_hydra(item), item.hydra) for item in (config, composed()))
    cluster = clusters.cluster_of([job])
    assert type(cluster).__name__.lower() == choice or (cluster is None and choice == "local")
    assert job.key == local.key
    if cluster is not None:
        keys = {field.name for field in dataclasses.fields(cluster)}
        assert keys == job.settings["cluster"].keys() - {"_target_"}, "the file has every key"
        assert {**dataclasses.asdict(cluster)} == {key: job.settings["cluster"][key] for key in keys}, "its defaults"


@pytest.mark.parametrize("choice", choices("captioner"))
def test_captioner_can_be_made(choice: str, composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    config = composed(f"captioner={choice}")
    captioner = factory.make_group(build_job(without_hydra(config), config.hydra), "captioner")
    with pytest.raises(UserError, match="could not be loaded"):  # all else is right
        captioner.check()
    with_captioner, without = (build_job(without_hydra(item), item.hydra) for item in (config, composed()))
    assert with_captioner.key == without.key


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiment_composes_and_has_no_problems(path: Path, photos: Path) -> None:
    schema.register()
    extra = [f"dataset.root={photos}"] if path.stem == "photographs" else []
    jobs = jobs_of("-m", f"+experiments={path.stem}", *extra)
    assert jobs
    assert {job.study.name for job in jobs} == {path.stem}, "a study is called like its file"
    assert len({job.folder for job in jobs}) == len(jobs)
    if path.stem in CONTROLLED:
        arms, budget = CONTROLLED[path.stem]
        assert " ".join(dict.fromkeys(job.arm for job in jobs)) == arms
        assert {(job.settings["budget"], job.key.seed) for job in jobs} == {(budget, seed) for seed in range(5)}


@pytest.mark.parametrize(
    "path", [schema.CONF / "config.yaml", *FILES, *EXPERIMENTS], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_file_begins_with_what_it_is_for(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 10


def test_every_mix_says_what_its_name_says() -> None:
    assert sorted(choices("mix")) == sorted(MIXES)
    for name, numbers in MIXES.items():
        content = OmegaConf.load(schema.CONF / "mix" / f"{name}.yaml")
        assert content == {**dict(zip(("real", "synthetic"), numbers, strict=True)), **FURTHER.get(name, {})}, name


def test_replacing_mixes_keep_the_size_and_have_a_control() -> None:
    for name in ("55", "64", "73", "82", "46", "37", "28"):
        real, synthetic = MIXES[name]
        assert real + synthetic == pytest.approx(1)
        assert [round(10 * synthetic), round(10 * real)] == [int(digit) for digit in name], "artificial:real"
    for name in ("55", "64", "73", "82"):
        assert (MIXES[name][0], 0) in MIXES.values()


def test_split_schema_is_the_rule() -> None:
    rule = Rule(**dataclasses.asdict(schema.SplitConfig()))
    assert dataclasses.asdict(rule) == dataclasses.asdict(schema.SplitConfig())


def test_augment_schema_is_the_augmentation() -> None:
    def fields(cls: Any) -> list[tuple[str, Any, Any]]:
        return [(field.name, field.type, field.default) for field in dataclasses.fields(cls)]

    assert fields(schema.AugmentConfig) == fields(Augmentation)


def test_every_key_of_an_augmentation_has_a_rule() -> None:
    assert set(validation._AUGMENT_RULES) == {field.name for field in dataclasses.fields(Augmentation)}
    assert set(POLICIES) == {*validation.POLICIES}


def test_an_arms_own_augmentation_can_be_made_on_every_dataset(composed: Compose) -> None:
    def settings_of(*overrides: str) -> dict[str, Any]:
        config = composed(*overrides)
        return build_job(without_hydra(config), config.hydra).settings

    shared = {choice: settings_of(f"dataset={choice}")["dataset"]["augment"] for choice in choices("dataset")}
    for choice in choices("mix"):
        own = settings_of(f"mix={choice}", *MANDATORY.get(("mix", choice), ()))["mix"]["augment"]
        for settings in shared.values():
            augmentation = fit.augmentation(settings, own)
            expected = ("trivial", 0.25) if choice == "strong" else (None, 0)
            assert (augmentation.policy, augmentation.erasing) == expected, choice
            assert augmentation.scale == tuple(settings["scale"])


@pytest.mark.parametrize("choice", choices("dataset"))
def test_augmentation_can_be_made(choice: str, composed: Compose) -> None:
    augment = OmegaConf.to_container(composed(f"dataset={choice}").dataset.augment)
    assert isinstance(augment, dict)
    Augmentation(**{str(name): value for name, value in augment.items()})


@pytest.mark.parametrize("choice", choices("generator"))
def test_generator_can_be_made(choice: str, composed: Compose) -> None:
    extra = MANDATORY.get(("generator", choice), [])
    generator = instantiate(schema.target_kwargs(composed(f"generator={choice}", *extra).generator))
    if choice in ("folder", "webdataset", "parquet", "huggingface"):
        assert isinstance(generator, FolderGenerator)
        assert isinstance(generator, PoolSource) == (choice != "folder")
    else:
        assert isinstance(generator, DiffusionGenerator)
        read_prompts(NO_PROMPTS, generator.prompt).check(["cat"])


@pytest.mark.parametrize("choice", choices("prompts"))
def test_prompts_can_be_read(choice: str, composed: Compose, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("cat: [a cat]\nturtle: [a turtle]\n", encoding="utf-8")
    extra = [f"prompts.file={tmp_path / 'p.yaml'}"] if choice == "file" else []
    config = OmegaConf.to_container(composed(f"prompts={choice}", *extra).prompts)
    assert isinstance(config, dict)
    prompts = read_prompts({str(key): value for key, value in config.items()}, "{class_name}")
    prompts.check(["cat", "turtle"])
    assert "cat" in prompts.prompt("cat", 3)


@pytest.mark.parametrize("choice", choices("screening"))
def test_screening_can_be_made(choice: str, composed: Compose) -> None:
    config = composed(f"screening={choice}")
    values = build_job(without_hydra(config), config.hydra).settings["screening"]
    settings = ScreeningSettings.of(values)
    assert settings.name == choice
    assert settings.is_active == (choice != "none")
    assert settings.needs_real_share == (choice in ("clip", "teacher", "knn", "strict"))
    assert (settings.test_copies, settings.train_copies, settings.duplicates) == {
        "none": ("ignore", "ignore", "ignore"), "strict": ("drop", "drop", "drop"),
    }.get(choice, ("stop", "keep", "drop"))  # fmt: skip


@pytest.mark.parametrize(
    "override",
    [
        "test_copies=never", "train_copies=stop", "duplicates=true", "copy_similarity=0", "clip_percentile=100",
        "clip_threshold=2", "clip_prompt=a cat", "teacher_probability=1", "knn_neighbours=0", "knn_percentile=0",
        "name=a/b",
    ],
)  # fmt: skip
def test_bad_values_of_screening_are_refused(override: str, composed: Compose) -> None:
    (problem,) = validation.validate(without_hydra(composed(f"screening.{override}")))
    assert problem.startswith(f"screening.{override.partition('=')[0]}=")


@pytest.mark.parametrize("choice", choices("model"))
def test_model_can_be_made(choice: str, composed: Compose) -> None:
    # Weights would be fetched, and patches are of 14 or 16 pixels.
    node = composed(f"model={choice}", "model.weights=null", "dataset.image_size=224").model
    model = instantiate(schema.target_kwargs(node), classes=["cat", "dog"], seed=0)
    assert isinstance(model, Classifier)
    assert model.classes == ["cat", "dog"]


@pytest.mark.parametrize("choice", ["resnet18_imagenet", "resnet18_paper_code", "probe"])
def test_model_with_weights_of_imagenet_keeps_them(
    choice: str, composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = composed(f"model={choice}").model
    pretrained = in_the_cache(node.backbone, tmp_path, monkeypatch)
    state = instantiate(schema.target_kwargs(node), classes=["cat", "dog"], seed=0).state_dict()
    kept = {key.removeprefix("network.") for key, value in state.items() if not key.startswith("network.fc")}
    assert kept == {key for key in pretrained if not key.startswith("fc")}
    assert all(bool((state[f"network.{key}"] == pretrained[key]).all()) for key in kept)


@pytest.mark.parametrize("choice", choices("trainer"))
def test_trainer_can_be_made(choice: str, composed: Compose, tmp_path: Path) -> None:
    arguments = {
        "logger": False,
        "callbacks": [],
        "default_root_dir": tmp_path,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    assert set(arguments) == set(schema.PROGRAM_ARGUMENTS["trainer"])
    lightning_rules.quiet_libraries()  # where the machine has Slurm
    node = composed(f"trainer={choice}").trainer
    settings = hardware.trainer_settings({**schema.target_kwargs(node), "accelerator": "cpu", "devices": 1})
    trainer = instantiate(settings, **arguments)
    assert (trainer.max_epochs, trainer.precision) == (node.max_epochs, "32-true")


def test_the_trainers_differ_in_their_devices(composed: Compose) -> None:
    nodes = {choice: composed(f"trainer={choice}").trainer for choice in choices("trainer")}
    assert {choice: (node.accelerator, node.devices) for choice, node in nodes.items()} == {
        "auto": ("auto", 1), "cpu": ("cpu", 1), "gpu": ("gpu", 1), "ddp": ("gpu", "auto"),
    }  # fmt: skip
    assert nodes["ddp"].strategy == "ddp"


@pytest.mark.parametrize("choice", choices("logger"))
def test_loggers_can_be_made(choice: str, composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("DATA_DIR", str(tmp_path))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    nodes = composed(f"logger={choice}").logger
    assert len(nodes) == (choice != "none")
    for node in nodes.values():
        arguments = loggers.logger_arguments(node["_target_"], "real-seed0", tmp_path, tmp_path)
        assert set(arguments) <= set(schema.PROGRAM_ARGUMENTS["logger"])
        logger = instantiate(node, **arguments)
        assert Path(logger.save_dir).is_relative_to(tmp_path)


@pytest.mark.parametrize("choice", choices("shift"))
def test_further_test_sets_can_be_made(choice: str, composed: Compose) -> None:
    config = composed(f"shift={choice}", *MANDATORY.get(("shift", choice), ()))
    shifts = factory.make_shifts(build_job(without_hydra(config), config.hydra))
    names = [set_name for name, shift in shifts.items() for set_name in shift.names(name)]
    assert len(set(names)) == len(names)
    wanted = {"none": 0, "folder": 1, "synthetic": 1, "corruptions": 18, "corruptions_small": 18}
    assert len(names) == wanted[choice]
    if choice == "folder":
        assert names == ["another camera"]


@pytest.mark.parametrize(("choice", "side"), [("corruptions", 224), ("corruptions_small", 32)])
def test_every_corruption_changes_an_image_and_the_more_the_severer(choice: str, side: int, composed: Compose) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    smooth = Image.fromarray(drawn).resize((side, side), Image.Resampling.BICUBIC)
    image = torch.from_numpy(np.array(smooth)).permute(2, 0, 1).contiguous()
    sample = Sample(Path("0.png"), 0, "cat", "real", "0" * 64)
    images = RealImages(["cat", "dog"], [], [], [sample])
    for name, node in composed(f"shift={choice}").shift.items():
        sets = instantiate(schema.target_kwargs(node), _convert_="all").sets(name, images, lambda _: [])
        lost = []
        for shift_set in sets:
            pixels = evaluation.pixels_of(shift_set, {"image_size": side, "crop_pct": 1.0}, OneImage(image.numpy()))
            shown, sizes = pixels.batch(["0" * 64])
            whole = evaluation_view(torch.from_numpy(shown), torch.from_numpy(sizes), side, 1.0)[0]
            lost.append(float((whole - image / 255).abs().mean()))
        assert 0 < lost[0] < lost[1] < lost[2], (name, lost)


class OneImage:
    """A store of one image."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image
        self.short_side = image.shape[1]

    def batch(
        self, keys: Sequence[str], places: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        return np.stack([self.image] * len(keys)), np.array([self.image.shape[1:]] * len(keys))
