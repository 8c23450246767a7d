"""Composition by Hydra, and its errors in the words of the command line.

Hydra stops at the first override that it cannot apply, in its own terms. Here all of them are reported, and only once
a composition has failed.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from synthaug.config import hydra_guard
from synthaug.config.command_line import PLAIN_KEYS, key_of, typed_form
from synthaug.config.derivation import Templates
from synthaug.config.naming import plain_data
from synthaug.config.schema import CONF, GROUPS, SEVERAL, VERSION_BASE
from synthaug.config.targets import RefusedConfigurationError
from synthaug.config.validation import NO_SUCH_KEY, unknown_key
from synthaug.errors import UserError
from synthaug.messages import suggest


class Composer:
    """Compositions of one command, each made once. Hydra must be initialized, as it is inside of `@hydra.main`.

    Args:
        hydra_overrides: those of Hydra itself, part of every composition.
        config_name: of the primary configuration.
    """

    def __init__(self, hydra_overrides: Sequence[str] = (), config_name: str = "config") -> None:
        self._hydra_overrides = list(hydra_overrides)
        self._config_name = config_name
        self._composed: dict[tuple[str, ...], DictConfig | Exception] = {}  # or why it cannot be composed
        self._templates = Templates(self._compose_files, self.parse)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration with its node `hydra`; raise what Hydra, OmegaConf or the YAML reader raises."""
        key = tuple(overrides)
        if key not in self._composed:
            try:
                config = self._templates.derive(key) or self._compose_files(key)
                hydra_guard.check(config)
                self._templates.add(key, config)
                self._composed[key] = config
            except Exception as error:
                self._composed[key] = error
        composed = self._composed[key]
        if isinstance(composed, Exception):
            raise composed
        return composed

    def _compose_files(self, overrides: tuple[str, ...]) -> DictConfig:
        return compose(self._config_name, [*self._hydra_overrides, *overrides], return_hydra_config=True)

    def compose_valid(
        self, overrides: Sequence[str], errors: dict[str, str], failure: Exception | None = None
    ) -> DictConfig | None:
        """Return the configuration without the overrides that cannot be applied; None where the rest fails as well.

        Args:
            overrides: of one run.
            errors: override → why it cannot be applied; gets those of this run.
            failure: what Hydra raised for all of the overrides, where that is known: a composition less.
        """
        reasons = {override: reason for override in overrides if (reason := _misuse(override))}
        config = None
        while config is None:
            usable = [override for override in overrides if override not in {**errors, **reasons}]
            try:
                if failure and len(usable) == len(overrides):
                    raise failure
                config = self.compose(usable)
            except RefusedConfigurationError as error:
                reasons |= error.problems
                config = error.config
            except UserError as error:  # a file that is too large to be read
                reasons[" ".join(usable)] = str(error)
                break
            except Exception as error:  # of Hydra, of OmegaConf or of the YAML reader
                failure = None
                culprits = self._culprits(usable, error)
                reasons |= culprits or {" ".join(usable) or str(CONF): explain_hydra_error(error, "", [], self)}
                if not culprits:
                    break
        errors |= {override: reasons[override] for override in [*overrides, *reasons] if override in reasons}
        return config

    def parse(self, overrides: Iterable[str], errors: dict[str, str] | None = None) -> list[Override]:
        """Return overrides as Hydra reads them.

        Args:
            overrides: of a whole command.
            errors: gets those that cannot be read, each with the reason; None: they raise what Hydra raises.
        """
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = []
        for override in overrides:
            try:
                parsed += parser.parse_overrides([override])
            except Exception as error:
                if errors is None:
                    raise
                errors[override] = explain_hydra_error(error, override, [], self)
        return parsed

    def choices(self, group: str) -> list[str]:
        """Return the choices of a group."""
        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group, config_name=self._config_name, overrides=self._hydra_overrides)

    def missing_choice(self, override: str) -> str | None:
        """Return why a plain name cannot be chosen, without the time of a composition; None where it may be."""
        group, _, value = override.partition("=")
        name = value.strip("'\"")
        is_name = group in GROUPS and group not in SEVERAL and re.fullmatch(r"[\w.-]+", name) and name != "null"
        return _unknown_choice(group, name, self) if is_name and name not in self.choices(group) else None

    def _can_compose(self, overrides: Sequence[str]) -> bool:
        try:
            self.compose(overrides)
        except Exception:  # of Hydra, of OmegaConf or of the YAML reader
            return False
        return True

    def _culprits(self, overrides: Sequence[str], error: Exception) -> dict[str, str]:
        """Override → why it cannot be applied, for those that an error of their composition is about."""
        # A key may exist only under a certain choice of its group, so choices that compose go before it.
        groups = [override for override in overrides if key_of(override) in GROUPS]
        text = f"{error}\n{error.__cause__ or ''}"
        for override in overrides:
            key, choice = key_of(override), override.partition("=")[2].strip("'\"")
            if override in groups:
                if f"Could not find '{key}/{choice}'" in text:
                    return {override: explain_hydra_error(error, override, [], self)}
            elif f"Could not override '{key}'" in text or text.startswith(f"Error merging override {override}\n"):
                rest = [item for item in overrides if item != override]
                before = rest if self._can_compose(rest) else groups
                return {override: explain_hydra_error(error, override, before, self)}
        errors: dict[str, str] = {}
        for override in [*groups, *(plain for plain in overrides if plain not in groups)]:
            before = [] if override in groups else [group for group in groups if group not in errors]
            try:
                self.compose([*before, override])
            except Exception as reason:
                errors[override] = explain_hydra_error(reason, override, before, self)
        return errors


@contextlib.contextmanager
def initialized_hydra(
    config_dir: str | None, config_path: str | None = None, config_name: str = "config"
) -> Iterator[Composer]:
    """Initialize Hydra outside of `@hydra.main`, with the same search path.

    Args:
        config_dir: the user's own configuration folder.
        config_path: folder in the place of `conf`.
        config_name: of the primary configuration.

    Raises:
        UserError: there is no such folder, or one of its files is too large.
    """
    search_path: list[str] = []
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir {config_dir}: there is no folder {folder}")
        hydra_guard.check_files(folder)
        quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
        search_path = [f"hydra.searchpath=['file://{quoted}']"]
    if config_path is not None:
        if not Path(config_path).is_absolute():
            raise UserError(f"--config-path {config_path}: must be absolute, such as {Path(config_path).absolute()}")
        hydra_guard.check_files(Path(config_path))
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_path or str(CONF), job_name="synthaug", version_base=VERSION_BASE):
        yield Composer(search_path, config_name)


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
        return f"a run has one {group}; several runs are requested with -m {group}=<choice>,<choice>"
    return None


def explain_hydra_error(error: Exception, override: str, before: list[str], composer: Composer) -> str:
    """Return the sentence of a Hydra or OmegaConf error without its stack of contexts, and with close matches.

    Args:
        error: of a composition, or of parsing an override.
        override: that it is about; empty for none.
        before: overrides that can be composed, to which this one was added.
        composer: of the command.
    """
    text = f"{error}\n{error.__cause__ or ''}"
    group, value = key_of(override), "".join(typed_form(override).partition("=")[1:])
    if choice := re.search(r"Could not find '([^']+)'.*?Available options in '([^']+)':", text, re.S):
        return _unknown_choice(choice[2], choice[1], composer)
    if choice := re.search(r"Could not load '([^']+)/([^'/]+)'", text):  # in a list
        return _unknown_choice(choice[1], choice[2], composer)
    if re.search(r"Could not override '\w+@experiments\.", text):
        return "a study in a folder of your own needs a first line that says # @package _global_"
    if "Ambiguous value" in text:
        is_known = group.partition(".")[0] in {*GROUPS, *PLAIN_KEYS, "hydra"}
        problem = "" if is_known else f"{_unknown_key(group, before, composer, value)} And "
        return f"{problem}several values need -m, one run for each: python -m synthaug.train -m …"
    if "Config group override must be" in text:
        names = ", ".join(composer.choices(group))
        return f"this is not a name; choices: {names} (in YAML, a number among them is written \"'55'\")"
    if group.startswith(("prompts.names", "prompts.settings")) and re.search("Exception:|mismatched|with .str.", text):
        return "Hydra cannot read this; list prompts of the class in a file: prompts=file prompts.file=<file>"
    full_key = re.search(r"full_key: (.+)", text)
    inside = full_key is not None and (group in GROUPS or full_key[1].startswith(f"{group}."))
    key = full_key[1] if full_key and inside else group
    if re.search(r"Key '([^']+)' is not in struct|Key '([^']+)' not in '", text):
        reason = _unknown_key(key, before, composer, value if key == group else "")
    elif re.search("LexerNoViableAlt|mismatched input|extraneous input|no viable alternative", text) and key.isascii():
        quoted = f"""text with such signs is quoted once more, '{key}="…"', or in a list '{key}=["…"]'"""
        reason = f"{text.partition(chr(10))[0]}; {quoted}"
    elif "NoneType" in text:
        # OmegaConf cannot merge into a node that is null, except from a file.
        reason = f"this node is null with the chosen {key.partition('.')[0]}: give it in a YAML file, or choose another"
    else:
        reason = " ".join(re.split(r"\n    full_key|\nSee https://hydra", str(error.__cause__ or error))[0].split())
    return f"its {key}: {reason}" if inside else reason


# Groups whose choices are only the most common of what they may hold, and how the others are given.
_OTHER_CHOICES = {
    "model": "any network of torchvision or timm: model.backbone={0} or model.backbone=timm/{0}",
    "dataset": "a folder: dataset=imagefolder dataset.root={0}; "
    "of the Hugging Face hub: dataset=huggingface dataset.prepare.id={0}",
    "mix": "any shares: mix.real=0.35 mix.synthetic=0.65",
}


def _unknown_choice(group: str, choice: str, composer: Composer) -> str:
    names, name = composer.choices(group), choice.removeprefix(f"{group}/")
    sentences = [f"there is no {group} {name};", suggest(name, names, limit=1), f"choices: {', '.join(names)}"]
    others = _OTHER_CHOICES.get(group, "").format(name)
    return " ".join(filter(None, sentences)) + (f"; {others}" if others else "")


def _unknown_key(key: str, before: list[str], composer: Composer, value: str = "") -> str:
    """Close matches of a key that the configuration does not have."""
    parent, rest = "", key.split(".")
    config = composer.compose(before)
    node: Any = config
    while isinstance(node, DictConfig) and rest[0] in node and not OmegaConf.is_interpolation(node, rest[0]):
        parent = f"{parent}.{rest[0]}" if parent else rest[0]
        node = node[rest.pop(0)]
    if not isinstance(node, DictConfig):
        return f"{NO_SUCH_KEY}; {parent} is a single value"
    names = [str(name) for name in node if parent or name != "hydra"]
    plain = {} if parent else plain_data(config, resolve=False)
    plain.pop("hydra", None)
    return unknown_key(rest[0], names, parent, plain, ".".join(["", *rest[1:]]) + value)
