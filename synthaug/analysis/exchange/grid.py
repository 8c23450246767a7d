"""A grid of arms: numbers of real images crossed with numbers of synthetic ones, as an exchange study has."""

from collections.abc import Mapping
from dataclasses import dataclass

from synthaug.analysis.comparison.model import Arm, Group

FEWEST_ARMS = 6


@dataclass(frozen=True)
class Grid:
    """Arms by their numbers of images.

    Attributes:
        real: numbers of real images, ascending.
        synthetic: numbers of synthetic images, ascending.
        arms: by (real, synthetic).
    """

    real: tuple[int, ...]
    synthetic: tuple[int, ...]
    arms: Mapping[tuple[int, int], Arm]


def grid_of(group: Group) -> Grid | None:
    """Return the grid that the arms of a group make; None where most of its cells would be empty or hold two arms."""
    trained = [arm for arm in group.arms if arm.accuracy is not None]
    arms = {(arm.n_real or 0, arm.n_synthetic or 0): arm for arm in trained}
    real, synthetic = (tuple(sorted(set(amounts))) for amounts in zip(*arms, strict=True)) if arms else ((), ())
    crossed = len(real) > 1 and len(synthetic) > 1 and 2 * len(arms) > len(real) * len(synthetic)
    if len(arms) < max(FEWEST_ARMS, len(trained)) or not crossed or any(arm.augment for arm in trained):
        return None
    return Grid(real, synthetic, arms)
