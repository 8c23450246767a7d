"""What could make the numbers say something else than they seem to, and what so many images and seeds can show."""

from collections.abc import Mapping
from typing import Any

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.text import power_text
from synthaug.analysis.text.check_text import check_text
from synthaug.analysis.text.format import in_points
from synthaug.analysis.validity.check import PASSED, SERIOUS, UNCHECKED, WARNING


def power(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """The smallest difference that each arm could have shown, and what the margin would take."""
    arms = {arm.name: arm.power for arm in group.treatment_arms if arm.power}
    words = {name: power_text.sentence(name, arm) for name, arm in arms.items()}
    return {"arms": arms, "said": words, "margin": in_points(group.margin_fraction)} if arms else None


def threats(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any]:
    """Return all checks, the most severe first."""
    tones = {SERIOUS: "bad", WARNING: "open", UNCHECKED: "open", PASSED: "good"}
    texts = [check_text(check) for check in said.checks]
    return {"checks": texts, "tones": tones, "serious": [text for text in texts if text.severity == SERIOUS]}
