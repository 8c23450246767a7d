"""From a command line to the runs that it asks for, or to everything that is wrong with it.

Hydra stops at the first mistake and says it in its own terms; here every override is tried, and what is wrong with
each is said in the words it was typed in.
"""

import argparse
import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthaug import controls, results
from synthaug.checks import not_among, problems_of
from synthaug.config import CONF, GROUPS, SEVERAL, VERSION_BASE, Config, Job, job_of, quote_choices, typed_augment
from synthaug.controls import SweptMix
from synthaug.errors import UserError, raise_all

# Below these, keys are arguments of what a `_target_` names, or may be given without standing in any file.
_ARGUMENT = re.compile(
    r"(generator|model|trainer|dataset\.prepare|logger\.\w+|shift\.\w+|mix\.augment)\.\w+=|mix\.augment="
    r"|prompts\.(settings|names)(\.[\w-]+)?="  # classes are folders, whose names may have hyphens
)
_PLAIN_KEYS = {field.name for field in fields(Config)} - set(GROUPS)
_OF_CLASS = re.compile(r"(prompts\.(?:settings|names))\.([^=.]*\s[^=.]*)=(.*)")
# Values in Hydra's own grammar: quoted, a list, a mapping, a function, an interpolation, or with escaped characters.
_GRAMMAR = re.compile(
    r"(^|,)\s*['\"\[{]|\$\{|\\|^\s*(choice|range|interval|glob|shuffle|sort|tag|extend_list|int|float|str|bool|json_str)\s*\("
)
_NOT_BARE = re.compile(r"[^A-Za-z0-9_/.+$%*@?|:\s-]")  # what that grammar takes only in quotes


def as_hydra_takes(arguments: Sequence[str]) -> list[str]:
    """A whole command line as it must be for Hydra: each override `as_hydra_reads`, and options such as -m before them.

    Hydra takes overrides on one side of an option only: `dataset=digits -m mix=real,55` would be no usage it knows.
    """
    options = list(arguments)
    overrides: list[str] = get_args_parser().parse_intermixed_args(options).overrides
    for override in overrides:
        options.remove(override)
    return [*options, *map(as_hydra_reads, overrides)]


def as_hydra_reads(argument: str) -> str:
    """One argument of the command line as it must be for Hydra to read it as it was meant.

    Any argument of a target may be given, whether its YAML lists it or not: `generator.device=cpu` becomes
    `++generator.device=cpu`. Whether the target takes it is for `problems_of` to say. So may any key of `mix.augment`.
    Names of folders are taken as they are, in any script: `dataset.root=~/Füchse` needs no quotes. `+controls=true` is
    `controls=true`: Hydra would refuse to add a key that is there.
    """
    if of_class := _OF_CLASS.fullmatch(argument):  # a key may not have spaces, but one of a mapping may
        return "++{}={{{}: {}}}".format(*of_class.groups())
    if argument.startswith("+") and _key(argument) in _PLAIN_KEYS:
        argument = argument.lstrip("+")
    argument = _quote_text(argument)
    return f"++{argument}" if _ARGUMENT.match(argument) else quote_choices(argument)


def _quote_text(argument: str) -> str:
    """Quote plain values that hold letters and signs of which Hydra's grammar knows nothing; `~` is the home folder."""
    key, equals, value = argument.partition("=")
    if not equals or not re.fullmatch(r"\+{0,2}\w[^=\s]*", key) or _GRAMMAR.search(value):
        return argument
    return f"{key}={','.join(map(_quoted, value.split(',')))}"


def _quoted(value: str) -> str:
    plain = str(Path(value).expanduser()) if re.match(r"~(/|$)", value) else value
    quote = '"' if "'" in plain else "'"
    return f"{quote}{plain}{quote}" if _NOT_BARE.search(plain) and quote not in plain else plain


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for several runs (-m, --multirun)."""
    return bool(get_args_parser().parse_args(list(arguments)).multirun)


def with_controls(arguments: Sequence[str]) -> list[str]:
    """A command line with the control arms that its sweep lacks, where it asks for them by `controls=true`.

    They stand in it as if they had been typed, so that whoever expands the sweep, and wherever, sees the same runs.
    What is wrong with the command line otherwise is for `jobs_of` to say.

    Args:
        arguments: `sys.argv[1:]`, `as_hydra_takes` them.

    Raises:
        UserError: the sweep cannot be given controls.
    """
    parsed = get_args_parser().parse_args(list(arguments))
    if not parsed.multirun or _asks_for_something_else(parsed):
        return list(arguments)
    with _hydra(parsed.config_dir):
        typed = _parsed(parsed.overrides, {})
        config = _composed(_single(typed), {})
        if config is None or not _wants_controls(config, typed):
            return list(arguments)
        overrides = [*_params(config), *typed]
        choices, mixes = _swept_mixes(overrides)
        if not controls.without_control(mixes):
            return list(arguments)
        added = _added_controls(overrides, config, choices, mixes)
        _require_controls(_swept_mixes([*overrides, *_parsed([added], {})])[1])
    replaced = [override.input_line for override in typed if override.key_or_group == _key(added)]
    # In the place of what was typed, so that the order of the runs stays.
    return [added if argument in replaced else argument for argument in arguments] + ([] if replaced else [added])


def _wants_controls(config: DictConfig, overrides: Iterable[Override]) -> bool:
    """Whether a sweep is to have control arms; raises where nobody could add them."""
    several = [o.input_line for o in overrides if o.key_or_group == "controls" and o.is_sweep_override()]
    if several:
        raise UserError(f"{several[0]}: is said of a whole sweep; give one value.")
    if config.controls and not _is_basic(config):
        raise UserError(
            f"controls=true: {config.hydra.sweeper._target_} decides as it goes which runs there are; name the control "
            "arms yourself, such as mix=64,real40, and leave controls=true out."
        )
    return bool(config.controls)


def _swept_mixes(overrides: Sequence[Override]) -> tuple[list[str], list[SweptMix]]:
    """The choices of `mix` in a sweep, and what they come to, without those that cannot be composed."""
    try:
        combinations = _product(overrides)
    except Exception:  # of Hydra's sweeper; `jobs_of` will say it
        return [], []
    first: dict[tuple[str, ...], list[str]] = {}
    for combination in combinations:
        first.setdefault(tuple(o for o in combination if re.match(r"mix[.=]", o.lstrip("+"))), combination)
    choices: list[str] = []
    mixes: list[SweptMix] = []
    for combination in first.values():
        blamed: dict[str, str] = {}
        composed = _composed(combination, blamed)
        typed = [override.partition("=")[2].strip("'\"") for override in combination if _key(override) == "mix"]
        choices += typed or ([composed.hydra.runtime.choices.mix] if composed else [])
        if composed is not None and not blamed and (mix := _mix_of(composed, choices[-1])):
            mixes.append(mix)
    return list(dict.fromkeys(choices)), mixes


def _mix_of(config: DictConfig, choice: str) -> SweptMix | None:
    """The mix of a configuration; None where something is wrong with it, which is for `jobs_of` to say."""
    mix = config.mix
    try:
        return SweptMix(choice, mix.real, mix.synthetic, typed_augment(mix.augment) if mix.augment else None)
    except OmegaConfBaseException:
        return None


def _added_controls(
    overrides: Iterable[Override], config: DictConfig, choices: Iterable[str], mixes: Sequence[SweptMix]
) -> str:
    """The override that gives a sweep its controls: over choices of `mix`, or over numbers of synthetic images."""
    if not any(override.key_or_group == "mix.synthetic" for override in overrides):
        folders = [
            Path(source.path) / "mix" for source in config.hydra.runtime.config_sources if source.schema == "file"
        ]
        return "mix=" + ",".join(f"'{choice}'" for choice in controls.with_controls(choices, mixes, folders))
    if any(mix.real == 0 for mix in mixes):
        raise UserError(
            "controls=true: adds 0 to the values of mix.synthetic, but with mix.real=0 nothing would be left to train "
            "on; sweep over mix.real=0 in a command of its own."
        )
    return "mix.synthetic=" + ",".join(map(repr, dict.fromkeys([*(mix.synthetic for mix in mixes), 0.0])))


def _require_controls(mixes: Sequence[SweptMix]) -> None:
    lacking = controls.without_control(mixes)
    if lacking:
        listed = ", ".join(f"mix.real={mix.real:g} mix.synthetic={mix.synthetic:g}" for mix in lacking)
        raise UserError(
            f"controls=true: no choice of mix makes a control of {listed}, since the study sets numbers of the mix "
            "besides its choice; sweep over mix.real and mix.synthetic, or name arms that have files."
        )


def jobs_of(arguments: Sequence[str]) -> list[Job] | None:
    """Compose and check every run that a command line asks for.

    Args:
        arguments: `sys.argv[1:]`, `as_hydra_takes` them.

    Returns:
        The jobs; None where the command line asks for something else (--help, --cfg …) or is expanded by another
        sweeper than Hydra's own, which decides as it goes.

    Raises:
        UserError: everything that is wrong with the configuration, each with its path.
    """
    parsed = get_args_parser().parse_args(list(arguments))
    if _asks_for_something_else(parsed):
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
            found = problems_of(config) + _sweep_problems(config, combination, parsed.multirun)
            problems += found
            if not found:
                jobs.append(job_of(config, config.hydra))
    problems = [f"{_as_typed(override)}: {reason}" for override, reason in blamed.items()] + problems
    raise_all("The configuration cannot be used:", list(dict.fromkeys([*problems, *_clashes(jobs)])))
    return jobs


def _asks_for_something_else(parsed: argparse.Namespace) -> bool:
    """Whether Hydra is to show something, or to read another primary configuration, instead of running this one."""
    asks_for_text = parsed.help or parsed.hydra_help or parsed.cfg or parsed.info or parsed.shell_completion
    return bool(asks_for_text or parsed.config_name or parsed.config_path)


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


def _sweep_problems(config: DictConfig, overrides: Sequence[str], multirun: bool) -> list[str]:
    """What a study would sweep over and this command line does not."""
    hydra = config.hydra
    found = []
    if hydra.mode == RunMode.MULTIRUN and not multirun:
        found.append("hydra.mode: several runs are asked for with -m")
    given = {_key(override) for override in overrides}
    # A study may ask for controls, and one of its runs may be chosen all the same.
    if config.controls and "controls" in given and not multirun:
        found.append("controls=true: control arms are runs of their own; ask for several runs with -m")
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
        differing = results.differences(there.settings, job.settings)
        if differing:
            suffix = "-".join(f"${{{key}}}" for key in differing)
            found.append(
                f"{', '.join(differing)}: several values, but runs that differ only in them would share the folder "
                f"{job.folder}; give each a study of its own: 'experiment={there.settings['experiment']}-{suffix}'"
            )
    return found


def _expand(overrides: list[str], blamed: dict[str, str]) -> list[list[str]] | None:
    """The override lists of a sweep, as Hydra's basic sweeper will make them; None where another one is in charge.

    Overrides that cannot be applied at all go to `blamed`.
    """
    parsed = _parsed(overrides, blamed)
    single = _single(parsed)
    config = _composed(single, blamed)
    if config is None or not _is_basic(config):
        return None if config else []
    try:
        return _product([*_params(config), *parsed])
    except Exception as error:
        blamed["-m"] = _plain(error, "", [])
        return [single]


def _parsed(overrides: Iterable[str], blamed: dict[str, str]) -> list[Override]:
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except Exception as error:
            blamed[override] = _plain(error, override, [])
    return parsed


def _single(overrides: Iterable[Override]) -> list[str]:
    """The overrides that have one value."""
    return [override.input_line or "" for override in overrides if not override.is_sweep_override()]


def _is_basic(config: DictConfig) -> bool:
    """Whether Hydra's own sweeper is in charge, which knows all runs before the first."""
    return bool(config.hydra.sweeper._target_.endswith("BasicSweeper"))


def _params(config: DictConfig) -> list[Override]:
    """What a study itself sweeps over."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed: list[Override] = parser.parse_overrides(
        [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    )
    return parsed


def _product(overrides: Sequence[Override]) -> list[list[str]]:
    """Every combination of values; of two overrides of one key the last is in force."""
    return [list(job) for batch in BasicSweeper.split_arguments(list(overrides), None) for job in batch]


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
    if value.startswith("[") and group in GROUPS and group not in SEVERAL:
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
    if missing := re.search(
        r"Could not load '([^']+)/([^'/]+)'", text
    ):  # one of a list, of which Hydra lists no choices
        known = GlobalHydra.instance().config_loader().get_group_options(missing[1])
        close = difflib.get_close_matches(missing[2], known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"there is no {missing[1]} {missing[2]}; {hint}choices: {', '.join(known)}"
    if re.search(r"Could not override '\w+@experiments\.", text):
        return "a study in a folder of your own needs a first line that says # @package _global_"
    if "Ambiguous value" in text:
        return "several values need -m, one run for each: python -m synthaug.train -m …"
    if "Config group override must be" in text:
        known = GlobalHydra.instance().config_loader().get_group_options(_key(override))
        return f"this is not a name; choices: {', '.join(known)} (in YAML, a number among them is written \"'55'\")"
    full_key = re.search(r"full_key: (.+)", text)
    typed = _key(override)
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
