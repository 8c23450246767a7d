"""What the factors of a study do: a table of mixes by everything else, and main effects with intervals.

A factor is a setting in which arms differ (`runs.factors`): the mix, the generator, its guidance, the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.inference.arm_groups import ArmGroups, arm_groups
from synthaug.analysis.inference.contrasts import MainEffect, main_effects
from synthaug.runs.factors import factor_keys, factor_labels, level
from synthaug.runs.identity import DRAW, REPLICATE

MIX = "mix.name"

Setting = tuple[tuple[str, str], ...]  # (factor, value as text) of an arm


@dataclass(frozen=True)
class FactorTable:
    """Arms by mix and by their values of all other factors.

    Attributes:
        rows: names of the mixes.
        columns: values of the other factors, in words.
        arms: by (row, column); an arm that has no use for a factor, as `real` has none for a generator, stands in
            every column.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    arms: Mapping[tuple[str, str], Arm]


@dataclass(frozen=True)
class FactorEffects:
    """The main effects of a factor.

    Attributes:
        factor: in words.
        effects: of each pair of its levels.
    """

    factor: str
    effects: tuple[MainEffect, ...]


@dataclass(frozen=True)
class ArmsAlike:
    """Which of many arms are not told apart.

    Attributes:
        arms: that are measured.
        groups: of them, by their places.
    """

    arms: tuple[Arm, ...]
    groups: ArmGroups


def factor_table(group: Group) -> FactorTable | None:
    """Return the arms of a group as a grid; None where they make none."""
    arms = [arm for arm in group.arms if arm.accuracy]
    settings = {arm.name: frozenset(_other_factors(arm, _keys(group))) for arm in arms}
    columns = [
        item for item in dict.fromkeys(settings.values()) if not any(item < longer for longer in settings.values())
    ]
    rows = tuple(dict.fromkeys(_mix(arm) for arm in arms))
    titles = {column: _title(column, _keys(group)) for column in columns}
    cells = {(_mix(arm), titles[column]): arm for column in columns for arm in arms if settings[arm.name] <= column}
    if len(columns) < 2 or len(rows) < 2 or 2 * len(cells) < len(rows) * len(columns):
        return None
    return FactorTable(rows, tuple(titles.values()), cells)


def arms_alike(group: Group) -> ArmsAlike | None:
    """Return the measured arms and which of them are not told apart; None unless the study compares every pair.

    Args:
        group: whose planned pairs are compared, p values corrected together.
    """
    arms = tuple(arm for arm in group.arms if arm.accuracy)
    place = {arm.name: number for number, arm in enumerate(arms)}
    differences = {
        (place[pair.first], place[pair.second]): pair.difference
        for pair in group.pairs
        if pair.difference and not pair.exploratory and {pair.first, pair.second} <= place.keys()
    }
    if len(arms) < 3 or 2 * len(differences) < len(arms) * (len(arms) - 1):
        return None
    groups = arm_groups([arm.accuracy.value for arm in arms if arm.accuracy], differences)
    return None if groups is None else ArmsAlike(arms, groups)


def factor_effects(group: Group) -> tuple[FactorEffects, ...]:
    """Return the main effects of each factor of a group, paired over everything else."""
    keys = _keys(group)
    labels = {**factor_labels(keys), MIX: "mix"}
    effects = []
    for key in (MIX, *(key for key in keys if key not in (REPLICATE, DRAW))):  # these change no expected accuracy
        by_arm = {arm.name: level(arm.settings, key) for arm in group.arms if arm.name in group.correct}
        arms = [arm for arm in group.arms if by_arm.get(arm.name) is not None]
        levels = [text for text in by_arm.values() if text is not None]
        cells = [_cell(arm, key, keys) for arm in arms]
        if len(set(zip(levels, cells, strict=True))) < len(arms):
            continue  # two mixes of one name
        values = [group.correct[arm.name] for arm in arms]
        if of_factor := main_effects(levels, cells, values, group.clusters, max(len(group.looks), 1), group.folds):
            effects.append(FactorEffects(labels[key], tuple(of_factor)))
    return tuple(effects)


def _keys(group: Group) -> list[str]:
    return factor_keys([arm.settings for arm in group.arms])


def _mix(arm: Arm) -> str:
    return str(arm.settings.get(MIX, arm.name))


def _other_factors(arm: Arm, keys: Sequence[str]) -> Setting:
    return tuple((key, text) for key in keys if (text := level(arm.settings, key)) is not None)


def _cell(arm: Arm, key: str, keys: Sequence[str]) -> Setting:
    others = _other_factors(arm, [factor for factor in keys if factor != key])
    return others if key == MIX else ((MIX, _mix(arm)), *others)


def _title(column: frozenset[tuple[str, str]], keys: Sequence[str]) -> str:
    labels, values = factor_labels(keys), dict(column)
    return ", ".join(
        values[key] if key.endswith(".name") else f"{labels[key]} {values[key]}" for key in keys if key in values
    )
