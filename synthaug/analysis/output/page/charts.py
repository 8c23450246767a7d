"""Sections that are figures first."""

import csv
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from synthaug.analysis.comparison.compare import MAX_CONFUSION_CLASSES
from synthaug.analysis.comparison.model import Comparison, Group, controls_of
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.figures import confusion as matrices
from synthaug.analysis.output.figures import curve as curves
from synthaug.analysis.output.figures import decomposition as parts
from synthaug.analysis.output.figures import forest, palette
from synthaug.analysis.output.figures import learning as progress
from synthaug.runs import contents

MAX_CLASS_ROWS = 30
UNREADABLE = (OSError, ValueError, LookupError, csv.Error)

# Markup here and below: the figures have escaped their text themselves.


def curve(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Accuracy against the synthetic share, and the differences from real beside it."""
    drawn = {}
    if any(arm.accuracy for arm in group.arms):
        drawn["accuracy"] = Markup(curves.accuracy_by_share(group.arms))
    if any(arm.difference for arm in group.arms):
        drawn["difference"] = Markup(forest.arm_differences(group.arms))
    legend, controls = curves.marker_legend(group.arms), bool(controls_of(group.arms))
    return {"figures": drawn, "legend": legend, "controls": controls} if drawn else None


def decomposition(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """What losing real images costs and synthetic ones give back, for the arms that have a control."""
    arms = [arm for arm in group.arms if arm.gain is not None]
    return {"figures": {"loss-and-gain": Markup(parts.decomposition(group.arms))}, "arms": arms} if arms else None


def classes(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Per arm, the difference from real of each class: all of them, or those that differ most."""
    arms = [arm for arm in group.arms if arm.difference is not None]
    if not arms:
        return None
    colour = palette.of_arms(group.arms)
    shown = forest.most_changed(arms, MAX_CLASS_ROWS)
    controls = controls_of(group.arms)
    ends = {  # of the axis: one for the arms and one for the controls, whose differences may be many times as large
        of: forest.span(arm.classes[i].difference for arm in arms if (arm.name in controls) == of for i in shown)
        for of in (False, True)
    }
    drawn = {
        arm.name: Markup(forest.class_differences(arm, shown, ends[arm.name in controls], colour[arm.name]))
        for arm in arms
    }
    return {**_apart(group, drawn), "limit": MAX_CLASS_ROWS}


def confusion(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """A confusion matrix per arm, as long as the classes can be told apart in it."""
    drawn = {
        arm.name: Markup(matrices.confusion(arm.name, arm.confusion, group.class_names))
        for arm in group.arms
        if arm.confusion is not None
    }
    if not drawn and len(group.class_names) <= MAX_CONFUSION_CLASSES:
        return None
    dense = len(group.class_names) > matrices.MAX_CELL_TEXT
    return {**_apart(group, drawn), "dense": dense, "limit": MAX_CONFUSION_CLASSES}


def _apart(group: Group, drawn: Mapping[str, Markup]) -> dict[str, dict[str, Markup]]:
    """Figures by arm: those that a reader came for, and those of the controls."""
    controls = controls_of(group.arms)
    return {
        "figures": {name: figure for name, figure in drawn.items() if name not in controls},
        "control_figures": {name: figure for name, figure in drawn.items() if name in controls},
    }


def learning(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Figures of what was logged, and the runs whose log cannot be read."""
    wanted = (("val/accuracy", "validation accuracy (%)", 100.0), ("train/loss", "training loss", 1.0))
    lines: dict[str, list[progress.Curve]] = {column: [] for column, _, _ in wanted}
    unread = []
    for item in group.runs:
        if not item.compared:
            continue
        try:
            history = contents.read_history(item.run.folder)
            for column in lines:
                lines[column].append(progress.Curve(item.run.key.arm, history["epoch"], history[column]))
        except UNREADABLE:
            unread.append(item.run.key.label)
    drawn = {
        column: Markup(progress.curves(lines[column], label, group.arms, scale))
        for column, label, scale in wanted
        if lines[column]
    }
    return {"figures": drawn, "unread": unread} if drawn or unread else None
