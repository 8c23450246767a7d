"""What a study says, as data."""

import dataclasses

import pytest

from synthaug.analysis.comparison.model import Arm, NonInferiority
from synthaug.analysis.findings import headline_arm
from tests.factories.arms import make_arm, make_difference, make_group

LOST, CHANCE = make_difference(-0.01, -0.02, -0.001), make_difference(-0.01, -0.02, -0.001, 0.2)
GAINED = make_difference(0.01, 0.001, 0.02)
ESTABLISHED = {"non_inferiority": NonInferiority("established", 0.001, 0.002)}


@pytest.mark.parametrize(
    ("arms", "name"),
    [
        ([], None),
        ([make_arm(0.5, CHANCE, **ESTABLISHED), make_arm(0.6, CHANCE, **ESTABLISHED), make_arm(0.8, LOST)], "60"),
        ([make_arm(0.5, LOST), make_arm(0.6, CHANCE, **ESTABLISHED)], "60"),
        ([make_arm(0.5, CHANCE), make_arm(0.6, LOST), make_arm(0.8, LOST)], "60"),
        ([make_arm(0.5, CHANCE), make_arm(0.8, CHANCE)], "80"),
        ([make_arm(0.5, GAINED), make_arm(0.6, CHANCE)], "60"),
        ([make_arm(0.8, CHANCE, augment="policy trivial", **ESTABLISHED), make_arm(0.6, LOST)], "60"),
        ([make_arm(0.6, LOST, real=1.0)], None),
    ],
)
def test_the_headline_is_of_the_arm_that_decides(arms: list[Arm], name: str | None) -> None:
    chosen = headline_arm(make_group(*arms))
    assert (chosen and chosen.name) == name


def test_controls_are_not_in_the_headline() -> None:
    control = make_arm(0.0, LOST, name="real40", real=0.4)
    mixed = make_arm(0.6, CHANCE, control="real40", loss=LOST)
    assert headline_arm(make_group(control, dataclasses.replace(mixed, real=0.4))) is not None
    assert headline_arm(make_group(control)) is None
