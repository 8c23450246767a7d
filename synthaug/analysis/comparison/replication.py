"""How much of the variance of an arm's accuracy each source of chance brings.

Two designs tell sources apart: `replicate=weights,images,draw,full`, where each seed of a level draws anew what those
of the level before do and more; and `generator.draw=0,1,2` with the same seeds for each draw.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.inference.sources_of_chance import crossed_sources, image_source, nested_sources
from synthaug.runs.factors import SEPARATOR
from synthaug.runs.identity import DRAW, REPLICATE

LEVELS = ("weights", "images", "draw", "full")  # of `replicate`, each of which draws what those before do
IMAGE, SEED, RUN = "test images", "seeds", "runs"  # sources besides


@dataclass(frozen=True)
class SourceVariance:
    """The variance of an arm's accuracy by one source of chance.

    Attributes:
        arm: in words, without what its runs redraw.
        source: a level of `replicate` (what it draws beyond the one before), "draw", or one of the others above.
        variance: of a fraction, with its interval.
        runs: from which it was estimated.
    """

    arm: str
    source: str
    variance: Estimate
    runs: int


def source_variances(group: Group) -> tuple[SourceVariance, ...]:
    """Return the variances of all arms that tell sources apart; empty where none do, and in folds."""
    if group.folds is not None:  # between which the training images differ as well
        return ()
    return (*_nested(group), *_crossed(group))


def _nested(group: Group) -> Iterable[SourceVariance]:
    for arms in _alike(group, REPLICATE):
        levels = {str(arm.settings.get(REPLICATE)): arm for arm in arms if len(arm.seeds) > 1}
        present = [level for level in LEVELS if level in levels]
        if len(present) < 2:
            continue
        tables = [_table(group, levels[level], levels[level].seeds) for level in present]
        name = _name(arms)
        yield SourceVariance(name, IMAGE, image_source(np.concatenate(tables)), sum(map(len, tables)))
        sources = nested_sources(tables)
        for place, (level, variance) in enumerate(zip(present, sources, strict=True)):
            used = tables[max(place - 1, 0) : place + 1]
            yield SourceVariance(
                name, _added(level, present[place - 1] if place else None), variance, sum(map(len, used))
            )


def _added(level: str, before: str | None) -> str:
    """Return what a level draws beyond the one before it: "images", or "images + draw" where one was left out."""
    first = 0 if before is None else LEVELS.index(before) + 1
    return " + ".join(LEVELS[first : LEVELS.index(level) + 1])


def _crossed(group: Group) -> Iterable[SourceVariance]:
    for arms in _alike(group, DRAW):
        seeds = sorted(set.intersection(*(set(arm.seeds) for arm in arms)))
        if len(arms) < 2 or len(seeds) < 2:
            continue
        table = np.stack([_table(group, arm, seeds) for arm in arms])
        sources, name, runs = crossed_sources(table), _name(arms), len(arms) * len(seeds)
        for source, variance in (
            (IMAGE, sources.image),
            ("draw", sources.draw),
            (SEED, sources.seed),
            (RUN, sources.run),
        ):
            yield SourceVariance(name, source, variance, runs)


def _alike(group: Group, factor: str) -> list[list[Arm]]:
    """Return the arms that are measured and differ in one factor alone, together."""
    together: dict[str, list[Arm]] = {}
    for arm in group.arms:
        if arm.name in group.correct:
            rest = {key: value for key, value in arm.settings.items() if key != factor}
            together.setdefault(repr(sorted(rest.items(), key=lambda item: item[0])), []).append(arm)
    return [arms for arms in together.values() if len(arms) > 1]


def _table(group: Group, arm: Arm, seeds: Sequence[int]) -> NDArray[np.float64]:
    return np.stack([group.correct[arm.name][seed] for seed in seeds])


def _name(arms: Sequence[Arm]) -> str:
    """Return what the names of arms have in common."""
    parts = [arm.name.split(SEPARATOR) for arm in arms]
    return SEPARATOR.join(part for part in parts[0] if all(part in of_arm for of_arm in parts))
