"""Hydra at work: overrides parsed, sweeps expanded, configurations composed; its errors in the words of who typed them.

Hydra stops at the first override that it cannot apply, and says so in its own terms. Here every one is tried.
"""

import argparse
import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from synthaug.config.schema import CONF, GROUPS, SEVERAL, VERSION_BASE
from synthaug.config.validation import not_among
from synthaug.errors import UserError


def asks_for_something_else(parsed: argparse.Namespace) -> bool:
    """Whether Hydra is to show something, or to read another primary configuration, instead of running this one."""
    asks_for_text = parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    return bool(asks_for_text or parsed.config_name or parsed.config_path)


@contextlib.contextmanager
def hydra_set_up(config_dir: str | None) -> Iterator[None]:
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


def parse(overrides: Iterable[str], blamed: dict[str, str]) -> list[Override]:
    """Overrides as Hydra reads them; those that it cannot read go to `blamed` with the reason."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except Exception as error:
            blamed[override] = plain_words(error, override, [])
    return parsed


def without_sweeps(overrides: Iterable[Override]) -> list[str]:
    """The overrides that have one value."""
    return [override.input_line or "" for override in overrides if not override.is_sweep_override()]


def has_basic_sweeper(config: DictConfig) -> bool:
    """Whether Hydra's own sweeper is in charge, which knows all runs before the first."""
    return bool(config.hydra.sweeper._target_.endswith("BasicSweeper"))


def params_of_study(config: DictConfig) -> list[Override]:
    """What a study itself sweeps over."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed: list[Override] = parser.parse_overrides(
        [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    )
    return parsed


def expand(overrides: Sequence[Override]) -> list[list[str]]:
    """Every combination of values; of two overrides of one key the last is in force."""
    return [list(job) for batch in BasicSweeper.split_arguments(list(overrides), None) for job in batch]


def compose_without_mistakes(overrides: Sequence[str], blamed: dict[str, str]) -> DictConfig | None:
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
            blamed |= found or {" ".join(usable) or str(CONF): plain_words(error, "", [])}
            if not found:
                return None


def _blame(overrides: Sequence[str]) -> dict[str, str]:
    """Override → why it cannot be applied, for all that cannot; Hydra itself stops at the first."""
    # A key may exist only under a certain choice of its group, so choices that compose go before it.
    groups = [override for override in overrides if key_of(override) in GROUPS]
    blamed: dict[str, str] = {}
    for override in [*groups, *(other for other in overrides if other not in groups)]:
        before = [] if override in groups else [group for group in groups if group not in blamed]
        try:
            compose("config", [*before, override])
        except Exception as error:
            blamed[override] = plain_words(error, override, before)
    return blamed


def _misuse(override: str) -> str | None:
    """Why a choice cannot be meant although Hydra would take it."""
    group, value = key_of(override), override.partition("=")[2]
    if group not in GROUPS and "/" not in group:
        return None
    parts = re.split(r"[\s,'\"\[\]()]+", value)
    if any(part.startswith("/") or ".." in re.split(r"[/\\]", part) for part in parts):
        return (
            f"a choice is the name of a file in conf/{group}/ and not a path; a file of your own goes to "
            f"<folder>/{group}/, used with --config-dir=<folder>"
        )
    if value.startswith("[") and group in GROUPS and group not in SEVERAL:
        return f"a run has one {group}; several runs are asked for with -m {group}=<choice>,<choice>"
    return None


def key_of(override: str) -> str:
    """The key of an override, or the group that it chooses from."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def plain_words(error: Exception, override: str, before: list[str]) -> str:
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
    if missing := re.search(r"Could not load '([^']+)/([^'/]+)'", text):  # in a list Hydra names no choices
        known = GlobalHydra.instance().config_loader().get_group_options(missing[1])
        close = difflib.get_close_matches(missing[2], known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"there is no {missing[1]} {missing[2]}; {hint}choices: {', '.join(known)}"
    if re.search(r"Could not override '\w+@experiments\.", text):
        return "a study in a folder of your own needs a first line that says # @package _global_"
    if "Ambiguous value" in text:
        return "several values need -m, one run for each: python -m synthaug.train -m …"
    if "Config group override must be" in text:
        known = GlobalHydra.instance().config_loader().get_group_options(key_of(override))
        return f"this is not a name; choices: {', '.join(known)} (in YAML, a number among them is written \"'55'\")"
    full_key = re.search(r"full_key: (.+)", text)
    typed = key_of(override)
    inside = full_key is not None and (typed in GROUPS or full_key[1].startswith(f"{typed}."))
    key = full_key[1] if full_key and inside else typed
    if re.search(r"Key '([^']+)' is not in struct|Key '([^']+)' not in '", text):
        reason = _unknown_key(key, before)
    elif re.search("LexerNoViableAlt|mismatched input|extraneous input|no viable alternative", text) and key.isascii():
        quoted = f"""text with such signs is quoted once more, '{key}="…"', or in a list '{key}=["…"]'"""
        reason = f"{text.partition(chr(10))[0]}; {quoted}"
    elif "NoneType" in text:
        # OmegaConf cannot merge into a node that is null, except from a file.
        reason = f"this node is null with the chosen {key.partition('.')[0]}: give it in a YAML file, or choose another"
    else:
        reason = " ".join(re.split(r"\n    full_key|\nSee https://hydra", str(error.__cause__ or error))[0].split())
    return f"its {key}: {reason}" if inside else reason


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
    return not_among([str(name) for name in node], parent, rest)
