"""Control arms: as many real images as an arm has, no synthetic one, and the same augmentation.

Without it nobody can tell what the synthetic images of an arm did from what the lost real ones did. `controls=true`
adds to a sweep those that it lacks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from synthaug.config.schema import own_augment, read_settings, registered_mix


@dataclass(frozen=True)
class SweptMix:
    """A mix that a sweep asks for.

    Attributes:
        choice: of the group `mix`.
        real, synthetic: its numbers, whatever else the sweep says taken into account.
        augment: the augmentation of its own, if it has one.
    """

    choice: str
    real: float
    synthetic: float
    augment: Mapping[str, Any] | None = None

    @property
    def wants_control(self) -> bool:
        """Whether it has synthetic images and lacks real ones."""
        return self.synthetic > 0 and 0 < self.real < 1

    def is_control_of(self, other: "SweptMix") -> bool:
        """Whether it has the same real images alone."""
        return self.synthetic == 0 and (self.real, self.augment) == (other.real, other.augment)


def without_control(mixes: Sequence[SweptMix]) -> list[SweptMix]:
    """The mixes whose control is not among them, in their order; of several with the same control the first."""
    found: list[SweptMix] = []
    for mix in mixes:
        known = [*mixes, *(SweptMix("", other.real, 0, other.augment) for other in found)]
        if mix.wants_control and not any(other.is_control_of(mix) for other in known):
            found.append(mix)
    return found


def with_controls(choices: Iterable[str], mixes: Sequence[SweptMix], folders: Iterable[Path]) -> list[str]:
    """The choices of a sweep, each control right behind the first arm that lacks it.

    Args:
        choices: of the group `mix`, as the sweep has them.
        mixes: what they come to.
        folders: of mix files, of two with one name the first.
    """
    listed = list(folders)
    lacking = {mix.choice: mix for mix in reversed(without_control(mixes))}
    found: list[str] = []
    for choice in choices:
        found += [choice, choice_of_control(lacking[choice], listed)] if choice in lacking else [choice]
    return list(dict.fromkeys(found))


def choice_of_control(mix: SweptMix, folders: Iterable[Path]) -> str:
    """The choice of the group `mix` that is the control of a mix: a file that has these numbers, or one made for it.

    One made for it is registered with Hydra, whose launchers take it along to wherever a run is computed.
    """
    known: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            known.setdefault(path.relative_to(folder).with_suffix("").as_posix(), read_settings(path))
    wanted = {"real": mix.real, "synthetic": 0, "augment": mix.augment}
    for choice, there in known.items():
        if {**there, "augment": there.get("augment") or None} == wanted:
            return choice
    plain = f"real{100 * mix.real:.10g}{own_augment(mix.augment)}"
    name = plain if plain not in known else f"{plain}-control"
    if registered_mix(name) is None:
        node = {key: value for key, value in wanted.items() if value is not None}
        ConfigStore.instance().store(group="mix", name=name, node=node)
    return name
