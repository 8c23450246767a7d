"""From overrides to the runs that they request, or to everything that is wrong with them, all at once."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from synthaug.config import controls, hydra_guard
from synthaug.config.command_line import CommandLine, key_of, normalize_override, typed_form
from synthaug.config.compose import Composer, initialized_hydra
from synthaug.config.controls import SweptMix
from synthaug.config.job import Job, build_job, typed_keys, without_hydra
from synthaug.config.naming import config_folders
from synthaug.config.schema import CONF, EXPERIMENTS, quote_choices
from synthaug.config.validation import MOST_FOLDS, NO_SUCH_KEY, validate
from synthaug.errors import UserError, raise_all
from synthaug.runs import identity

Combination = tuple[str, ...]  # the overrides of one run
STUDY_SWEEPER = "hydra_plugins.synthaug_sweeper.StudySweeper"


def requested_jobs(command_line: CommandLine, failure: Exception | None = None) -> list[Job]:
    """Return the runs that a command line requests, outside of `@hydra.main`.

    Args:
        command_line: as it was typed.
        failure: what Hydra raised for it, where it did.

    Raises:
        UserError: everything that is wrong with it.
    """
    with initialized_hydra(command_line.config_dir) as composer:
        if command_line.is_sweep:
            return list(sweep_jobs(composer, command_line.overrides, failure=failure).values())
        errors: dict[str, str] = {}
        if failure:
            composer.compose_valid(command_line.overrides, errors, failure)
        jobs, problems = _checked_jobs(composer, [tuple(command_line.overrides)], errors, is_sweep=False)
        _raise_problems(errors, problems)
        return list(jobs.values())


def check_before_hydra(command_line: CommandLine) -> None:
    """Check what Hydra will compose first, before it calls what that configuration names.

    Args:
        command_line: as it was typed.

    Raises:
        UserError: a file that is too large or would change text, a configuration that Hydra may not carry out, an
            option that runs what no check has seen.
    """
    if "--experimental-rerun" in command_line.values:
        raise UserError(
            "--experimental-rerun: runs a pickle of Hydra's, which could run anything; type the command of that run "
            "again, or give the settings in its config.yaml as overrides."
        )
    for folder in (CONF, EXPERIMENTS):
        hydra_guard.check_files(folder)
    if not command_line.may_change_hydra:
        return
    values = command_line.values
    with initialized_hydra(
        command_line.config_dir, values.get("--config-path"), values.get("--config-name", "config")
    ) as composer:
        parsed = composer.parse(command_line.overrides, {})
        fixed = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
        try:
            composer.compose(fixed)
        except UserError:
            raise
        except Exception:
            return  # of Hydra, OmegaConf or the YAML reader: Hydra stops there as well


def sweep_jobs(
    composer: Composer,
    overrides: Sequence[str],
    master: DictConfig | None = None,
    failure: Exception | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> dict[Combination, Job]:
    """Expand a sweep, its control arms included, and check every run.

    Args:
        composer: of the command.
        overrides: of the command line.
        master: the configuration without what is swept over; None: composed here.
        failure: what Hydra raised for it, where it did.
        announce: told which control arms were added.

    Returns:
        The overrides of each run → the run.

    Raises:
        UserError: everything that is wrong with the runs.
    """
    errors: dict[str, str] = {}
    parsed = composer.parse(overrides, errors)
    fixed = {o.get_key_element(): o.input_line or "" for o in parsed if not o.is_sweep_override()}
    if master is None:
        master = composer.compose_valid(list(fixed.values()), errors, failure)
    values: dict[str, list[str]] = {}
    if master is not None and _has_study_sweeper(master):
        params = [normalize_override(f"{key}={value}") for key, value in (master.hydra.sweeper.params or {}).items()]
        values = _with_folds(master, _expanded([*composer.parse(params, errors), *parsed], errors), errors)
    lines = itertools.chain(*values.values())
    errors |= {line: reason for line in lines if (reason := composer.missing_choice(line))}
    combinations = list(itertools.product(*values.values())) if values or not fixed else [tuple(fixed.values())]
    if errors and master is not None:  # nothing will run: a wrong key needs no composition of each run
        problems = validate(without_hydra(master), typed_keys(master.hydra))
        checked = {line for key in fixed.keys() & values.keys() for line in values[key]}
        problems += _checked_jobs(composer, combinations, errors, is_sweep=True, seen=checked)[1]
        _raise_problems(errors, problems)
    jobs, problems = _checked_jobs(composer, combinations, errors, is_sweep=True)
    _raise_problems(errors, problems)
    wants_controls = master is not None and _wants_controls(master, parsed)
    _raise_problems({}, _without_effect(values, jobs))
    if wants_controls:
        typed, values = {job.folder for job in jobs.values()}, _with_controls(composer, values, jobs)
        jobs, problems = _checked_jobs(composer, itertools.product(*values.values()), errors, is_sweep=True, done=jobs)
        _raise_problems(errors, problems)
        mixes, jobs = _swept_mixes(composer, jobs), _distinct(jobs)
        _require_controls(mixes)
        if added := [job for job in jobs.values() if job.folder not in typed]:
            announce(controls.announcement([job.settings["mix"] for job in added], mixes, len(jobs)))
    return _distinct(jobs)


def unswept_problems(hydra: DictConfig, lacks_controls: bool, overrides: Iterable[str]) -> list[str]:
    """Return what a study would sweep over and its run does not.

    Args:
        hydra: the node of that name.
        lacks_controls: whether `controls` is true and nobody adds them.
        overrides: of the run.
    """
    typed = {key_of(override): override.partition("=")[2].strip("'\"") for override in overrides}
    keys, name = typed.keys(), typed.get("experiment", "")
    problems = []
    if "experiments" not in keys and f"{name}.yaml" in ConfigStore.instance().repo.get("experiments", {}):
        remedy = f"use them with +experiments={name} (and -m), or choose another name"
        problems.append(f"experiment={name}: is the name of a study, whose settings are not used so; {remedy}")
    # A study may ask for controls, and one of its runs may be chosen all the same.
    if lacks_controls and "controls" in keys:
        problems.append("controls=true: control arms are runs of their own; request several runs with -m")
    ignored = [str(key) for key in hydra.sweeper.get("params") or {} if key not in keys]
    if ignored:
        choices = " ".join(f"{key}=<value>" for key in ignored)
        remedy = f"run it alone with -m, or choose one run with {choices}"
        problems.append(f"hydra.sweeper.params: this is a sweep; {remedy}")
    return problems


def _checked_jobs(
    composer: Composer,
    combinations: Iterable[Combination],
    errors: dict[str, str],
    is_sweep: bool,
    done: Mapping[Combination, Job] = MappingProxyType({}),
    seen: Iterable[str] = (),
) -> tuple[dict[Combination, Job], list[str]]:
    """Return the valid runs, including `done`, and what is wrong with the others apart from `errors`.

    Once something is wrong, only runs with overrides that were not `seen` are looked at.
    """
    problems: list[str] = []
    jobs: dict[Combination, Job] = {}
    seen = set(seen)
    for combination in combinations:
        if combination in done:
            jobs[combination] = done[combination]
            continue
        if (errors or problems) and all(item in {*seen, *errors} or _is_shipped(item) for item in combination):
            continue
        seen.update(combination)
        config = composer.compose_valid(combination, errors)
        if config is None:
            continue
        plain = without_hydra(config)
        wrong = validate(plain, typed_keys(config.hydra)) + unswept_problems(
            config.hydra, plain.controls and not is_sweep, combination
        )
        problems += wrong
        if not wrong:
            jobs[combination] = build_job(plain, config.hydra)
    return jobs, problems


def _is_shipped(override: str) -> bool:
    """Whether an override is a choice whose file belongs to the program, and so is known to be right in itself."""
    return (CONF / key_of(override) / f"{typed_form(override).partition('=')[2]}.yaml").is_file()


def _raise_problems(errors: Mapping[str, str], problems: Iterable[str]) -> None:
    raise_configuration_problems([*_error_lines(errors), *problems])


def _error_lines(errors: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with each override; the same line, without a value, for all values of an unknown key."""
    unknown = Counter(key_of(override) for override, reason in errors.items() if reason.startswith(NO_SUCH_KEY))
    for override, reason in errors.items():
        typed = typed_form(override)
        if unknown[key_of(override)] > 1:
            typed, separator, value = typed.partition("=")
            reason = reason.replace(f"{separator}{value}", "")
        yield f"{typed}: {reason}"


def raise_configuration_problems(problems: Iterable[str]) -> None:
    """Raise one `UserError` with every problem of a configuration; do nothing where there is none."""
    raise_all("The configuration cannot be used:", list(dict.fromkeys(problems)))


def _without_effect(values: Mapping[str, Sequence[str]], jobs: Mapping[Combination, Job]) -> Iterator[str]:
    """Report keys that are swept over although no value of them makes another run."""
    keys = list(values)
    for place, key in enumerate(keys):
        runs: dict[Combination, set[object]] = {}  # the other overrides → the works of any value
        for combination, job in jobs.items():
            runs.setdefault((*combination[:place], *combination[place + 1 :]), set()).add(job.work)
        if len(set(values[key])) > 1 and runs and all(len(works) == 1 for works in runs.values()):
            listed = ",".join(typed_form(line).partition("=")[2] for line in values[key])
            yield f"{key_of(key)}={listed}: no run of this command depends on it; give one value"


def _distinct(jobs: Mapping[Combination, Job]) -> dict[Combination, Job]:
    """Return each run once: an arm without synthetic images is the same with any generator."""
    firsts: dict[object, Combination] = {}
    for combination, job in jobs.items():
        firsts.setdefault(job.work, combination)
    return {combination: jobs[combination] for combination in firsts.values()}


def _has_study_sweeper(config: DictConfig) -> bool:
    """Whether our own sweeper is in charge, which knows all runs before the first."""
    return bool(config.hydra.sweeper._target_ == STUDY_SWEEPER)


def _expanded(overrides: Iterable[Override], errors: dict[str, str]) -> dict[str, list[str]]:
    """Key → the overrides for each of its values; of two overrides of one key the last is in force."""
    values: dict[str, list[str]] = {}
    for override in overrides:
        key, line = override.get_key_element(), override.input_line or ""
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            try:
                values[key] = [quote_choices(f"{key}={value}") for value in override.sweep_string_iterator()]
            except Exception as error:  # of Hydra: a range without an end, for instance
                errors[line] = " ".join(str(error).split())
        else:
            errors[line] = "an interval has no list of values; give them one by one, separated by commas"
    return values


def _with_folds(master: DictConfig, values: dict[str, list[str]], errors: dict[str, str]) -> dict[str, list[str]]:
    """Return the values of a sweep with every fold, where there are folds and none is chosen."""
    by_key = {key_of(key): key for key in values}
    lines = values[by_key[identity.FOLDS]] if identity.FOLDS in by_key else [f"{identity.FOLDS}={master.folds}"]
    if len(lines) > 1:
        listed = ",".join(line.partition("=")[2] for line in lines)
        errors[f"{identity.FOLDS}={listed}"] = "holds for a whole sweep, whose arms have the same folds; give one value"
        values = {**values, by_key[identity.FOLDS]: lines[:1]}
    number = lines[0].partition("=")[2]
    if identity.FOLD in by_key or not number.isdecimal() or not 2 <= int(number) <= MOST_FOLDS:
        return values
    return {**values, identity.FOLD: [f"{identity.FOLD}={fold}" for fold in range(int(number))]}


# --- control arms ----------------------------------------------------------------------------------


def _wants_controls(config: DictConfig, overrides: Iterable[Override]) -> bool:
    """Whether a sweep is to have control arms; raises where nobody could add them."""
    several = [o.input_line for o in overrides if o.key_or_group == "controls" and o.is_sweep_override()]
    if several:
        raise UserError(f"{several[0]}: holds for a whole sweep; give one value.")
    if config.controls and not _has_study_sweeper(config):
        raise UserError(controls_under_sweeper(config.hydra.sweeper._target_))
    return bool(config.controls)


def controls_under_sweeper(target: str) -> str:
    """Return why a sweeper that chooses its runs as it goes cannot have controls added."""
    return (
        f"controls=true: {target} chooses the runs as it goes; name the control arms yourself, such as mix=64,real40, "
        "and leave controls=true out."
    )


def _with_controls(
    composer: Composer, values: Mapping[str, list[str]], jobs: Mapping[Combination, Job]
) -> dict[str, list[str]]:
    """Return the values of a sweep with those that give it its controls: choices of `mix`, or 0 synthetic images."""
    mixes = _swept_mixes(composer, jobs)
    n_seeds = _curve_seeds(jobs.values())
    if not controls.without_control(mixes) and not controls.curve_mixes(mixes, n_seeds):
        return dict(values)
    if any(key_of(key) == "mix.synthetic" for key in values):
        if any(mix.real == 0 for mix in mixes):
            raise UserError(
                "controls=true: adds 0 to the values of mix.synthetic, but with mix.real=0 nothing would be left to "
                "train on; sweep over mix.real=0 in a command of its own."
            )
        amounts = map(repr, dict.fromkeys([*(mix.synthetic for mix in mixes), 0.0]))
        return {**values, "mix.synthetic": [f"mix.synthetic={amount}" for amount in amounts]}
    if fill := [key for key in values if key_of(key) == "mix.fill"]:
        return {**values, fill[0]: [*values[fill[0]], "++mix.fill=null"]}
    folders = [folder / "mix" for folder in config_folders(composer.compose(next(iter(jobs))).hydra)]
    choices = controls.with_controls(dict.fromkeys(mix.choice for mix in mixes), mixes, folders, n_seeds)
    return {**values, "mix": [f"mix='{choice}'" for choice in choices]}


def _curve_seeds(jobs: Iterable[Job]) -> int:
    """Return how many seeds a learning curve would have; 0 where none is drawn: in folds, or with unequal steps."""
    if any(job.settings.get(identity.FOLDS) or job.settings["budget"] != "steps" for job in jobs):
        return 0
    return len({job.key.seed for job in jobs})


def _require_controls(mixes: Sequence[SweptMix]) -> None:
    uncontrolled = controls.without_control(mixes)
    if uncontrolled:
        listed = ", ".join(f"mix.real={mix.real:g} mix.synthetic={mix.synthetic:g}" for mix in uncontrolled)
        raise UserError(
            f"controls=true: no choice of mix makes a control of {listed}, since the study sets numbers of the mix "
            "besides its choice; sweep over mix.real and mix.synthetic, or name arms that have files."
        )


def _swept_mixes(composer: Composer, jobs: Mapping[Combination, Job]) -> list[SweptMix]:
    mixes = []
    for combination, job in jobs.items():
        mix, choice = job.settings["mix"], composer.compose(combination).hydra.runtime.choices["mix"]
        mixes.append(SweptMix(choice, **{key: value for key, value in mix.items() if key != "name"}))
    return list({repr(mix): mix for mix in mixes}.values())
