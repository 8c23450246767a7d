"""The wording of the power analysis, with made-up numbers."""

from dataclasses import replace

import pytest

from synthaug.analysis.inference.power_analysis import ArmPower, Assumptions, GroupPower, Power, expect, plan
from synthaug.analysis.inference.variance_components import VarianceComponents
from synthaug.analysis.text.document import markdown
from synthaug.analysis.text.power_text import announcement, plan_document, sentence, study_document
from tests.factories.golden import assert_golden

VARIANCES = VarianceComponents(4e-6, 0.001, 0.02, 0.3)
ARM = ArmPower(600, 3, 0.0257, VARIANCES, 0.01, 0.05, 0.0219, 2894, 6)


@pytest.fixture(scope="module")
def power() -> Power:
    return plan(Assumptions(0.995, 300, 3, 0.01, (0.03, 0.005)))


def test_a_plan(power: Power) -> None:
    assert_golden("power_plan.md", markdown(plan_document(power, "photos has 300 test images.")))


def test_a_study(power: Power) -> None:
    arms = {"64": ARM, "82": replace(ARM, seeds=2, smallest=None, images=None, more_seeds=None)}
    assert_golden(
        "power_study.md", markdown(study_document({"digits · sd15 · resnet18": GroupPower(arms, power)}, "default"))
    )


def test_arms_and_announcements_in_sentences() -> None:
    arms = [
        ARM,
        replace(ARM, smallest=0.01004, images=620, more_seeds=None),
        replace(ARM, smallest=0.009),
        replace(ARM, smallest=0.009, variances=None),
        replace(ARM, images=None, variances=None),
        replace(ARM, smallest=None, images=None, more_seeds=None),
    ]
    lines = [sentence(arm) for arm in arms]
    lines += [announcement(expect(20_000, 5, 0.01)), announcement(expect(162, 3, 0.005))]
    assert_golden("power_sentences.txt", "\n".join([*lines, ""]))
