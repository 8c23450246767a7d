"""Checks of the arms: severity and data of each, on made-up arms."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, WARNING, Check
from synthaug.analysis.validity.design import arm_checks
from tests.factories.arms import make_arm, make_difference, make_group
from tests.factories.studies import MadeUp, make_study, one_group

LOSS = make_difference(-0.036, -0.045, -0.027)
GAIN = make_difference(0.024, 0.012, 0.036)
SUM = make_difference(-0.012, -0.021, -0.003)


def checks_of(group: Group) -> dict[str, Check]:
    return {check.code: check for check in arm_checks(group)}


def baseline(**values: Any) -> Arm:
    return make_arm(0.0, **{"name": "real", "baseline": True, "seeds": (0, 1), **values})


@pytest.mark.parametrize(
    ("arms", "severity", "planned"),
    [
        ([baseline()], PASSED, True),
        ([baseline(accuracy=None)], SERIOUS, True),
        ([baseline(accuracy=None), make_arm(0.6)], SERIOUS, True),
        ([make_arm(0.6)], SERIOUS, False),
    ],
)
def test_baseline(arms: Sequence[Arm], severity: str, planned: bool) -> None:
    assert checks_of(make_group(*arms))["baseline"] == Check("baseline", severity, {"planned": planned})


def test_controls() -> None:
    arms = [
        baseline(),
        make_arm(0.5, control="real50"),
        make_arm(0.6),
        make_arm(0.7, accuracy=None),
        make_arm(1.0, name="synthetic"),
        make_arm(0.5, real=1.0, name="add50"),
    ]
    assert checks_of(make_group(*arms))["controls"] == Check("controls", SERIOUS, {"arms": ["60"]})
    assert checks_of(make_group(*arms[:2]))["controls"] == Check("controls", PASSED, {"arms": []})
    assert "controls" not in checks_of(make_group(arms[0], *arms[3:]))


@pytest.mark.parametrize(
    ("chosen", "severity", "flagged"),
    [
        ((500, 500, 500), WARNING, {"60": 400, "80": 200}),
        ((500, 200, 500), WARNING, {"80": 200}),
        ((500, 200, 100), PASSED, {}),
        ((0, 0, 0), PASSED, {}),
        ((0, 200, 100), PASSED, {}),
    ],
)
def test_an_arm_of_fewer_real_images_has_fewer_to_choose_the_epoch(
    chosen: tuple[int, int, int], severity: str, flagged: dict[str, int]
) -> None:
    full, some, few = chosen
    arms = [baseline(n_selection=full), make_arm(0.6, n_selection=some), make_arm(0.8, n_selection=few)]
    data = {"arms": flagged, "n_real": 1000, "n_selection": chosen[0]}
    assert checks_of(make_group(*arms))["selection"] == Check("selection", severity, data)
    assert checks_of(make_group(*arms[1:]))["selection"].data["n_real"] == 400


def test_arms_of_all_real_images_may_have_all_validation_images() -> None:
    arms = [baseline(n_selection=500), make_arm(0.5, real=1.0, n_real=1000, n_selection=500)]
    assert "selection" not in checks_of(make_group(*arms))


def test_power_of_a_study(tmp_path: Any) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5)}
    study = make_study(tmp_path / "study", MadeUp(arms=arms, n_test=200, seeds=(0, 1)))
    group = one_group(study)
    power = next(arm.power for arm in group.arms if arm.name == "55")
    assert power is not None
    assert power.smallest is not None
    weak = [{"arm": "55", "smallest": 100 * power.smallest}]
    assert checks_of(group)["power"] == Check("power", SERIOUS, {"margin": 1.0, "arms": weak, "compared": 1})
    wide = checks_of(compare(study, margin=50).groups[0])["power"]
    assert wide == Check("power", PASSED, {"margin": 50.0, "arms": [], "compared": 1})


def test_one_seed_shows_no_difference_of_arms_so_that_it_has_no_power(tmp_path: Any) -> None:
    assert "power" not in checks_of(one_group(make_study(tmp_path / "study", MadeUp(n_test=200))))


def test_power_of_some_arms_is_a_warning(tmp_path: Any) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(n_test=200, seeds=(0, 1))))
    arms = list(group.arms)
    assert arms[1].power is not None
    arms[1] = dataclasses.replace(arms[1], power=dataclasses.replace(arms[1].power, smallest=0.001))
    check = checks_of(dataclasses.replace(group, arms=tuple(arms)))["power"]
    assert (check.severity, [item["arm"] for item in check.data["arms"]]) == (WARNING, ["64", "73", "82"])


def test_augmentation() -> None:
    strong = make_arm(0.0, name="strong", augment="policy trivial")
    check = checks_of(make_group(baseline(), strong))["augmentation"]
    assert check == Check("augmentation", WARNING, {"arms": {"strong": "policy trivial"}})
    assert "augmentation" not in checks_of(make_group(baseline()))


@pytest.mark.parametrize(
    ("seeds", "severity"), [(1, SERIOUS), (2, WARNING), (3, WARNING), (4, WARNING), (5, PASSED), (9, PASSED)]
)
def test_number_of_seeds(seeds: int, severity: str) -> None:
    group = make_group(baseline(seeds=range(seeds)), make_arm(0.6, seeds=range(seeds)))
    assert checks_of(group)["seeds"] == Check(
        "seeds", severity, {"fewest": seeds, "arms": ["real", "60"], "all_arms": True}
    )


def test_the_arm_with_fewest_seeds_is_named() -> None:
    group = make_group(baseline(seeds=range(5)), make_arm(0.6, seeds=(0,)), make_arm(0.8, seeds=()))
    assert checks_of(group)["seeds"] == Check("seeds", SERIOUS, {"fewest": 1, "arms": ["60"], "all_arms": False})
    assert "seeds" not in checks_of(make_group(baseline(seeds=())))


@pytest.mark.parametrize(
    ("arms", "in_headline"),
    [
        ([make_arm(0.6, SUM.untested())], True),
        ([make_arm(0.6, SUM.untested()), make_arm(0.8, SUM)], False),
        ([make_arm(0.6)], False),  # the headline says that nothing can be compared
    ],
)
def test_the_headline_says_that_every_arm_has_one_seed(arms: list[Arm], in_headline: bool) -> None:
    checks = checks_of(make_group(baseline(seeds=(0,)), *arms))
    assert [check.code for check in checks.values() if check.in_headline] == ["seeds"] * in_headline


@pytest.mark.parametrize(
    ("values", "severity", "data"),
    [
        ({"seeds": (0, 1), "difference_seeds": (0, 1)}, PASSED, {}),
        ({"seeds": (1,), "difference_seeds": (1,)}, WARNING, {"some": {"60": [1]}}),
        ({"seeds": (0, 1, 2), "difference_seeds": (0, 1)}, WARNING, {"some": {"60": [0, 1]}}),
        ({"seeds": (3,), "difference_seeds": ()}, WARNING, {"none": {"60": [3]}}),
        ({"seeds": (0, 1), "difference_seeds": (0, 1), "loss": LOSS, "gain": GAIN}, PASSED, {}),
        ({"seeds": (0, 1), "difference_seeds": (0, 1), "loss": LOSS, "gain": LOSS}, WARNING, {"unequal_sums": ["60"]}),
    ],
)
def test_paired_seeds(values: Mapping[str, Any], severity: str, data: Mapping[str, Any]) -> None:
    check = checks_of(make_group(baseline(), make_arm(0.6, SUM, **values)))["paired_seeds"]
    empty = {"baseline": [0, 1], "some": {}, "none": {}, "unequal_sums": []}
    assert check == Check("paired_seeds", severity, {**empty, **data})


def test_without_a_difference_no_seeds_are_paired() -> None:
    assert "paired_seeds" not in checks_of(make_group(baseline()))


@pytest.mark.parametrize(
    ("accuracy", "severity"),
    [
        (Estimate(0.8, 0.76, 0.84), PASSED),
        (Estimate(0.8, 0.75, 0.84), SERIOUS),
        (Estimate(0.5, 0.4, 0.6), SERIOUS),
        (Estimate(1.0, 0.3, 1.0), PASSED),  # few test images, all correct
    ],
)
def test_accuracy_above_chance(accuracy: Estimate, severity: str) -> None:
    labels = np.array([0, 0, 0, 1])
    check = checks_of(make_group(make_arm(0.6, accuracy=accuracy), labels=labels))["chance"]
    assert check == Check("chance", severity, {"arms": ["60"] if severity == SERIOUS else [], "share": 0.75})


def test_without_test_images_chance_is_not_checked() -> None:
    assert "chance" not in checks_of(make_group(make_arm(0.6)))


def test_an_arm_that_differs_from_its_reference_in_more_than_images_is_named(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1, 0), "64": (0.4, 0.6)}, n_test=40))
    make_study(study, MadeUp(arms={"64": (0.4, 0.6)}, model="vit", n_test=40))
    check = checks_of(one_group(study))["references"]
    assert check.severity == WARNING
    assert check.data["arms"] == [
        {"arm": "64 · vit", "reference": "real · resnet18", "settings": ["model.name"]},
    ]
    make_study(study, MadeUp(arms={"real": (1, 0)}, model="vit", n_test=40))
    assert checks_of(one_group(study))["references"].severity == PASSED
