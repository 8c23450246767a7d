"""What is found about each arm, in a few words that the eye takes in at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.analysis.comparison.model import Arm, Comparison, Group, controls_of
from synthaug.analysis.findings import Findings
from synthaug.analysis.inference.intervals import Difference
from synthaug.analysis.text import exchange_text
from synthaug.analysis.text.format import in_points

GOOD, BAD, OPEN = "good", "bad", "open"


@dataclass(frozen=True)
class Verdict:
    """A finding: `tone` is "good", "bad" or "open", for the sign before the words."""

    tone: str
    words: str


def answer(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any]:
    """The arms that ask a question of their own, each with its verdicts; controls only serve those that have one."""
    controls = controls_of(group.arms)
    own = [arm for arm in group.arms if arm.name not in controls]
    found = [(arm, verdicts(arm, group.margin_fraction)) for arm in own]
    return {"arms": found, "worth": _worth(group, said), "controls": len(controls)}


def _worth(group: Group, said: Findings) -> str:
    """The exchange rate, where there is one that longer training has no part in."""
    return exchange_text.headline(said.exchange) if said.exchange.value is not None and len(group.steps) == 1 else ""


def verdicts(arm: Arm, margin: float) -> list[Verdict]:
    """Against the baseline, against the margin (a fraction), and against the control; what is not known is left out."""
    found = []
    if arm.difference is not None:
        found.append(_against_real(arm.difference))
    if arm.non_inferiority is not None:
        words, tone = {
            "established": ("worse than real by less than {} if at all", GOOD),
            "rejected": ("worse than real by more than {}", BAD),
            "inconclusive": ("worse than real by {} or more: not ruled out", OPEN),
        }[arm.non_inferiority.verdict]
        found.append(Verdict(tone, words.format(in_points(margin))))
    if arm.gain is not None:
        found.append(_of_synthetic_images(arm.gain))
    return found


def _against_real(found: Difference) -> Verdict:
    if found.is_significant:
        return Verdict(BAD, "below real") if found.value < 0 else Verdict(GOOD, "above real")
    return Verdict(OPEN, "not told apart from real")


def _of_synthetic_images(found: Difference) -> Verdict:
    if found.is_significant:
        return Verdict(GOOD, "synthetic images help") if found.value > 0 else Verdict(BAD, "synthetic images harm")
    return Verdict(OPEN, "whether synthetic images help is open")
