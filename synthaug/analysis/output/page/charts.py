"""Sections that are figures first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from synthaug.analysis.comparison.compare import MAX_CONFUSION_CLASSES
from synthaug.analysis.comparison.model import Arm, controls_of
from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.output.figures import equivalent_curve, exchange_curves, forest, palette
from synthaug.analysis.output.figures.confusion import MAX_CELL_TEXT, confusion_matrix
from synthaug.analysis.output.figures.curve import accuracy_by_share, marker_legend
from synthaug.analysis.output.figures.decomposition import loss_and_gain
from synthaug.analysis.output.figures.learning import Curve, learning_curves
from synthaug.analysis.output.page.content import Content
from synthaug.analysis.text import arm_table, equivalent_text, exchange_text
from synthaug.analysis.text.document import Heading, Points, Rows
from synthaug.runs.contents import UnreadableFileError

FIGURES = "figures"  # in the context of a section: name → matplotlib figure
MAX_CLASS_ROWS = 30
MAX_DRAWN = 24  # arms that have a figure each
LOGGED = (("val/accuracy", "validation accuracy (%)", 100.0), ("train/loss", "training loss", 1.0))


def curve(content: Content) -> Mapping[str, Any] | None:
    """Draw accuracy against the synthetic share, and the differences from real beside it."""
    figures = {}
    if grid_of(content.group) is not None:
        return None  # its shares mean little, and its arms cover one another: the result has a heat map
    if any(arm.accuracy for arm in content.group.arms):
        figures["accuracy"] = accuracy_by_share(content.group.arms)
    if any(arm.difference for arm in content.group.arms):
        figures["difference"] = forest.arm_differences(content.group.arms)
    if not figures:
        return None
    return {FIGURES: figures, "markers": marker_legend(content.group.arms), "controls": controls_of(content.group.arms)}


def decomposition(content: Content) -> Mapping[str, Any] | None:
    """Draw what losing real images costs and synthetic images give back, for the arms that have a control."""
    arms = [arm for arm in content.group.arms if arm.gain is not None]
    if not arms:
        return None
    figure = loss_and_gain(content.group.arms, arm_table.labels(content.group))
    return {FIGURES: {"loss-and-gain": figure}, "arms": arms}


def classes(content: Content) -> Mapping[str, Any] | None:
    """Draw per arm the difference from real of each class: of all classes, or of those that differ most."""
    arms = [arm for arm in content.group.arms if arm.difference is not None]
    if not arms:
        return None
    shown = drawn_arms(arms)
    colour, controls = palette.arm_colours(content.group.arms), controls_of(content.group.arms)
    labels = arm_table.labels(content.group)
    drawn = forest.largest_differences(arms, MAX_CLASS_ROWS)
    limits = {  # one axis for the arms and one for the controls, whose differences may be many times as large
        control: forest.axis_limits(
            arm.classes[index].difference for arm in arms if (arm.name in controls) == control for index in drawn
        )
        for control in (False, True)
    }
    figures = {
        arm.name: forest.class_differences(
            replace(arm, name=labels[arm.name]), drawn, limits[arm.name in controls], colour[arm.name]
        )
        for arm in shown
    }
    return {FIGURES: figures, "controls": controls, "limit": MAX_CLASS_ROWS, "left": len(arms) - len(shown)}


def drawn_arms(arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms that have a figure each: all of few; of many the baseline, the least and the most accurate."""
    if len(arms) <= MAX_DRAWN:
        return list(arms)
    ordered = sorted((arm for arm in arms if arm.accuracy), key=lambda arm: arm.accuracy.value if arm.accuracy else 0.0)
    ordered.sort(key=lambda arm: not arm.baseline)
    kept = {arm.name for arm in [*ordered[: MAX_DRAWN // 2], *ordered[-MAX_DRAWN // 2 :]]}
    return [arm for arm in arms if arm.name in kept]


def confusion(content: Content) -> Mapping[str, Any] | None:
    """Draw a confusion matrix per arm, as long as there are few enough classes."""
    labels = arm_table.labels(content.group)
    arms = [arm for arm in content.group.arms if arm.confusion is not None]
    figures = {
        arm.name: confusion_matrix(labels[arm.name], arm.confusion, content.group.class_names)
        for arm in drawn_arms(arms)
        if arm.confusion is not None
    }
    if not figures and len(content.group.class_names) <= MAX_CONFUSION_CLASSES:
        return None
    dense = len(content.group.class_names) > MAX_CELL_TEXT
    return {
        FIGURES: figures,
        "controls": controls_of(content.group.arms),
        "dense": dense,
        "limit": MAX_CONFUSION_CLASSES,
        "left": len(arms) - len(figures),
    }


def equivalent(content: Content) -> Mapping[str, Any] | None:
    """Draw how many real images alone do as well as each arm, or say why not; None without synthetic images."""
    if not any(arm.has_synthetic and arm.name in content.group.predicted for arm in content.group.arms):
        return None
    equivalents, labels = content.findings.equivalents, arm_table.labels(content.group)
    colour = palette.arm_colours(content.group.arms)
    drawn = [equivalent_curve.equivalent_curve(sizes, labels, colour) for sizes in equivalents]
    several = len(equivalents) > 1
    # The heading is the section's, and so is the headline of the only block.
    blocks = [
        block for sizes in equivalents for block in equivalent_text.document(sizes, labels)[1 if several else 2 :]
    ]
    return {
        FIGURES: {f"equivalent{number}": figure for number, figure in enumerate(drawn, 1) if figure is not None},
        "headline": equivalent_text.headline(equivalents, labels),
        "blocks": blocks,
    }


def exchange(content: Content) -> Mapping[str, Any] | None:
    """Draw the exchange rate, or say why it is not identifiable; None where no arm has synthetic images."""
    if not any(arm.has_synthetic and arm.name in content.group.predicted for arm in content.group.arms):
        return None
    rate = content.findings.exchange
    figures = {
        "error": exchange_curves.error_curves(rate, len(content.group.class_names)),
        "value": exchange_curves.values_by_amount(rate),
        "value-by-class": exchange_curves.class_values(rate),
    }
    tables = [block for block in exchange_text.document(rate)[1:] if isinstance(block, Heading | Rows)]
    return {
        FIGURES: {name: figure for name, figure in figures.items() if figure is not None},
        "headline": exchange_text.headline(rate),
        "remarks": [Points(remarks)] if (remarks := exchange_text.remarks(rate)) else [],
        # The first heading of the document is the section's, so that those below it move up.
        "tables": [Heading(block.text) if isinstance(block, Heading) else block for block in tables],
    }


def learning(content: Content) -> Mapping[str, Any] | None:
    """Draw what was logged per epoch, and list the runs whose log cannot be read."""
    labels = arm_table.labels(content.group).items()
    short = {name: label.replace(" real", "").replace(" synthetic", "") for name, label in labels if label != name}
    curves: dict[str, list[Curve]] = {column: [] for column, _, _ in LOGGED}
    unreadable = []
    arms = [arm for arm in content.group.arms if arm.accuracy]
    shown = {arm.name for arm in drawn_arms(arms)}
    for item in content.group.runs:
        if not item.compared or item.run.arm not in shown:
            continue
        try:
            history = item.run.history
            for column, of_column in curves.items():
                of_column.append(Curve(item.run.arm, history["epoch"], history[column]))
        except (UnreadableFileError, LookupError):
            unreadable.append(item.run.label)
    figures = {
        column: learning_curves(curves[column], label, content.group.arms, scale, short)
        for column, label, scale in LOGGED
        if curves[column]
    }
    left = len(arms) - len(shown)
    return {FIGURES: figures, "unreadable": unreadable, "left": left} if figures or unreadable else None
