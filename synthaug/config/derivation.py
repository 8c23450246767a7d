"""Configurations of the runs of a sweep, derived from one composition.

A composition merges some twenty files. Runs that differ in their mix and in single values alone differ in one of them.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from synthaug.config.command_line import key_of
from synthaug.config.naming import choice_file, config_folders, plain_data, read_settings, registered_mix
from synthaug.config.schema import GROUPS, MixConfig

# A mix as no study has it: a configuration that was composed with it shows whether something else sets numbers of it.
_PROBE = {
    "real": 0.318309886,
    "synthetic": 2.718281828,
    "real_per_class": 141421,
    "fill": 173205,
    "augment": {"erasing": 0.577215665},
}
_PROBE_CHOICE = "synthaug_probe"


class Template(NamedTuple):
    """A composed configuration and the overrides that it was composed with."""

    overrides: tuple[str, ...]
    config: DictConfig


class Templates:
    """Compositions of one command that others are derived from.

    Args:
        compose: returns the configuration of overrides as Hydra composes it.
        parse: returns overrides as Hydra reads them.
    """

    def __init__(
        self,
        compose: Callable[[tuple[str, ...]], DictConfig],
        parse: Callable[[Iterable[str]], list[Override]],
    ) -> None:
        self._compose = compose
        self._parse = parse
        self._by_shape: dict[tuple[str, ...], Template | None] = {}

    def add(self, overrides: tuple[str, ...], config: DictConfig) -> None:
        """Let further configurations be derived from a composed one.

        Args:
            overrides: that it was composed with.
            config: the configuration.
        """
        self._by_shape.setdefault(_shape(overrides), Template(overrides, config))

    def derive(self, overrides: tuple[str, ...]) -> DictConfig | None:
        """Return the configuration of a run as Hydra would compose it; None where that takes a composition."""
        if any(key_of(override).startswith(("hydra.", "hydra/")) for override in overrides):
            return None
        for template in (self._of_any_mix(overrides), self._by_shape.get(_shape(overrides))):
            config = template and self._changed(template, overrides)
            if config is not None:
                return config
        return None

    def _of_any_mix(self, overrides: tuple[str, ...]) -> Template | None:
        """Return the template of runs that differ in their mix; None if more than the file of its name makes it."""
        if [key_of(override) for override in overrides if re.match(r"\W*mix\b", override)] != ["mix"]:
            return None
        probing = tuple(f"mix={_PROBE_CHOICE}" if key_of(item) == "mix" else item for item in overrides)
        shape = _shape(probing)
        if shape not in self._by_shape:
            self._by_shape[shape] = None
            with contextlib.suppress(Exception), _registered_probe():  # what is wrong is said of the real choice
                config = self._compose(probing)
                if plain_data(config.mix, resolve=False) == _PROBE:
                    self._by_shape[shape] = Template(probing, config)
        return self._by_shape[shape]

    def _changed(self, template: Template, overrides: tuple[str, ...]) -> DictConfig | None:
        config = template.config.copy()
        changed = [new for new, old in zip(overrides, template.overrides, strict=True) if new != old]
        try:
            for override in self._parse(changed):
                if override.key_or_group == "mix":
                    _choose_mix(config, str(override.value()))
                elif _is_single_value(template.config, override, overrides):
                    OmegaConf.update(config, override.key_or_group, override.value())
                else:
                    return None
        except Exception:  # of Hydra or OmegaConf: the composition says which override it is about
            return None
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.task = list(overrides)
            config.hydra.job.override_dirname = _override_dirname(config.hydra.job.config.override_dirname, overrides)
        return config


@contextlib.contextmanager
def _registered_probe() -> Iterator[None]:
    store = ConfigStore.instance()
    store.store(group="mix", name=_PROBE_CHOICE, node=_PROBE)
    try:
        yield
    finally:
        del store.repo["mix"][f"{_PROBE_CHOICE}.yaml"]


def _choose_mix(config: DictConfig, choice: str) -> None:
    """Put the mix of a name into a configuration; raise where Hydra does more than merging its file there."""
    path = choice_file("mix", choice, config_folders(config.hydra))
    content = read_settings(path) if path else registered_mix(choice)
    if content is None or (path and "@package" in path.read_text(encoding="utf-8")):
        raise LookupError(choice)
    config.mix = OmegaConf.merge(OmegaConf.structured(MixConfig), content)  # which has no `defaults`
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.runtime.choices["mix"] = choice


def _shape(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return overrides without the values of plain keys: runs of one shape may differ in single values alone."""
    return tuple(
        f"{key_of(override)}=" if re.match(r"\w+(\.\w+)*=", override) and key_of(override) not in GROUPS else override
        for override in overrides
    )


def _is_single_value(base: DictConfig, override: Override, overrides: Sequence[str]) -> bool:
    """Whether nothing but one value of a composed configuration depends on an override."""
    key = override.key_or_group
    related = [
        typed for typed in map(key_of, overrides) if f"{typed}.".startswith(f"{key}.") or key.startswith(f"{typed}.")
    ]
    values = (OmegaConf.select(base, key, default=base), override.value())
    return related == [key] and all(isinstance(value, (bool, int, float, str)) for value in values)


def _override_dirname(rules: DictConfig, overrides: Sequence[str]) -> str:
    """Return Hydra's `hydra.job.override_dirname`."""
    kept = sorted(override for override in overrides if key_of(override) not in rules.exclude_keys)
    return str(rules.item_sep.join(kept).replace("=", rules.kv_sep))
