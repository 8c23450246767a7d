"""The command line of a sweep with the control arms that it lacks, which `controls=true` asks for."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from synthaug.config import controls
from synthaug.config.compose import (
    asks_for_something_else,
    compose_without_mistakes,
    expand,
    has_basic_sweeper,
    hydra_set_up,
    key_of,
    params_of_study,
    parse,
    without_sweeps,
)
from synthaug.config.controls import SweptMix
from synthaug.config.schema import typed_augment
from synthaug.errors import UserError


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
    if not parsed.multirun or asks_for_something_else(parsed):
        return list(arguments)
    with hydra_set_up(parsed.config_dir):
        typed = parse(parsed.overrides, {})
        config = compose_without_mistakes(without_sweeps(typed), {})
        if config is None or not _wants_controls(config, typed):
            return list(arguments)
        overrides = [*params_of_study(config), *typed]
        choices, mixes = _swept_mixes(overrides)
        if not controls.without_control(mixes):
            return list(arguments)
        added = _added_controls(overrides, config, choices, mixes)
        _require_controls(_swept_mixes([*overrides, *parse([added], {})])[1])
    replaced = [override.input_line for override in typed if override.key_or_group == key_of(added)]
    # In the place of what was typed, so that the order of the runs stays.
    return [added if argument in replaced else argument for argument in arguments] + ([] if replaced else [added])


def _wants_controls(config: DictConfig, overrides: Iterable[Override]) -> bool:
    """Whether a sweep is to have control arms; raises where nobody could add them."""
    several = [o.input_line for o in overrides if o.key_or_group == "controls" and o.is_sweep_override()]
    if several:
        raise UserError(f"{several[0]}: is said of a whole sweep; give one value.")
    if config.controls and not has_basic_sweeper(config):
        raise UserError(
            f"controls=true: {config.hydra.sweeper._target_} decides as it goes which runs there are; name the control "
            "arms yourself, such as mix=64,real40, and leave controls=true out."
        )
    return bool(config.controls)


def _swept_mixes(overrides: Sequence[Override]) -> tuple[list[str], list[SweptMix]]:
    """The choices of `mix` in a sweep, and what they come to, without those that cannot be composed."""
    try:
        combinations = expand(overrides)
    except Exception:  # of Hydra's sweeper; `jobs_of` will say it
        return [], []
    first: dict[tuple[str, ...], list[str]] = {}
    for combination in combinations:
        first.setdefault(tuple(o for o in combination if re.match(r"mix[.=]", o.lstrip("+"))), combination)
    choices: list[str] = []
    mixes: list[SweptMix] = []
    for combination in first.values():
        blamed: dict[str, str] = {}
        composed = compose_without_mistakes(combination, blamed)
        typed = [override.partition("=")[2].strip("'\"") for override in combination if key_of(override) == "mix"]
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
