"""Render the power analysis as tables and text."""

from collections.abc import Mapping

from synthaug.analysis.inference.power_analysis import ArmPower, Expected, GroupPower, Power
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.format import in_points
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("power")


def plan_document(power: Power, source: str = "") -> list[Block]:
    """Render what a study can show by what is assumed of it.

    Args:
        power: the numbers.
        source: where the number of test images comes from, a sentence.
    """
    return _TEMPLATE.document("plan", power, source)


def study_document(groups: Mapping[str, GroupPower], study: str) -> list[Block]:
    """Render what a study could have shown, arm by arm.

    Args:
        groups: title → numbers.
        study: its name.
    """
    return _TEMPLATE.document("study", groups, study)


def sentence(arm: ArmPower) -> str:
    """Say what a study can show of an arm, and what the margin needs."""
    return _TEMPLATE.sentence("arm_sentence", arm)


def announcement(expected: Expected) -> str:
    """Say what to expect of a study; where that is too little, further lines hold the command that says what helps."""
    text = _TEMPLATE.sentence("announcement", expected)
    if expected.shows:
        return text
    assumed = expected.assumed
    return f"{text};\nwhat {in_points(assumed.difference)} would take:\n{_TEMPLATE.sentence('command', assumed, False)}"
