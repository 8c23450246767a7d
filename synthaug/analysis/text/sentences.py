"""Sentences on the arms and runs of a study; the words are in `templates/study.md.j2` and `templates/reasons.md.j2`."""

from collections.abc import Sequence

from synthaug.analysis.comparison.model import Group, Reason
from synthaug.analysis.findings import headline_arm
from synthaug.analysis.text.templating import Template

_STUDY = Template("study")
_REASONS = Template("reasons")


def headline(group: Group) -> str:
    """Return the answer to the study's question in one sentence."""
    return _STUDY.sentence("headline", headline_arm(group), group)


def arm_results(group: Group) -> list[str]:
    """Return what the table does not show, a line for each arm of which there is something."""
    texts = {arm.name: _STUDY.sentence("arm", arm, group) for arm in group.arms}
    return [f"{name}: {text}" for name, text in texts.items() if text]


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
