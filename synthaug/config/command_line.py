"""The command line, read once: options first, each override as Hydra's grammar needs it."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from synthaug.config.schema import GROUPS, Config, quote_choices

# Keys below which each class has one; classes are folders, whose names may have hyphens, spaces and dots.
_BY_CLASS = r"prompts\.(?:settings|names)|mix\.fill|dataset\.class_counts"
# Below these, keys are arguments of what a `_target_` names, or may be set without standing in any file.
_ARGUMENT = re.compile(
    r"(generator|captioner|model|trainer|dataset\.prepare|logger\.\w+|shift\.\w+|mix\.augment|prompts\.lists)\.\w+=|mix\.augment=|prompts\.lists="
    rf"|({_BY_CLASS})(\.[\w-]+)?="
)
PLAIN_KEYS = {field.name for field in fields(Config)} - set(GROUPS)
_OF_CLASS = re.compile(
    rf"\+{{0,2}}({_BY_CLASS})\.(?!([A-Za-z_][\w-]*|0|[1-9][\d_]*)=)([^=]+)=(.*)",
    re.ASCII,
)
_CLASSES = re.compile(rf"\+\+({_BY_CLASS})=\{{(.*)\}}")
# Keys whose values are text, and what Hydra would read as a number or a truth value: 2024_05 is 202405 to it.
TEXT_KEY = re.compile(
    r"\+{0,2}(experiment|output_dir|dataset\.(name|root|train|val|test|more|groups|prepare\.(id|revision|config))"
    r"|prompts\.(name|file|(names|settings)\.[^=]+)|generator\.(name|root|model|revision|variant|prompt|negative_prompt)"
    r"|captioner\.(name|model|revision)|model\.(name|backbone|weights)|logger\.\w+\.(project|entity)|shift\.\w+\.(name|root))"
)
_OTHER_TYPE = re.compile(r"[+-]?([\d_]+\.?[\d_]*|\.\d[\d_]*)(e[+-]?[\d_]+)?|[+-]?(inf|nan)|true|false", re.IGNORECASE)
# Values in Hydra's own grammar: quoted, a list, a mapping, a function, an interpolation, or with escaped characters.
_GRAMMAR = re.compile(
    r"(^|,)\s*['\"\[{]|\$\{|\\|^\s*(choice|range|interval|glob|shuffle|sort|tag|extend_list|int|float|str|bool|json_str)\s*\("
)
_NOT_BARE = re.compile(r"[^A-Za-z0-9_/.+$%*@?|:\s-]")  # what that grammar takes only in quotes

# Hydra's options that take a value, by their short form, and the values of the one that need not.
_VALUE_OPTIONS = {
    "-c": "--cfg", "-p": "--package", "-cp": "--config-path", "-cn": "--config-name", "-cd": "--config-dir",
    "-er": "--experimental-rerun", "-i": "--info",
}  # fmt: skip
_FLAGS = ("--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun", "--shell-completion")
_INFO_VALUES = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass(frozen=True)
class CommandLine:
    """What was typed after the command.

    Attributes:
        options: such as -m, each with its value behind it.
        overrides: `key=value`, normalized.
        values: option that takes a value → its value.
    """

    options: list[str]
    overrides: list[str]
    values: dict[str, str]

    @property
    def argv(self) -> list[str]:
        """The arguments in the order that Hydra takes: overrides on one side of the options only."""
        return [*self.options, *self.overrides]

    @property
    def config_dir(self) -> str | None:
        """The user's own configuration folder."""
        return self.values.get("--config-dir")

    @property
    def is_sweep(self) -> bool:
        """Whether several runs are requested."""
        return not {"-m", "--multirun"}.isdisjoint(self.options) or "hydra.mode=MULTIRUN" in self.overrides

    @property
    def wants_help(self) -> bool:
        """Whether to say what the command does instead of doing it."""
        return not {"-h", "--help"}.isdisjoint(self.options)

    @property
    def has_other_config(self) -> bool:
        """Whether another primary configuration than ours is to be read."""
        return "--config-name" in self.values or "--config-path" in self.values

    @property
    def may_change_hydra(self) -> bool:
        """Whether configuration files of the user, or a key of `hydra`, may change what Hydra does by itself."""
        typed = any(key_of(override).startswith("hydra.") for override in self.overrides)
        return typed or self.has_other_config or self.config_dir is not None


def normalize_argv(arguments: Sequence[str]) -> CommandLine:
    """Read a command line: options on one side, overrides on the other, those as Hydra's grammar needs them.

    What is not an option of Hydra's is a setting: `--seed 1` is read as `seed=1`.
    """
    options, overrides, values = list[str](), list[str](), dict[str, str]()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument.startswith("--") and not _is_option(argument):
            argument = _setting(argument, rest)
        if not argument.startswith("-"):
            overrides.append(normalize_override(argument))
            continue
        typed, equals, value = argument.partition("=")
        name = _value_option(typed)
        if name == "--info" and not equals and (not rest or rest[0] not in _INFO_VALUES):
            argument, equals, value = "--info=all", "=", "all"  # or it would take the first override for its value
        options.append(argument)
        if name and not equals and rest:
            value = rest.pop(0)
            options.append(value)
        if name:
            values[name] = value
    return CommandLine(options, _with_joined_classes(overrides), values)


def _with_joined_classes(overrides: list[str]) -> list[str]:
    """Return overrides with one mapping of classes for each key, or a sweep would use the last alone."""
    mappings: dict[str, list[str]] = {}
    for override in overrides:
        if of_classes := _CLASSES.fullmatch(override):
            mappings.setdefault(of_classes[1], []).append(of_classes[2])
    joined = [f"++{key}={{{', '.join(entries)}}}" for key, entries in mappings.items()]
    return [override for override in overrides if not _CLASSES.fullmatch(override)] + joined


def _is_option(argument: str) -> bool:
    """Whether it is one of Hydra's, which argparse lets one abbreviate."""
    name = argument.partition("=")[0]
    return any(option.startswith(name) for option in (*_VALUE_OPTIONS.values(), *_FLAGS))


def _setting(argument: str, rest: list[str]) -> str:
    """Return a setting that was typed like an option of another program, `--batch-size 16`, as an override."""
    key, equals, value = argument.removeprefix("--").partition("=")
    if not equals:
        value = rest.pop(0) if rest and "=" not in rest[0] and not rest[0].startswith("-") else "true"
    return f"{key.replace('-', '_')}={value}"


def _value_option(typed: str) -> str:
    """Return the full name of an option that takes a value, which argparse lets one abbreviate; "" for a flag."""
    if typed.startswith("--"):
        return next((name for name in _VALUE_OPTIONS.values() if name.startswith(typed)), "")
    return _VALUE_OPTIONS.get(typed, "")


def normalize_override(argument: str) -> str:
    """Return an override as Hydra must have it to read it as it was meant.

    Choices that begin with a digit and text beyond ASCII are quoted; arguments of targets need no plus; the few keys
    that take one elsewhere take none; a class with spaces or dots becomes the key of a mapping.
    """
    if of_class := _OF_CLASS.fullmatch(argument):  # a key may not have spaces and dots, but that of a mapping may
        parent, _, name, value = of_class.groups()
        name = re.sub(r"([\\()\[\]{}:,])", r"\\\1", name)
        if parent.startswith("prompts"):
            value = _as_text(value) if _OTHER_TYPE.fullmatch(value) else _quoted(value)
        return f"++{parent}={{{name}: {value}}}"
    if argument.startswith("+") and key_of(argument) in PLAIN_KEYS:
        argument = argument.lstrip("+")
    argument = _quote_text(argument)
    return f"++{argument}" if _ARGUMENT.match(argument) else quote_choices(argument)


def typed_form(override: str) -> str:
    """Return an override without what `normalize_override` added."""
    if key_of(override) in GROUPS:
        return override.replace("'", "")
    plain = override.removeprefix("++")
    return plain if _ARGUMENT.match(plain) else override


def resuming_command(command: str, arguments: Sequence[str]) -> str:
    """Return the line to type for a command to go on: without `overwrite`, which trains finished runs again.

    Args:
        command: what was typed before its arguments.
        arguments: of it.
    """
    command_line = normalize_argv(arguments)
    overrides = [typed_form(override) for override in command_line.overrides if key_of(override) != "overwrite"]
    return f"{command} {shlex.join([*command_line.options, *overrides])}".rstrip()


def key_of(override: str) -> str:
    """Return the key of an override, or the group that it chooses from."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _quote_text(argument: str) -> str:
    """Quote plain values that hold letters and signs of which Hydra's grammar knows nothing; `~` is the home folder."""
    key, equals, value = argument.partition("=")
    if equals and TEXT_KEY.fullmatch(key) and not _GRAMMAR.search(value):
        value = ",".join(map(_as_text, value.split(",")))
        argument = f"{key}={value}"
    if not equals or not re.fullmatch(r"\+{0,2}\w[^=\s]*", key) or _GRAMMAR.search(value):
        return argument
    return f"{key}={','.join(map(_quoted, value.split(',')))}"


def _as_text(value: str) -> str:
    return f"'{value}'" if _OTHER_TYPE.fullmatch(value) else value


def _quoted(value: str) -> str:
    plain = str(Path(value).expanduser()) if re.match(r"~(/|$)", value) else value
    quote = '"' if "'" in plain else "'"
    return f"{quote}{plain}{quote}" if _NOT_BARE.search(plain) and quote not in plain else plain
