"""What a configuration may call: a list of what builds something, for each place in it.

A YAML file may come from a stranger, and a `_target_` is a call. Only names on the list are called: none that loads,
runs, writes or deletes. A user adds packages in the environment, which no YAML file can.
"""

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from synthaug.config import signatures
from synthaug.errors import UserError

ALLOWED_PACKAGES = "SYNTHAUG_TARGETS"  # environment variable: packages that may be called as well, comma separated
MAX_VALUES = 20_000  # of a configuration whose interpolations are followed
_MAX_DEPTH = 40

_LIGHTNING = r"(pytorch_lightning|lightning\.pytorch)"
_CLASS = r"(\w+\.)*[A-Z]\w*"
_TRANSFORMS = rf"torchvision\.transforms\.v2\.{_CLASS}|synthaug\.data\.corruption\.JPEG"
# What may be called anywhere inside of a node of the program: parts that are built from their arguments alone.
_PARTS = (
    rf"torch\.(nn|optim)\.{_CLASS}|torchvision\.models\.[a-z]+\d*\w*|{_TRANSFORMS}|diffusers\.\w+(Pipeline|Scheduler)"
    rf"|{_LIGHTNING}\.(loggers|callbacks|strategies)\.{_CLASS}|synthaug\.models\.\w+\.[A-Z]\w*"
)
# Place → what may be called there besides.
_AT: Mapping[str, str] = {
    r"dataset\.prepare": r"synthaug\.data\.sources\.\w+\.write_(?!$)\w+",
    r"generator": r"synthaug\.generation\.\w+\.\w+Generator",
    r"captioner": r"synthaug\.generation\.captioners\.\w+Captioner",
    r"model": r"synthaug\.models\.\w+\.[A-Z]\w*",
    r"trainer": rf"{_LIGHTNING}\.Trainer",
    r"logger\.[^.]+": rf"{_LIGHTNING}\.loggers\.{_CLASS}",
    r"shift\.[^.]+": r"synthaug\.arms\.shifts\.[A-Z]\w*",
    r"cluster": r"synthaug\.execution\.clusters\.[A-Z]\w*",
    r"hydra\.(launcher|sweeper)(\..+)?": (
        r"hydra\._internal\.core_plugins\.\w+\.Basic(Launcher|Sweeper)"
        rf"|hydra_plugins\.{_CLASS}|optuna\.(samplers|pruners)\.[A-Z]\w*"
    ),
    r"hydra\.callbacks\..+": rf"hydra\.experimental\.callbacks\.[A-Z]\w*|hydra_plugins\.{_CLASS}",
    r"hydra\.(job|hydra)_logging\..+": (
        r"logging\.(StreamHandler|NullHandler|FileHandler|Formatter|Filter)|colorlog\.(\w+\.)?(Colored|TTYColored)Formatter"
        r"|synthaug\.execution\.\w+\.\w+(Filter|Handler|Formatter)"
    ),
}
# Packages that the list chooses from; nobody need trust them as a whole.
_LISTED = {
    *("synthaug", "torch", "torchvision", "timm", "diffusers", "transformers", "pytorch_lightning", "lightning"),
    *("hydra", "hydra_plugins", "omegaconf", "colorlog", "optuna", "yaml", "numpy", "PIL", "wandb"),
}
_INSTANTIATED = r"(cluster|generator|captioner|model|trainer|logger|shift|dataset\.prepare|hydra)\."
# Functions of the allowed modules that fetch and unpickle, or read a registry of whatever was imported.
_NOT_BUILDING = re.compile(r".*\.(load\w*|get_\w+|list_\w+|register_\w+|from_\w+)$")
# Arguments with which a library reads pickles, or runs code that comes with a model → the value that does.
_TRUSTING = {"allow_pickle": True, "trust_remote_code": True, "use_safetensors": False, "weights_only": False}


class RefusedConfigurationError(UserError):
    """A configuration that may not be carried out.

    Args:
        problems: key → reason.
        config: as it was composed.
    """

    def __init__(self, problems: Mapping[str, str], config: DictConfig) -> None:
        lines = [f"  - {key}: {reason}" for key, reason in problems.items()]
        super().__init__("\n".join(["The configuration cannot be used:", *lines]))
        self.problems, self.config = dict(problems), config


class TooLargeError(Exception):
    """A configuration with more values than anyone writes down."""


def walk(node: Any, prefix: str = "", count: list[int] | None = None) -> Iterator[tuple[str, Any, str | None]]:
    """Yield (key, value, why it has none or None) of everything inside of a configuration, interpolations followed.

    Args:
        node: a `DictConfig` or `ListConfig`.
        prefix: of the keys, with its dot.
        count: of the values so far.

    Raises:
        TooLargeError: interpolations lead to ever more values.
    """
    count = [0] if count is None else count
    names: list[Any] = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for name in names:
        key = f"{prefix}{name}"
        count[0] += 1
        if count[0] > MAX_VALUES or key.count(".") > _MAX_DEPTH:
            raise TooLargeError(key)
        if OmegaConf.is_missing(node, name):
            yield key, None, f"has no value; give one with {key}=<value>"
            continue
        try:
            value = node[name]
        except InterpolationToMissingValueError:
            yield key, None, ""  # the key that it leads to is named itself
        except (OmegaConfBaseException, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            yield key, None, re.sub(r'.* raised while resolving interpolation: "?([^"]*)"?', r"\1", reason)
        else:
            yield key, value, None
            if isinstance(value, DictConfig | ListConfig):
                yield from walk(value, f"{key}.", count)


def call_problem(key: str, value: Any) -> str | None:
    """Return why what a key names may not be called; None where it may, or names nothing to be called.

    Args:
        key: dotted, with the place in the configuration.
        value: of the key.
    """
    place, _, name = key.rpartition(".")
    if isinstance(value, str) and "${" in value and re.match(_INSTANTIATED, key):
        return "would be read as an interpolation a second time; leave ${ out of it"
    in_logging = re.match(r"hydra\.(job|hydra)_logging\.", key)
    if in_logging and isinstance(value, str) and re.match(r"(ext|cfg)://", value):
        allowed = value in ("ext://sys.stdout", "ext://sys.stderr")
        return None if allowed else "a log goes to ext://sys.stdout, ext://sys.stderr or the log of the study"
    if name == "transform" and re.fullmatch(r"shift\.[^.]+", place):
        return _target_problem(value, _TRANSFORMS)
    if name != "_target_" and not (in_logging and name in ("()", "class")):
        return None
    if not isinstance(value, str):
        return "must be the dotted name of what is called"
    patterns = [pattern for at, pattern in _AT.items() if re.fullmatch(at, place)]
    return _target_problem(value, "|".join([*patterns, *([] if place.startswith("hydra") else [_PARTS])]))


def trust_problem(key: str, value: Any, typed: Collection[str]) -> str | None:
    """Return why an argument may not have files read that can run code; None where it does not, or was typed.

    Args:
        key: dotted, with the place in the configuration.
        value: of the key.
        typed: keys of the command line, which is not a stranger's.
    """
    name = key.rpartition(".")[2]
    if key in typed or value is None or not re.match(_INSTANTIATED, key) or _TRUSTING.get(name) is not bool(value):
        return None
    return f"reads files that can run code, which no YAML file may ask for; if you trust them, type {key}={value}"


def _target_problem(target: Any, allowed: str) -> str | None:
    target = str(target)
    package = target.partition(".")[0]
    if re.fullmatch(allowed, target) and not _NOT_BUILDING.match(target) and _is_defined_in(target, (package,)):
        return None
    packages = tuple(filter(None, (name.strip() for name in os.environ.get(ALLOWED_PACKAGES, "").split(","))))
    if _is_below(target, packages) and not _NOT_BUILDING.match(target) and _is_defined_in(target, packages):
        return None
    refusal = "a configuration may call only what builds something, from the list in docs/extending.md, and not this"
    if package in sys.stdlib_module_names or package in _LISTED:
        return refusal
    return f"{refusal}; if you trust the package {package}, say so in the environment: {ALLOWED_PACKAGES}={package}"


def _is_defined_in(target: str, packages: tuple[str, ...]) -> bool:
    """Whether a name of a module, and of one in these packages as far as sources tell: none that was imported there."""
    module = signatures.defining_module(target)
    return signatures.is_of_module(target) and (module is None or _is_below(module, packages))


def _is_below(path: str, packages: tuple[str, ...]) -> bool:
    return any(f"{path}.".startswith(f"{package}.") for package in packages)
