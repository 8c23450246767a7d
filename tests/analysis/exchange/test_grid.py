"""Which arms make a grid."""

import dataclasses

import pytest

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.inference.intervals import Estimate

CROSSED = [(real, synthetic) for real in (1000, 100, 400) for synthetic in (500, 0)]


def group_of(amounts: list[tuple[int, int]]) -> Group:
    arms = [
        Arm(f"real{real / 1000:g}-synthetic{synthetic / 1000:g}", real / 1000, synthetic / 1000, index == 0, 1,
            n_real=real, n_synthetic=synthetic, accuracy=Estimate(0.5 + index / 100, 0.4, 0.7))
        for index, (real, synthetic) in enumerate(amounts)
    ]  # fmt: skip
    return Group("digits", None, 300, ("cat", "dog"), tuple(arms), (), 1.0)


def test_amounts_ascend_and_every_arm_has_its_cell() -> None:
    group = group_of(CROSSED)
    grid = grid_of(group)
    assert grid is not None
    assert (grid.real, grid.synthetic) == ((100, 400, 1000), (0, 500))
    assert {cell: arm.name for cell, arm in grid.arms.items()} == {
        cell: arm.name for cell, arm in zip(CROSSED, group.arms, strict=True)
    }


def test_an_arm_without_a_finished_run_leaves_a_hole() -> None:
    whole = group_of([*CROSSED, (50, 0), (50, 500)])
    last = dataclasses.replace(whole.arms[-1], n_real=None, n_synthetic=None, accuracy=None)
    grid = grid_of(dataclasses.replace(whole, arms=(*whole.arms[:-1], last)))
    assert grid is not None
    assert (50, 500) not in grid.arms
    assert len(grid.arms) == 7


@pytest.mark.parametrize(
    "amounts",
    [
        [],
        CROSSED[:5],
        [(real, 0) for real in range(100, 800, 100)],
        [(1000, 0), *((1000 - n, n) for n in range(100, 800, 100))],  # shares of one size
        [*CROSSED, (400, 500)],  # two arms in a cell
    ],
)
def test_no_grid(amounts: list[tuple[int, int]]) -> None:
    assert grid_of(group_of(amounts)) is None


def test_an_augmentation_of_its_own_is_no_amount() -> None:
    group = group_of(CROSSED)
    varied = dataclasses.replace(group.arms[2], augment="erasing")
    assert grid_of(dataclasses.replace(group, arms=(*group.arms[:2], varied, *group.arms[3:]))) is None
