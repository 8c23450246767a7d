"""Sentences on the arms of a study; the words are in `templates/study.j2`."""

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.findings import headline_arm
from synthaug.analysis.text.rendering import render, render_lines

_STUDY = "study.j2"


def headline(group: Group) -> str:
    """Return the answer to the study's question in one sentence."""
    return render(_STUDY, "headline", headline_arm(group), group)


def arm_result(arm: Arm, group: Group) -> str:
    """Return the results of an arm, to follow its name.

    Args:
        arm: of the group.
        group: with the number of test images and the margin.
    """
    return render(_STUDY, "arm", arm, group)


def mix(arm: Arm) -> str:
    """Return the composition of an arm's training images."""
    return render(_STUDY, "mix", arm)


def trend(group: Group) -> str:
    """Return the trend over the synthetic share; empty where there are too few arms."""
    return render(_STUDY, "trend", group.trend, group.n_test) if group.trend else ""


def caption(group: Group) -> list[str]:
    """Return the lines below the table: what its intervals and p values cover."""
    return render_lines(_STUDY, "caption", group)
