"""Configuration: the typed schema, and a composed run as plain data.

Nothing here imports torch: a typo is answered in a second. A node is either data, with a dataclass below as its
type, or names a `_target_` whose signature is read from its source (`signatures`).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from synthaug.errors import UserError
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun

VERSION_BASE = "1.3"
GROUPS = ("dataset", "generator", "prompts", "mix", "model", "trainer", "logger", "shift", "experiments")
SEVERAL = ("logger", "shift", "experiments")  # groups of which more than one choice can be in force
_PACKAGE = Path(__file__).resolve().parents[1]


def _beside_or_inside(name: str) -> Path:
    """A folder of the checkout, or its copy in an installed package."""
    beside = _PACKAGE.parent / name
    return beside if beside.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / name


CONF = _beside_or_inside("conf")
EXPERIMENTS = _beside_or_inside("experiments")


# --- the schema ------------------------------------------------------------------------------------


class OnBadImage(Enum):
    """What happens to files that are no whole images."""

    stop = "stop"
    skip = "skip"


class Budget(Enum):
    """What all arms have equally much of: epochs, or optimizer steps."""

    epochs = "epochs"
    steps = "steps"


@dataclass
class AugmentConfig:
    """Mirrors `data.augment.Augmentation`, which may not be imported here because it needs torch."""

    scale: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    whole: bool = False
    vertical_flip: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    policy: str | None = None
    erasing: float = 0.0


@dataclass
class SplitConfig:
    """Mirrors `data.split_rule.Rule`; `checks` sees to it that `val` and `test` are numbers.

    Declared as `int | float`, OmegaConf fails to merge a file into this optional node.
    """

    val: Any = 0.15
    test: Any = 0.15
    seed: int = 0
    near: int | None = 8


@dataclass
class DatasetConfig:
    """A folder `<root>/<split>/<class>/<image>`, or a `_target_` that writes one there.

    With `split`, validation and test images that have no folder are drawn from the others. `more` is a folder of
    further real images below `root`, which only arms with `mix.real` above 1 have.
    """

    name: str | None = None
    root: str = MISSING
    train: str = "train"
    val: str = "val"
    test: str = "test"
    split: SplitConfig | None = None
    more: str | None = None
    prepare: dict[str, Any] | None = None
    image_size: int = 224
    crop_pct: float = 0.875
    on_bad_image: OnBadImage = OnBadImage.stop
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass
class MixConfig:
    """Both numbers are multiples of the number of real training images, in every class.

    `augment` makes strong classic augmentation an arm beside the others: its keys are those of `AugmentConfig`, and
    those that are given stand in the place of the dataset's, for this arm alone.
    """

    real: float = MISSING
    synthetic: float = MISSING
    augment: dict[str, Any] | None = field(default_factory=dict)  # null is fine, but no key can be set in it


@dataclass
class PromptsConfig:
    """Templates, or a file with the prompts of each class; without either, the generator's own template."""

    name: str | None = None
    templates: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    file: str | None = None


@dataclass
class Config:
    """The whole configuration. generator, model, trainer, loggers and shifts are checked against what they call."""

    experiment: str = "default"
    seed: int = 0
    batch_size: int = 32
    budget: Budget = Budget.epochs
    num_workers: int = 0
    output_dir: str = "outputs"
    overwrite: bool = False
    per_class: int | None = None
    controls: bool = False
    margin: float = 1.0
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    generator: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] | None = None
    shift: dict[str, Any] | None = None


# Arguments that the program itself passes to what a node names, and that a configuration may therefore not give.
SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "dataset.prepare": ("root",),
    "generator": (),
    "model": ("classes", "seed"),
    "trainer": (
        "logger",
        "callbacks",
        "default_root_dir",
        "enable_progress_bar",
        "enable_model_summary",
        "use_distributed_sampler",
    ),
    "logger": ("name", "group", "id", "save_dir", "version", "mode", "offline", "resume"),
    "shift": (),
}
# Groups whose choice is called after what it loads, where that was changed: its key.
LOADED = {"model": "backbone", "generator": "model"}
OWN_PROMPTS = "default"  # the choice of `prompts` that leaves them to the generator
# Keys of a node that are ours and not its target's.
OWN_KEYS = ("name",)


def register() -> None:
    """Make the schema and the study configs of `experiments/` known to Hydra.

    Raises:
        UserError: a study config cannot be read.
    """
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        try:
            node = OmegaConf.load(path)
            params = OmegaConf.select(node, "hydra.sweeper.params") or {}
        except Exception as error:  # of the YAML reader or of OmegaConf
            raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        for key in params:
            params[key] = quote_choices(f"{key}={params[key]}").partition("=")[2]
        store.store(group="experiments", name=path.stem, node=node, package="_global_")


def folder_name(path: str) -> str:
    """The name of a folder as the name of a dataset: `${folder_name:${dataset.root}}`.

    Letters of any script stay; what a name may not have in it (see `checks`), or no file system takes, becomes a "-".
    """
    name = Path(path).expanduser().resolve().name
    return re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "-", name).lstrip(". ")[:100].strip() or "imagefolder"


def quote_choices(override: str) -> str:
    """Quote the choices of a group that begin with a digit: `mix=real,55` becomes `mix=real,'55'`.

    Hydra reads a bare 55 as an integer and refuses it as a choice.
    """
    group, equals, choices = override.partition("=")
    if not equals or group.lstrip("+") not in GROUPS:
        return override
    quoted = re.sub(r"(?<=[,[(])\s*(\d[\w.+-]*)\s*(?=[,\])])", r"'\1'", f"({choices})")
    return f"{group}={quoted[1:-1]}"


@dataclass(frozen=True)
class Job:
    """One composed run and where it belongs.

    Attributes:
        settings: the configuration as plain data, every interpolation resolved.
        recorded: the same as it may be written down and logged: text that comes from the environment stays the name
            of its variable, since it may be a password.
        key: names of the run.
        study: folder of the study.
    """

    settings: dict[str, Any]
    recorded: dict[str, Any]
    key: RunKey
    study: Path

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.study / self.key.folder

    @property
    def is_in_wandb(self) -> bool:
        """Whether one of its loggers is that of W&B."""
        return any(str(node["_target_"]).endswith("WandbLogger") for node in (self.settings["logger"] or {}).values())

    @property
    def planned(self) -> PlannedRun:
        """The run as the study's plan lists it."""
        mix = self.settings["mix"]
        return PlannedRun(self.key, mix["real"], mix["synthetic"], mix["augment"])


def job_of(config: DictConfig, hydra: Any) -> Job:
    """A composed configuration as plain data, under the names of the files it was made of.

    Args:
        config: composed, with or without its node `hydra`.
        hydra: that node.
    """
    plain = without_hydra(config)
    plain.mix.augment = typed_augment(plain.mix.augment) if plain.mix.augment else None
    _drop_what_belongs_to_another_model(plain.generator, hydra.overrides.task)
    settings, recorded = _data(plain), _recorded(plain)
    choices = {str(group): str(choice).replace("/", "-") for group, choice in hydra.runtime.choices.items()}
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    names = {"mix": arm_name(hydra.runtime.choices["mix"], settings["mix"], [folder / "mix" for folder in folders])}
    for group in ("dataset", "generator", "prompts", "model"):
        given = settings[group].get("name")
        if given is not None:
            names[group] = str(given)  # a name such as 2024 is a number to YAML
        elif group in LOADED:
            names[group] = name_of(group, choices[group], _data(plain, resolve=False)[group], folders)
        else:
            names[group] = choices[group]
    for group, name in names.items():
        settings[group]["name"] = recorded[group]["name"] = name
    # Other prompts make other images: they are another generator to whoever compares runs or looks for images.
    generator = names["generator"] + (f"-{names['prompts']}" if names["prompts"] != OWN_PROMPTS else "")
    key = RunKey(names["dataset"], generator, names["model"], names["mix"], settings["seed"])
    return Job(settings, recorded, key, Path(settings["output_dir"]) / settings["experiment"])


def _drop_what_belongs_to_another_model(generator: DictConfig, overrides: Iterable[str]) -> None:
    """Where only `generator.model` is given, the commit and file variant beside it in the YAML are another model's."""
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    if "generator.model" in given:
        for name in ("revision", "variant"):
            if name in generator and f"generator.{name}" not in given:
                generator[name] = None


def _data(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    data = OmegaConf.to_container(config, resolve=resolve, enum_to_str=True)
    assert isinstance(data, dict)
    return {str(name): value for name, value in data.items()}


def _recorded(config: DictConfig) -> dict[str, Any]:
    """The settings with `${oc.env:X}` instead of the text that X holds, also where it is referred to."""
    literal = _data(OmegaConf.create(_escaped(_data(config, resolve=False))))
    # What names the study's folder is no secret, and numbers and switches are needed to tell runs apart.
    return {
        name: _text_from(literal[name], value) if isinstance(value, dict) else value
        for name, value in _data(config).items()
    }


def _escaped(value: Any) -> Any:
    """Plain data in which interpolations that ask the environment are literal text."""
    if isinstance(value, dict):
        return {name: _escaped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value.replace("${", r"\${") if isinstance(value, str) and "oc.env" in value else value


def _text_from(literal: Any, used: Any) -> Any:
    """`used` with its text taken from `literal`."""
    if isinstance(used, dict) and isinstance(literal, dict):
        return {name: _text_from(literal[name], item) for name, item in used.items()}
    if isinstance(used, list) and isinstance(literal, list):
        return [_text_from(*pair) for pair in zip(literal, used, strict=True)]
    return used if used is None or isinstance(used, (int, float)) else literal


def without_hydra(config: DictConfig) -> DictConfig:
    """The program's own part of a composed configuration, open for change."""
    plain = config.copy()
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra", None)
    return plain


def typed_augment(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Some keys of an augmentation with their values as the schema has them: 1 is 1.0, and "off" is False.

    Raises:
        OmegaConfBaseException: a key or a value that the schema does not have.
    """
    plain = OmegaConf.to_container(given, resolve=True) if isinstance(given, DictConfig) else given
    typed = OmegaConf.to_container(OmegaConf.merge(OmegaConf.structured(AugmentConfig), plain))
    assert isinstance(typed, dict)
    return {str(name): typed[name] for name in given}


def arm_name(choice: str, mix: Mapping[str, Any], folders: Iterable[Path]) -> str:
    """Name of an arm: of the mix file it was chosen by, unless its numbers or augmentation were changed on the way.

    A name that no longer fits its numbers would put two training sets under one name.
    """
    files = [read_settings(path) for folder in folders if (path := folder / f"{choice}.yaml").is_file()]
    for there in [*files, registered_mix(choice) or {}]:
        numbers = [there.get(name) for name in ("real", "synthetic")]
        if numbers == [mix["real"], mix["synthetic"]] and (there.get("augment") or None) == mix["augment"]:
            return choice.replace("/", "-")
    return f"real{mix['real']:.12g}-synthetic{mix['synthetic']:.12g}{own_augment(mix['augment'])}"


def own_augment(augment: Mapping[str, Any] | None) -> str:
    """An arm's own augmentation as the end of its name; empty where it has none."""
    own = "".join(f"-{name}_{_in_a_name(value)}" for name, value in sorted((augment or {}).items()))
    if len(own) > 100:  # a folder's name ends at 255 letters, a run's in W&B at 128
        own = f"-augment_{hashlib.sha256(own.encode()).hexdigest()[:12]}"
    return own


def registered_mix(choice: str) -> dict[str, Any] | None:
    """A mix that the program itself made known to Hydra, where there is no file of it (see `controls`)."""
    found = ConfigStore.instance().repo.get("mix", {}).get(f"{choice}.yaml")
    return None if found is None else _data(found.node)


def name_of(group: str, choice: str, node: Mapping[str, Any], folders: Iterable[Path]) -> str:
    """Name of a model or generator: of the file it was chosen by, unless what the file loads was changed on the way.

    Args:
        group: "model" or "generator".
        choice: name of the file.
        node: as composed, with its interpolations: text from the environment must not get into a name.
        folders: config folders, the first of which with such a file holds.
    """
    key = LOADED[group]
    for folder in folders:
        path = folder / group / f"{choice}.yaml"
        if path.is_file():
            there, given = read_settings(path).get(key), str(node.get(key))
            if there in (None, given) or "${" in given:
                break
            is_id = given.count("/") <= 1 and not given.startswith(("/", ".", "~"))
            called = given.replace("/", "-") if is_id else folder_name(given)
            return called if choice == there else f"{choice}-{called}"
    return choice


def _in_a_name(value: Any) -> str:
    if isinstance(value, list):
        return "_".join(map(_in_a_name, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value).lower()


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that a YAML file holds, a run's `config.yaml` for instance, interpolations as they are."""
    read = OmegaConf.load(path)
    return _data(read, resolve=False) if isinstance(read, DictConfig) else {}


def called(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node without the keys that are ours: what its target is called with."""
    return {key: value for key, value in node.items() if key not in OWN_KEYS}
