"""Learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Arm, controls_of
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import (
    LINE,
    Label,
    axes_in_inches,
    shorten,
    style,
    text_width,
    write_labels,
)


@dataclass(frozen=True)
class Curve:
    """One quantity of one run, per epoch; epochs count from 0, as Lightning's do."""

    arm: str
    epochs: Sequence[float]
    values: Sequence[float]


@style()
def learning_curves(
    curves: Sequence[Curve],
    label: str,
    arms: Sequence[Arm],
    scale: float = 1.0,
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a faint line per run and a strong one for the mean of each arm's runs; controls are dashed.

    Args:
        curves: one per run.
        label: of the y axis.
        arms: all arms of the group, which decides on the colours.
        scale: factor of the values.
        names: what arms are called in the figure, where not by their names.
    """
    names = {arm.name: arm.name for arm in arms} | dict(names or {})
    colour = palette.arm_colours(arms)
    controls = controls_of(arms)
    by_arm: dict[str, list[Curve]] = {}
    for curve in curves:
        by_arm.setdefault(curve.arm, []).append(curve)
    space = text_width([shorten(names[name]) for name in by_arm], 8) + 0.12
    height = max(2.8, 0.7 + len(by_arm) * LINE / 72)
    figure, axes = axes_in_inches(4.2, height, left=0.62, bottom=0.5, top=0.15, right=space)
    figure.set_label(f"{label} per epoch, by arm")
    ends: list[tuple[str, float, float]] = []
    for name, runs in by_arm.items():
        dashes = (0, (4, 2)) if name in controls else "solid"
        for curve in runs if len(runs) > 1 else ():
            axes.plot(*_logged(curve, scale), color=colour[name], linewidth=0.6, alpha=0.3, linestyle=dashes)
        x, y = _logged(_mean(runs), scale)
        if len(x):
            marker = "." if len(x) == 1 else ""
            axes.plot(x, y, color=colour[name], linewidth=1.5, marker=marker, linestyle=dashes)
            ends.append((name, float(x[-1]), float(y[-1])))
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    edge = axes.get_xlim()[1]
    write_labels(axes, [Label(shorten(names[name]), x, y, colour[name], "right", edge) for name, x, y in ends], 8)
    return figure


def _mean(curves: Sequence[Curve]) -> Curve:
    """Return the mean of an arm's runs, as far as all of them have come."""
    length = min(len(curve.values) for curve in curves)
    values = np.mean([np.asarray(curve.values[:length], dtype=float) for curve in curves], axis=0)
    return Curve(curves[0].arm, curves[0].epochs[:length], values.tolist())


def _logged(curve: Curve, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return epochs, counted from one as people do, and values, without those that were never logged."""
    y = scale * np.asarray(curve.values, dtype=float)
    return np.asarray(curve.epochs, dtype=float)[np.isfinite(y)] + 1, y[np.isfinite(y)]
