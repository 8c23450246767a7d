"""From a command line to the runs that it asks for, or to everything that is wrong with it.

What is wrong is said all at once, each in the words it was typed in.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig

from synthaug.config.compose import (
    asks_for_something_else,
    compose_without_mistakes,
    expand,
    has_basic_sweeper,
    hydra_set_up,
    key_of,
    params_of_study,
    parse,
    plain_words,
    without_sweeps,
)
from synthaug.config.schema import GROUPS, Config, Job, job_of, quote_choices
from synthaug.config.validation import problems_of
from synthaug.errors import raise_all
from synthaug.runs import identity

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
    if argument.startswith("+") and key_of(argument) in _PLAIN_KEYS:
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
    if asks_for_something_else(parsed):
        return None
    blamed: dict[str, str] = {}
    problems: list[str] = []
    jobs: list[Job] = []
    seen: set[str] = set()
    with hydra_set_up(parsed.config_dir):
        combinations = _expand(parsed.overrides, blamed) if parsed.multirun else [parsed.overrides]
        if combinations is None:
            return None
        for combination in combinations:
            if (blamed or problems) and seen.issuperset(combination):
                continue  # nothing will run: only what was not looked at yet can add to what is wrong
            seen.update(combination)
            config = compose_without_mistakes(combination, blamed)
            if config is None:
                continue
            found = problems_of(config) + _sweep_problems(config, combination, parsed.multirun)
            problems += found
            if not found:
                jobs.append(job_of(config, config.hydra))
    problems = [f"{_as_typed(override)}: {reason}" for override, reason in blamed.items()] + problems
    raise_all("The configuration cannot be used:", list(dict.fromkeys([*problems, *_clashes(jobs)])))
    return jobs


def _sweep_problems(config: DictConfig, overrides: Sequence[str], multirun: bool) -> list[str]:
    """What a study would sweep over and this command line does not."""
    hydra = config.hydra
    found = []
    if hydra.mode == RunMode.MULTIRUN and not multirun:
        found.append("hydra.mode: several runs are asked for with -m")
    given = {key_of(override) for override in overrides}
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
        differing = identity.differing_settings(there.settings, job.settings)
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
    parsed = parse(overrides, blamed)
    single = without_sweeps(parsed)
    config = compose_without_mistakes(single, blamed)
    if config is None or not has_basic_sweeper(config):
        return None if config else []
    try:
        return expand([*params_of_study(config), *parsed])
    except Exception as error:
        blamed["-m"] = plain_words(error, "", [])
        return [single]


def _as_typed(override: str) -> str:
    """An override without what `as_hydra_reads` added."""
    if key_of(override) in GROUPS:
        return override.replace("'", "")
    plain = override.removeprefix("++")
    return plain if _ARGUMENT.match(plain) else override
