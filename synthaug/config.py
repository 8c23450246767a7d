"""Configuration: the typed schema, the quoting of choices, and every check that can be made before work begins.

Nothing here imports torch: a typo is answered in a second. A node is either data, with a dataclass below as its
type, or names a `_target_` whose signature is read from its source (`signatures`).
"""

import contextlib
import difflib
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthaug import signatures
from synthaug.data.samples import layout_problems
from synthaug.errors import UserError, raise_all
from synthaug.results import PlannedRun, RunKey

VERSION_BASE = "1.3"
GROUPS = ("dataset", "generator", "mix", "model", "trainer", "logger", "experiments")
_SEVERAL = ("logger", "experiments")  # groups of which more than one choice can be in force
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
}
# Keys of a node that are ours and not its target's.
OWN_KEYS = ("name",)


def register() -> None:
    """Make the schema and the study configs of `experiments/` known to Hydra.

    Raises:
        UserError: a study config cannot be read.
    """
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


# --- the command line ------------------------------------------------------------------------------


# Below these, keys are arguments of what a `_target_` names.
_ARGUMENT = re.compile(r"(generator|model|trainer|logger\.\w+)\.\w+=")


def as_hydra_reads(argument: str) -> str:
    """One argument of the command line as it must be for Hydra to read it as it was meant.

    Any argument of a target may be given, whether its YAML lists it or not: `generator.device=cpu` becomes
    `++generator.device=cpu`. Whether the target takes it is for `problems_of` to say.
    """
    return f"++{argument}" if _ARGUMENT.match(argument) else quote_choices(argument)


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
    def planned(self) -> PlannedRun:
        """The run as the study's plan lists it."""
        return PlannedRun(self.key, self.settings["mix"]["real"], self.settings["mix"]["synthetic"])


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for several runs (-m, --multirun)."""
    return bool(get_args_parser().parse_args(list(arguments)).multirun)


def jobs_of(arguments: Sequence[str]) -> list[Job] | None:
    """Compose and check every run that a command line asks for.

    Args:
        arguments: `sys.argv[1:]`, each `as_hydra_reads`.

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
    blamed: dict[str, str] = {}
    problems: list[str] = []
    jobs: list[Job] = []
    seen: set[str] = set()
    with _hydra(parsed.config_dir):
        combinations = _expand(parsed.overrides, blamed) if parsed.multirun else [parsed.overrides]
        if combinations is None:
            return None
        for combination in combinations:
            if (blamed or problems) and seen.issuperset(combination):
                continue  # nothing will run: only what was not looked at yet can add to what is wrong
            seen.update(combination)
            config = _composed(combination, blamed)
            if config is None:
                continue
            found = problems_of(config) + _sweep_problems(config.hydra, combination, parsed.multirun)
            problems += found
            if not found:
                jobs.append(job_of(config, config.hydra))
    problems = [f"{_as_typed(override)}: {reason}" for override, reason in blamed.items()] + problems
    raise_all("The configuration cannot be used:", list(dict.fromkeys([*problems, *_clashes(jobs)])))
    return jobs


@contextlib.contextmanager
def _hydra(config_dir: str | None) -> Iterator[None]:
    """Hydra set up for `compose`, with the search path that `@hydra.main` will have."""
    search_path = create_config_search_path(str(CONF))
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir {config_dir}: there is no folder {folder}")
        search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    version.setbase(VERSION_BASE)
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2("synthaug", search_path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def _sweep_problems(hydra: DictConfig, overrides: Sequence[str], multirun: bool) -> list[str]:
    """What a study would sweep over and this command line does not."""
    found = []
    if hydra.mode == RunMode.MULTIRUN and not multirun:
        found.append("hydra.mode: several runs are asked for with -m")
    given = {_key(override) for override in overrides}
    ignored = [str(key) for key in hydra.sweeper.get("params") or {} if key not in given]
    if ignored:
        choices = " ".join(f"{key}=<value>" for key in ignored)
        found.append(f"hydra.sweeper.params: this is a sweep; run it alone with -m, or choose one run with {choices}")
    return found


def _clashes(jobs: Iterable[Job]) -> list[str]:
    """Runs of one command that would share a folder although they are not the same."""
    first: dict[Path, Job] = {}
    found = []
    for job in jobs:
        there = first.setdefault(job.folder, job)
        differing = _differing(there.settings, job.settings)
        if differing:
            suffix = "-".join(f"${{{key}}}" for key in differing)
            found.append(
                f"{', '.join(differing)}: several values, but runs that differ only in them would share the folder "
                f"{job.folder}; give each a study of its own: 'experiment={there.settings['experiment']}-{suffix}'"
            )
    return found


def job_of(config: DictConfig, hydra: Any) -> Job:
    """A composed configuration as plain data, under the names of the files it was made of.

    Args:
        config: composed, with or without its node `hydra`.
        hydra: that node.
    """
    plain = _without_hydra(config)
    settings, recorded = _data(plain), _recorded(plain)
    choices = {str(group): str(choice).replace("/", "-") for group, choice in hydra.runtime.choices.items()}
    mix = settings["mix"]
    folders = [Path(source.path) / "mix" for source in hydra.runtime.config_sources if source.schema == "file"]
    names = {group: settings[group].get("name") or choices[group] for group in ("dataset", "generator", "model")}
    names["mix"] = arm_name(hydra.runtime.choices["mix"], mix["real"], mix["synthetic"], folders)
    for group, name in names.items():
        settings[group]["name"] = recorded[group]["name"] = name
    key = RunKey(names["dataset"], names["generator"], names["model"], names["mix"], settings["seed"])
    return Job(settings, recorded, key, Path(settings["output_dir"]) / settings["experiment"])


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
                return choice.replace("/", "-")
    return f"real{real:.12g}-synthetic{synthetic:.12g}"


def _expand(overrides: list[str], blamed: dict[str, str]) -> list[list[str]] | None:
    """The override lists of a sweep, as Hydra's basic sweeper will make them; None where another one is in charge.

    Overrides that cannot be applied at all go to `blamed`.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except Exception as error:
            blamed[override] = _plain(error, override, [])
    single = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
    config = _composed(single, blamed)
    if config is None or not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        return None if config else []
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    try:
        batches = BasicSweeper.split_arguments([*parser.parse_overrides(params), *parsed], max_batch_size=None)
    except Exception as error:
        blamed["-m"] = _plain(error, "", [])
        return [single]
    return [list(job) for batch in batches for job in batch]


def _composed(overrides: Sequence[str], blamed: dict[str, str]) -> DictConfig | None:
    """The configuration without the overrides that cannot be applied, which go to `blamed` with the reason.

    None where the rest cannot be composed either.
    """
    blamed |= {override: reason for override in overrides for reason in [_misuse(override)] if reason}
    while True:
        usable = [override for override in overrides if override not in blamed]
        try:
            return compose("config", usable, return_hydra_config=True)
        except Exception as error:  # of Hydra, of OmegaConf or of the YAML reader
            found = _blame(usable)
            blamed |= found or {" ".join(usable) or str(CONF): _plain(error, "", [])}
            if not found:
                return None


def _blame(overrides: Sequence[str]) -> dict[str, str]:
    """Override → why it cannot be applied, for all that cannot; Hydra itself stops at the first."""
    # A key may exist only under a certain choice of its group, so choices that compose go before it.
    groups = [override for override in overrides if _key(override) in GROUPS]
    blamed: dict[str, str] = {}
    for override in [*groups, *(other for other in overrides if other not in groups)]:
        before = [] if override in groups else [group for group in groups if group not in blamed]
        try:
            compose("config", [*before, override])
        except Exception as error:
            blamed[override] = _plain(error, override, before)
    return blamed


def _misuse(override: str) -> str | None:
    """Why a choice cannot be meant although Hydra would take it."""
    group, value = _key(override), override.partition("=")[2]
    if group not in GROUPS and "/" not in group:
        return None
    parts = re.split(r"[\s,'\"\[\]()]+", value)
    if any(part.startswith("/") or ".." in re.split(r"[/\\]", part) for part in parts):
        return (
            f"a choice is the name of a file in conf/{group}/ and not a path; a file of your own goes to "
            f"<folder>/{group}/, used with --config-dir=<folder>"
        )
    if value.startswith("[") and group in GROUPS and group not in _SEVERAL:
        return f"a run has one {group}; several runs are asked for with -m {group}=<choice>,<choice>"
    return None


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _as_typed(override: str) -> str:
    """An override without what `as_hydra_reads` added."""
    if _key(override) in GROUPS:
        return override.replace("'", "")
    plain = override.removeprefix("++")
    return plain if _ARGUMENT.match(plain) else override


def _plain(error: Exception, override: str, before: list[str]) -> str:
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
    if "Config group override must be" in text:
        known = GlobalHydra.instance().config_loader().get_group_options(_key(override))
        return f"this is not a name; choices: {', '.join(known)} (in YAML, a number among them is written \"'55'\")"
    full_key = re.search(r"full_key: (\S+)", text)
    in_file = full_key is not None and _key(override) in GROUPS
    key = full_key[1] if full_key and in_file else _key(override)
    if re.search(r"Key '([^']+)' is not in struct|Key '([^']+)' not in '", text):
        reason = _unknown_key(key, before)
    else:
        reason = " ".join(re.split(r"\n    full_key|\nSee https://hydra", str(error.__cause__ or error))[0].split())
    return f"its {key}: {reason}" if in_file else reason


def _unknown_key(key: str, before: list[str]) -> str:
    """Close matches of a key that the configuration does not have."""
    config = compose("config", before, return_hydra_config=key.startswith("hydra."))
    parent, rest = "", key.split(".")
    node: Any = config
    while isinstance(node, DictConfig) and rest[0] in node and not OmegaConf.is_interpolation(node, rest[0]):
        parent = f"{parent}.{rest[0]}" if parent else rest[0]
        node = node[rest.pop(0)]
    if not isinstance(node, DictConfig):
        return f"there is no such key; {parent} is a single value"
    return _not_among([str(name) for name in node], parent, rest)


def _not_among(known: list[str], parent: str, rest: list[str]) -> str:
    close = difflib.get_close_matches(rest[0], known, n=1)
    if close:
        return f"there is no such key; did you mean {'.'.join([*([parent] if parent else []), close[0], *rest[1:]])}?"
    return f"there is no such key; {parent or 'the configuration'} has {', '.join(known)}"


# --- values ----------------------------------------------------------------------------------------


def problems_of(config: DictConfig) -> list[str]:
    """Everything that is wrong with a composed configuration, as far as can be seen without running it."""
    plain = _without_hydra(config)
    without_value = dict(_without_value(plain))
    broken = list(without_value)
    found = [f"{key}: {reason}" for key, reason in [*_unknown(plain), *without_value.items()]]
    for key, (fine, wanted) in _RULES.items():
        if not _touches(broken, key) and not fine(value := OmegaConf.select(plain, key)):
            found.append(f"{key}={value!r}: must be {wanted}")
    if not _touches(broken, "mix") and plain.mix.real == plain.mix.synthetic == 0:
        found.append("mix.real=0, mix.synthetic=0: there is nothing to train on; raise one of them")
    if not _touches(broken, "dataset"):
        found += _dataset_problems(plain.dataset)
    return found + _target_problems(plain, broken)


def _unknown(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Keys that nothing reads: `+key=value` brings them past Hydra's own check."""
    typed = {"": Config, "dataset": DatasetConfig, "dataset.augment": AugmentConfig, "mix": MixConfig}
    for parent, schema in typed.items():
        known = [field.name for field in fields(schema)]
        node = OmegaConf.select(config, parent) if parent else config
        names = [str(name) for name in node] if isinstance(node, DictConfig) else []
        for name in names:
            if name not in known:
                yield f"{parent}.{name}".lstrip("."), _not_among(known, parent, [name])


def _without_value(node: DictConfig | ListConfig, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys that are mandatory, or whose interpolation leads nowhere, each with the reason."""
    names: list[Any] = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for name in names:
        key = f"{prefix}{name}"
        if OmegaConf.is_missing(node, name):
            yield key, f"has no value; give one with {key}=<value>"
            continue
        try:
            value = node[name]
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0]
            yield key, re.sub(r'.* raised while resolving interpolation: "?([^"]*)"?', r"\1", reason)
        else:
            if isinstance(value, (DictConfig, ListConfig)):
                yield from _without_value(value, f"{key}.")


def _touches(broken: Iterable[str], key: str) -> bool:
    """Whether what is broken is the key itself, above it or below it."""
    return any(f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.") for other in broken)


def _is_name(name: Any) -> bool:
    return bool(re.fullmatch(r"[^\s/\\.\x00-\x1f][^/\\\x00-\x1f]{0,99}", str(name)))


def _is_range(pair: Any, most: float) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= most


# Folders of output_dir that all studies share.
_SHARED = ("datasets", "pixels", "synthetic")
_NAME = (lambda name: name is None or _is_name(name), "a name that a folder can have")
_SHARE = (lambda value: 0 <= value <= 1, "0 to 1")
# Key → what its value must be, as a test and in words.
_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "experiment": (
        lambda name: _is_name(name) and name not in _SHARED,
        f"a name that a folder can have, and none of {', '.join(_SHARED)}",
    ),
    "seed": (lambda seed: 0 <= seed < 2**31, "0 to 2147483647"),
    "batch_size": (lambda size: size >= 1, "at least 1"),
    "per_class": (lambda count: count is None or count >= 1, "at least 1, or null"),
    "num_workers": (lambda count: count >= 0, "at least 0"),
    "mix.real": (lambda share: 0 <= share <= 1, "0 to 1: the share of the real training images that is kept"),
    "mix.synthetic": (lambda times: 0 <= times < 1e6, "at least 0: a multiple of the real images' number"),
    "dataset.image_size": (lambda size: 1 <= size <= 4096, "1 to 4096 pixels"),
    "dataset.crop_pct": (lambda share: 0 < share <= 1, "more than 0, at most 1"),
    "dataset.augment.scale": (lambda pair: _is_range(pair, 1), "two numbers, 0 < low ≤ high ≤ 1"),
    "dataset.augment.ratio": (lambda pair: _is_range(pair, 1e3), "two numbers, 0 < low ≤ high"),
    "dataset.augment.rotation": (lambda degrees: 0 <= degrees <= 180, "0 to 180 degrees"),
    "dataset.augment.horizontal_flip": _SHARE,
    "dataset.augment.brightness": _SHARE,
    "dataset.augment.contrast": _SHARE,
    "dataset.augment.saturation": _SHARE,
    "dataset.name": _NAME,
    "generator.name": _NAME,
    "model.name": _NAME,
}


def _dataset_problems(dataset: DictConfig) -> list[str]:
    """What is wrong with a folder that nothing will fill; the rest is found when it is scanned."""
    if dataset.prepare is not None:
        return []
    folders = {split: dataset[split] for split in ("train", "val", "test")}
    return [f"dataset.root={dataset.root}: {text}" for text in layout_problems(Path(dataset.root), folders)]


def _target_problems(config: DictConfig, broken: Sequence[str]) -> list[str]:
    paths = ["generator", "model", "trainer"]
    if not _touches(broken, "dataset.prepare") and config.dataset.prepare is not None:
        paths.append("dataset.prepare")
    if not _touches(broken, "logger"):
        paths += [f"logger.{name}" for name in config.logger or {}]
    found = []
    for path in paths:
        if not _touches(broken, path):
            found += _node_problems(path, OmegaConf.select(config, path))
    return found


def _node_problems(path: str, node: Any) -> list[str]:
    """What is wrong with a node that names what it configures."""
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if not isinstance(target, str):
        return [f"{path}: has no _target_, the dotted name of what it configures"]
    supplied = SUPPLIED[path if path in SUPPLIED else path.partition(".")[0]]
    found = [
        f"{path}.{name}: the program sets it itself; leave it out"
        + (" (and set WANDB_MODE=offline in the environment)" if name in ("mode", "offline") else "")
        for name in supplied
        if name in node
    ]
    try:
        found += [f"{path}: {text}" for text in signatures.problems(target, called(node), supplied)]
    except signatures.UnknownTarget as error:
        found.append(f"{path}._target_: {error}")
    # The one logger whose package is optional is refused by Lightning only when all images are ready.
    if target.endswith(".TensorBoardLogger") and not importlib.util.find_spec("tensorboard"):
        found.append(f"{path}: needs a package that is not installed: pip install 'synthaug[tensorboard]'")
    return found


def called(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node without the keys that are ours: what its target is called with."""
    return {key: value for key, value in node.items() if key not in OWN_KEYS}


# --- what counts as the same configuration ---------------------------------------------------------

# Where and how fast a run is computed, and who is told, does not change what it is.
_INCIDENTAL = {
    "experiment", "num_workers", "per_class", "output_dir", "overwrite", "logger",
    "dataset.root", "dataset.on_bad_image", "generator.device", "generator.batch_size",
    "trainer.accelerator", "trainer.strategy", "trainer.log_every_n_steps",
}  # fmt: skip


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The keys in which two runs' settings differ, as "key: value there, value here"."""
    differing = _differing(there, here).items()
    return [f"{key}: {old} there, {new} now" for key, (old, new) in differing]


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = _flat(there), _flat(here)
    pairs = {key: (old.get(key, "absent"), new.get(key, "absent")) for key in sorted({*old, *new})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


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
