"""Control arms: as many real images as an arm has, no synthetic one, and the same augmentation.

Without it nobody can tell what the synthetic images of an arm did from what the lost real ones did. `controls=true`
adds to a sweep those that it lacks, and the further amounts of real images alone that a learning curve lacks, off which
it is read how many real images would do as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from synthaug.config.naming import augment_suffix, read_settings, registered_mix
from synthaug.messages import join_words, plural
from synthaug.runs.learning_curve import FEWEST_SEEDS, missing_amounts


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


def curve_mixes(mixes: Sequence[SweptMix], n_seeds: int) -> list[SweptMix]:
    """Return the arms without synthetic images that a learning curve through the controls and `real` lacks.

    None with so few seeds that nothing would be read off it, or without arms that have a control.

    Args:
        mixes: of a sweep.
        n_seeds: of each arm.
    """
    plain = [mix for mix in mixes if mix.augment is None and mix.real_per_class is None]
    amounts = [mix.real for mix in plain if mix.needs_control or (not mix.has_synthetic and mix.real > 0)]
    if n_seeds < FEWEST_SEEDS or not any(mix.needs_control for mix in plain):
        return []
    return [SweptMix("", amount, 0) for amount in missing_amounts(amounts)]


def with_controls(
    choices: Iterable[str], mixes: Sequence[SweptMix], folders: Iterable[Path], n_seeds: int = 1
) -> list[str]:
    """Return the choices of a sweep, each control right behind the first arm that lacks it, then those of the curve.

    Args:
        choices: of the group `mix`, as the sweep has them.
        mixes: what they come to.
        folders: of mix files, of two with one name the first.
        n_seeds: of each arm.
    """
    files = _mix_files(folders)
    uncontrolled = {mix.choice: mix for mix in reversed(without_control(mixes))}
    extended: list[str] = []
    for choice in choices:
        extended += [choice, _control_choice(uncontrolled[choice], files)] if choice in uncontrolled else [choice]
    return list(dict.fromkeys([*extended, *(_control_choice(mix, files) for mix in curve_mixes(mixes, n_seeds))]))


def announcement(added: Sequence[Mapping[str, Any]], mixes: Sequence[SweptMix], n_runs: int) -> str:
    """Return a line on the runs that were added to a sweep.

    Args:
        added: the node `mix` of each of them.
        mixes: of the whole sweep.
        n_runs: of the whole sweep.
    """
    names = dict.fromkeys(str(mix["name"]) for mix in added)
    served = {mix.real for mix in mixes if mix.needs_control}
    curve = dict.fromkeys(str(mix["name"]) for mix in added if mix["real"] not in served)
    reason = f" ({join_words(curve)} for the learning curve of real images)" if curve else ""
    return f"controls=true adds {join_words(names)}{reason}: {len(added)} of {plural(n_runs, 'run')}."


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
