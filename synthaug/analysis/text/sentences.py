"""Sentences on the arms and runs of a study; the words are in `templates/study.md.j2` and `templates/reasons.md.j2`."""

from collections.abc import Sequence

from synthaug.analysis.comparison.model import Arm, Group, Reason
from synthaug.analysis.findings import headline_arm
from synthaug.analysis.text.templating import Template

_STUDY = Template("study")
_REASONS = Template("reasons")


def headline(group: Group) -> str:
    """Return the answer to the study's question in one sentence."""
    return _STUDY.sentence("headline", headline_arm(group), group)


def arm_result(arm: Arm, group: Group) -> str:
    """Return what the table does not show of an arm; empty where that is nothing.

    Args:
        arm: of the group.
        group: with the number of test images and the margin.
    """
    return _STUDY.sentence("arm", arm, group)


def trend(group: Group) -> str:
    """Return the trend over the synthetic share; empty where there are too few arms."""
    return _STUDY.sentence("trend", group.trend, group.n_test) if group.trend else ""


def reason_text(reason: Reason | None) -> str:
    """Return why a run is not in the numbers; empty where it is."""
    return _REASONS.sentence(reason.code, reason.data) if reason else ""


def caption(group: Group) -> list[str]:
    """Return the lines below the table: what its intervals and p values cover."""
    return _STUDY.sentences("caption", group)


def groups_note(groups: Sequence[Group]) -> str:
    """Return that several groups of a study are tested separately; empty where nothing is, or in one group alone."""
    return _STUDY.sentence("groups", len(groups)) if len(groups) > 1 and any(g.tested_arms for g in groups) else ""
