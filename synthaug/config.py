"""Configuration: the typed schema, the quoting of choices, and every check that can be made before work begins.

Nothing here imports torch: a typo is answered in a second. A node is either data, with a dataclass below as its
type, or names a `_target_` whose signature is read from its source (`signatures`).
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthaug import signatures
from synthaug.data.samples import layout_problems
from synthaug.errors import UserError, raise_all
from synthaug.results import PlannedRun, RunKey

VERSION_BASE = "1.3"
GROUPS = ("dataset", "generator", "mix", "model", "trainer", "logger", "experiments")
_PACKAGE = Path(__file__).resolve().parent


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


@dataclass
class DatasetConfig:
    """A folder `<root>/<split>/<class>/<image>`, or a `_target_` that writes one there."""

    name: str | None = None
    root: str = MISSING
    train: str = "train"
    val: str = "val"
    test: str = "test"
    prepare: dict[str, Any] | None = None
    image_size: int = 224
    crop_pct: float = 0.875
    on_bad_image: OnBadImage = OnBadImage.stop
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass
class MixConfig:
    """Both numbers are multiples of the number of real training images, in every class."""

    real: float = MISSING
    synthetic: float = MISSING


@dataclass
class Config:
    """The whole configuration. generator, model, trainer and loggers are checked against what they call."""

    experiment: str = "default"
    seed: int = 0
    batch_size: int = 32
    num_workers: int = 0
    output_dir: str = "outputs"
    overwrite: bool = False
    per_class: int | None = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    generator: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] | None = None


# Arguments that the program itself passes to what a node names.
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
    "logger": ("name", "group", "id", "save_dir", "version", "mode", "resume"),
}
# Keys of a node that are ours and not its target's.
OWN_KEYS = ("name",)


def register() -> None:
    """Make the schema and the study configs of `experiments/` known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        node = OmegaConf.load(path)
        params = OmegaConf.select(node, "hydra.sweeper.params")
        if params is not None:
            for key in params:
                params[key] = quote_choices(f"{key}={params[key]}").split("=", 1)[1]
        store.store(group="experiments", name=path.stem, node=node, package="_global_")


# --- the command line ------------------------------------------------------------------------------


def quote_choices(override: str) -> str:
    """Quote the numbers among the choices of a group: `mix=real,55` becomes `mix=real,'55'`.

    Hydra reads a bare 55 as an integer and refuses it as a choice.
    """
    group, equals, choices = override.partition("=")
    if not equals or group.lstrip("+") not in GROUPS:
        return override
    quoted = re.sub(r"(?<=[,[(])\s*(\d+)\s*(?=[,\])])", _quoted, f"({choices})")
    return f"{group}={quoted[1:-1]}"


def _quoted(match: re.Match[str]) -> str:
    return f"'{match[1]}'"


@dataclass(frozen=True)
class Job:
    """One composed run: its plain configuration and where it belongs."""

    settings: dict[str, Any]
    key: RunKey
    study: Path

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.study / self.key.folder

    @property
    def planned(self) -> PlannedRun:
        """The run as the study's plan lists it."""
        return PlannedRun(self.key, self.settings["mix"]["real"], self.settings["mix"]["synthetic"])


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for several runs (-m, --multirun)."""
    return bool(get_args_parser().parse_args(list(arguments)).multirun)


def jobs_of(arguments: Sequence[str]) -> list[Job] | None:
    """Compose and check every run that a command line asks for.

    Args:
        arguments: `sys.argv[1:]`, choices quoted.

    Returns:
        The jobs; None where the command line asks for something else (--help, --cfg …) or is expanded by another
        sweeper than Hydra's own, which decides as it goes.

    Raises:
        UserError: everything that is wrong with the configuration, each with its path.
    """
    parsed = get_args_parser().parse_args(list(arguments))
    asks_for_text = parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    if asks_for_text or parsed.config_name or parsed.config_path:
        return None
    config_dir = str(CONF)
    extra = [f"hydra.searchpath=[file://{Path(parsed.config_dir).absolute()}]"] if parsed.config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=config_dir, version_base=VERSION_BASE):
        overrides = [*parsed.overrides, *extra]
        combinations = _expand(overrides, parsed.multirun)
        if combinations is None:
            return None
        problems: list[str] = []
        jobs = []
        for combination in combinations:
            blamed = _blame(combination)
            problems += [f"{override}: {reason}" for override, reason in blamed.items()]
            usable = [override for override in combination if override not in blamed]
            config = compose("config", usable, return_hydra_config=True)
            found = problems_of(config)
            problems += found
            if not found:
                jobs.append(job_of(config, config.hydra))
    raise_all("The configuration cannot be used:", list(dict.fromkeys(problems)))
    return jobs


def job_of(config: DictConfig, hydra: Any) -> Job:
    """A composed configuration as plain data, under the names of the files it was made of.

    Args:
        config: composed, with or without its node `hydra`.
        hydra: that node.
    """
    settings = OmegaConf.to_container(_without_hydra(config), resolve=True, enum_to_str=True)
    assert isinstance(settings, dict)
    choices = {group: str(choice).rpartition("/")[2] for group, choice in hydra.runtime.choices.items()}
    for group in ("dataset", "generator", "model"):
        settings[group]["name"] = settings[group].get("name") or choices[group]
    mix = settings["mix"]
    folders = [Path(source.path) / "mix" for source in hydra.runtime.config_sources if source.schema == "file"]
    mix["name"] = arm_name(choices["mix"], mix["real"], mix["synthetic"], folders)
    names = [settings[group]["name"] for group in ("dataset", "generator", "model", "mix")]
    key = RunKey(names[0], names[1], names[2], names[3], settings["seed"])
    return Job(
        {str(name): value for name, value in settings.items()},
        key,
        Path(settings["output_dir"]) / settings["experiment"],
    )


def _without_hydra(config: DictConfig) -> DictConfig:
    plain = config.copy()
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra", None)
    return plain


def arm_name(choice: str, real: float, synthetic: float, folders: Iterable[Path]) -> str:
    """Name of an arm: of the mix file it was chosen by, unless its numbers were changed on the way.

    A name that no longer fits its numbers would put two training sets under one name.
    """
    for folder in folders:
        path = folder / f"{choice}.yaml"
        if path.is_file():
            there = OmegaConf.load(path)
            if [OmegaConf.select(there, name) for name in ("real", "synthetic")] == [real, synthetic]:
                return choice
    return f"real{real:.12g}-synthetic{synthetic:.12g}"


def _expand(overrides: list[str], multirun: bool) -> list[list[str]] | None:
    """The override lists of a sweep, as Hydra's basic sweeper will make them."""
    if not multirun:
        return [overrides]
    parser = OverridesParser.create()
    try:
        parsed = parser.parse_overrides(overrides)
    except HydraException as error:
        raise UserError(f"The configuration cannot be used:\n  - {_plain(error, '')}") from None
    single = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
    blamed = _blame(single)
    hydra = compose("config", [o for o in single if o not in blamed], return_hydra_config=True).hydra
    if not hydra.sweeper._target_.endswith("BasicSweeper"):
        return None
    params = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
    batches = BasicSweeper.split_arguments([*parser.parse_overrides(params), *parsed], max_batch_size=None)
    return [list(job) for batch in batches for job in batch]


def _blame(overrides: Sequence[str]) -> dict[str, str]:
    """Override → why it cannot be applied, for all that cannot; Hydra itself stops at the first."""
    try:
        compose("config", list(overrides))
        return {}
    except (HydraException, OmegaConfBaseException) as error:
        together = error
    # A key may exist only under a certain choice of its group, so choices that compose go before it.
    groups = [override for override in overrides if override.lstrip("+").partition("=")[0] in GROUPS]
    blamed: dict[str, str] = {}
    for override in [*groups, *(other for other in overrides if other not in groups)]:
        before = [] if override in groups else [group for group in groups if group not in blamed]
        try:
            compose("config", [*before, override])
        except (HydraException, OmegaConfBaseException) as error:
            blamed[override] = _plain(error, override)
    return blamed or {" ".join(overrides): _plain(together, "")}


def _plain(error: Exception, override: str) -> str:
    """The sentence of a Hydra or OmegaConf error without its stack of contexts, and with close matches."""
    text = f"{error}\n{error.__cause__ or ''}"
    choices = re.search(
        r"Could not find '([^']+)'.*?Available options in '([^']+)':\s*(.+?)(?:\nConfig search|\Z)",
        text,
        re.S,
    )
    if choices:
        known = choices[3].split()
        close = difflib.get_close_matches(choices[1].rpartition("/")[2], known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"there is no {choices[2]} of this name; {hint}choices: {', '.join(known)}"
    if "Ambiguous value" in text:
        return "several values need -m, one run for each: python -m synthaug.train -m …"
    key = override.lstrip("+~").partition("=")[0]
    unknown = re.search(r"Key '([^']+)' is not in struct|Key '([^']+)' not in '", text)
    if unknown:
        return _unknown_key(key)
    cause = error.__cause__ or error
    return " ".join(str(cause).split("\n    full_key")[0].split())


def _unknown_key(key: str) -> str:
    """Close matches of a key that the configuration does not have."""
    config = compose("config")
    parent, _, leaf = key.rpartition(".")
    while parent and OmegaConf.select(config, parent) is None:
        parent, _, leaf = parent.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    known = [str(name) for name in node] if isinstance(node, DictConfig) else []
    close = difflib.get_close_matches(leaf, known, n=1)
    prefix = f"{parent}." if parent else ""
    if close:
        return f"there is no such key; did you mean {prefix}{close[0]}?"
    return f"there is no such key; {parent or 'the configuration'} has {', '.join(known)}"


# --- values ----------------------------------------------------------------------------------------


def problems_of(config: DictConfig) -> list[str]:
    """Everything that is wrong with a composed configuration, as far as can be seen without running it."""
    missing = sorted(OmegaConf.missing_keys(_without_hydra(config)))
    found = [f"{key}: has no value; give one with {key}=<value>" for key in missing]
    if not any(key.startswith("mix.") for key in missing):
        found += _value_problems(config)
    if "dataset.root" not in missing:
        found += _dataset_problems(config)
    return found + _target_problems(config)


def _value_problems(config: DictConfig) -> list[str]:
    mix, dataset = config.mix, config.dataset
    checks = [
        ("seed", config.seed, 0 <= config.seed < 2**31, "0 to 2147483647"),
        ("batch_size", config.batch_size, config.batch_size >= 1, "at least 1"),
        (
            "per_class",
            config.per_class,
            config.per_class is None or config.per_class >= 1,
            "at least 1, or null",
        ),
        ("num_workers", config.num_workers, config.num_workers >= 0, "at least 0"),
        (
            "mix.real",
            mix.real,
            0 <= mix.real <= 1,
            "0 to 1: the share of the real training images that is kept",
        ),
        (
            "mix.synthetic",
            mix.synthetic,
            0 <= mix.synthetic < 1e6,
            "at least 0: a multiple of the real images' number",
        ),
        (
            "mix",
            "0 real and 0 synthetic",
            mix.real + mix.synthetic != 0,
            "something to train on: raise one of the two",
        ),
        ("dataset.image_size", dataset.image_size, 1 <= dataset.image_size <= 4096, "1 to 4096 pixels"),
        ("dataset.crop_pct", dataset.crop_pct, 0 < dataset.crop_pct <= 1, "more than 0, at most 1"),
        ("experiment", repr(config.experiment), _is_name(config.experiment), "a name that can be a folder's"),
    ]
    augment = dataset.augment
    for name in ("horizontal_flip", "brightness", "contrast", "saturation"):
        checks.append((f"dataset.augment.{name}", augment[name], 0 <= augment[name] <= 1, "0 to 1"))
    low, high = augment.scale
    checks.append(("dataset.augment.scale", [low, high], 0 < low <= high <= 1, "two numbers, 0 < low ≤ high ≤ 1"))
    low, high = augment.ratio
    checks.append(("dataset.augment.ratio", [low, high], 0 < low <= high, "two numbers, 0 < low ≤ high"))
    for group in ("dataset", "generator", "model"):
        name = config[group].get("name")
        checks.append((f"{group}.name", repr(name), name is None or _is_name(name), "a name that can be a folder's"))
    return [f"{key}={value}: must be {wanted}" for key, value, fine, wanted in checks if not fine]


def _is_name(name: Any) -> bool:
    return bool(re.fullmatch(r"[^\s/\\.\x00][^/\\\x00]*", str(name)))


def _dataset_problems(config: DictConfig) -> list[str]:
    """What is wrong with a folder that nothing will fill; the rest is found when it is scanned."""
    dataset = config.dataset
    if dataset.prepare is not None:
        return []
    folders = {split: dataset[split] for split in ("train", "val", "test")}
    return [f"dataset.root={dataset.root}: {text}" for text in layout_problems(Path(dataset.root), folders)]


def _target_problems(config: DictConfig) -> list[str]:
    nodes = [("generator", config.generator), ("model", config.model), ("trainer", config.trainer)]
    if config.dataset.prepare is not None:
        nodes.append(("dataset.prepare", config.dataset.prepare))
    nodes += [(f"logger.{name}", node) for name, node in (config.logger or {}).items()]
    found = []
    for path, node in nodes:
        if "_target_" not in node:
            found.append(f"{path}: has no _target_, the name of what it configures")
            continue
        supplied = SUPPLIED[path if path in SUPPLIED else path.split(".")[0]]
        arguments = called(node)
        try:
            found += [f"{path}: {text}" for text in signatures.problems(node._target_, arguments, supplied)]
        except signatures.UnknownTarget as error:
            found.append(f"{path}._target_: {error}")
    return found


def called(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node without the keys that are ours: what its target is called with."""
    return {key: value for key, value in node.items() if key not in OWN_KEYS}


# --- what counts as the same configuration ---------------------------------------------------------

# Where and how fast a run is computed, and who is told, does not change what it is.
_INCIDENTAL = {
    "experiment", "num_workers", "per_class", "output_dir", "overwrite", "logger",
    "dataset.root", "dataset.on_bad_image", "generator.device", "generator.batch_size", "trainer.accelerator", "trainer.strategy",
    "trainer.enable_progress_bar", "trainer.log_every_n_steps",
}  # fmt: skip


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The keys in which two runs' settings differ, as "key: value there, value here"."""
    old, new = _flat(there), _flat(here)
    return [
        f"{key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} now"
        for key in sorted({*old, *new})
        if old.get(key, "absent") != new.get(key, "absent")
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in _INCIDENTAL:
            continue
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{key}.")
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat
