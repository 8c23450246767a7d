"""What could make the numbers say something else than they seem to, and what so many images and seeds can show."""

from collections.abc import Mapping
from typing import Any

from synthaug.analysis import power_text
from synthaug.analysis.inference import right
from synthaug.analysis.page.answers import controls_of, points
from synthaug.analysis.power import ArmPower, of_group
from synthaug.analysis.study import Comparison, Group
from synthaug.analysis.threats.find import find
from synthaug.analysis.threats.finding import MIND, PASSED, SERIOUS, UNCHECKED, Finding


def power(comparison: Comparison, group: Group) -> Mapping[str, Any] | None:
    """The smallest difference that each arm could have shown, and what the margin would take."""
    found = _powers(group)
    said = {name: power_text.sentence(name, arm) for name, arm in found.items()}
    return {"arms": found, "said": said, "margin": points(group.margin)} if found else None


def threats(comparison: Comparison, group: Group) -> Mapping[str, Any] | None:
    """All findings, the most severe first; nothing where no run can be compared."""
    if not group.answers:
        return None
    found = find(comparison, group, _of_power(_powers(group), group.margin))
    tones = {SERIOUS: "bad", MIND: "open", UNCHECKED: "open", PASSED: "good"}
    return {"findings": found, "tones": tones, "serious": [item for item in found if item.severity == SERIOUS]}


def _powers(group: Group) -> dict[str, ArmPower]:
    """Of the arms that ask a question of their own; that a control is worse is no surprise."""
    if group.baseline is None or group.baseline.name not in group.answers:
        return {}
    controls = controls_of(group)
    arms = {name: predicted for name, predicted in group.answers.items() if name not in controls}
    correct = {name: right(predicted, group.labels) for name, predicted in arms.items()}
    return of_group(correct, correct.pop(group.baseline.name), group.margin)


def _of_power(arms: Mapping[str, ArmPower], margin: float) -> list[Finding]:
    """Whether the study can show what it looks for: a finding like the others."""
    weak = [name for name, arm in arms.items() if not arm.shows]
    if not arms:
        return []
    if not weak:
        return [Finding("power", PASSED, f"In every arm a difference of {points(margin)} would be shown.")]
    whose = "any arm" if len(weak) == len(arms) else ", ".join(weak)
    said = f"A difference of {points(margin)} from real cannot be shown in {whose}: not to see one says little."
    return [Finding("power", SERIOUS if len(weak) == len(arms) else MIND, said, "See what this study can show.")]
