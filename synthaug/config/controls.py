"""Control arms: as many real images as an arm has, no synthetic one, and the same augmentation.

Without it nobody can tell what the synthetic images of an arm did from what the lost real ones did. `controls=true`
adds to a sweep those that it lacks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from synthaug.config.naming import augment_suffix, read_settings, registered_mix


@dataclass(frozen=True)
class SweptMix:
    """A mix that a sweep requests.

    Attributes:
        choice: of the group `mix`.
        real, synthetic: its numbers, whatever else the sweep changes taken into account.
        augment: its own augmentation, if it has one.
        real_per_class, fill: what it has in the place of the numbers.
    """

    choice: str
    real: float
    synthetic: float
    augment: Mapping[str, Any] | None = None
    real_per_class: int | None = None
    fill: Any = None

    @property
    def has_synthetic(self) -> bool:
        """Whether it has synthetic images."""
        return self.synthetic > 0 or self.fill is not None

    @property
    def needs_control(self) -> bool:
        """Whether it has synthetic images and lacks real ones."""
        return self.has_synthetic and (0 < self.real < 1 or self.real_per_class is not None)

    @property
    def control(self) -> "SweptMix":
        """The same real images alone, under no name."""
        return replace(self, choice="", synthetic=0, fill=None)

    def is_control_of(self, arm: "SweptMix") -> bool:
        """Whether it has the same real images alone."""
        return not self.has_synthetic and replace(self, choice="") == arm.control


def without_control(mixes: Sequence[SweptMix]) -> list[SweptMix]:
    """Return the mixes whose control is not among them, in their order; of several with one control the first."""
    uncontrolled: list[SweptMix] = []
    for mix in mixes:
        candidates = [*mixes, *(earlier.control for earlier in uncontrolled)]
        if mix.needs_control and not any(candidate.is_control_of(mix) for candidate in candidates):
            uncontrolled.append(mix)
    return uncontrolled


def with_controls(choices: Iterable[str], mixes: Sequence[SweptMix], folders: Iterable[Path]) -> list[str]:
    """Return the choices of a sweep, each control right behind the first arm that lacks it.

    Args:
        choices: of the group `mix`, as the sweep has them.
        mixes: what they come to.
        folders: of mix files, of two with one name the first.
    """
    files = _mix_files(folders)
    uncontrolled = {mix.choice: mix for mix in reversed(without_control(mixes))}
    extended: list[str] = []
    for choice in choices:
        extended += [choice, _control_choice(uncontrolled[choice], files)] if choice in uncontrolled else [choice]
    return list(dict.fromkeys(extended))


def _mix_files(folders: Iterable[Path]) -> dict[str, Mapping[str, Any]]:
    """Choice → content of the mix file."""
    files: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            files.setdefault(path.relative_to(folder).with_suffix("").as_posix(), read_settings(path))
    return files


def _control_choice(mix: SweptMix, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the choice that is the control of a mix: a file that has these numbers, or one made for it.

    One made for it is registered with Hydra, whose launchers take it along to wherever a run is computed.
    """
    control_mix = {name: value for name, value in asdict(mix.control).items() if value is not None and name != "choice"}
    for choice, content in files.items():
        if {name: value for name, value in content.items() if value not in (None, {})} == control_mix:
            return choice
    real = f"real{100 * mix.real:.10g}" if mix.real_per_class is None else f"shots{mix.real_per_class}"
    plain = f"{real}{augment_suffix(mix.augment)}"
    name = plain if plain not in files else f"{plain}-control"
    if registered_mix(name) is None:
        ConfigStore.instance().store(group="mix", name=name, node=control_mix)
    return name
