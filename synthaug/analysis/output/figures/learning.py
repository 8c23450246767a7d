"""Learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Arm, controls_of
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import SHORT_NAME, axes_in_inches, drawing, room, shorten, svg


@dataclass(frozen=True)
class Curve:
    """One quantity of one run, per epoch."""

    arm: str
    epochs: Sequence[float]
    values: Sequence[float]


def curves(lines: Sequence[Curve], label: str, arms: Sequence[Arm], scale: float = 1.0) -> str:
    """A faint line per run and a strong one for the mean of each arm's runs; controls are dashed."""
    colour = palette.of_arms(arms)
    controls = controls_of(arms)
    of_arm: dict[str, list[Curve]] = {}
    for line in lines:
        of_arm.setdefault(line.arm, []).append(line)
    with drawing():
        space = room([shorten(name, SHORT_NAME) for name in of_arm], 8) + 0.12
        figure, axes = axes_in_inches(4.2, 2.8, left=0.62, bottom=0.5, top=0.15, right=space)
        ends: dict[str, tuple[float, float]] = {}
        for name, own in of_arm.items():
            dashes = (0, (4, 2)) if name in controls else "solid"
            for line in own if len(own) > 1 else ():
                axes.plot(*_known(line, scale), color=colour[name], linewidth=0.6, alpha=0.3, linestyle=dashes)
            x, y = _known(_mean(own), scale)
            if len(x):
                one = "." if len(x) == 1 else ""
                axes.plot(x, y, color=colour[name], linewidth=1.5, marker=one, linestyle=dashes)
                ends[name] = (float(x[-1]), float(y[-1]))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _label_ends(axes, ends, colour)
        return svg(figure, f"{label} per epoch, by arm")


def _mean(lines: Sequence[Curve]) -> Curve:
    """The mean of an arm's runs, as far as all of them have come."""
    length = min(len(line.values) for line in lines)
    values = np.mean([np.asarray(line.values[:length], dtype=float) for line in lines], axis=0)
    return Curve(lines[0].arm, lines[0].epochs[:length], values.tolist())


def _known(line: Curve, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs, counted from one as people do, and values, without those that were never logged."""
    y = scale * np.asarray(line.values, dtype=float)
    return np.asarray(line.epochs, dtype=float)[np.isfinite(y)] + 1, y[np.isfinite(y)]


def _label_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], colour: Mapping[str, str]) -> None:
    """Names right of the axes at the height of the lines' ends, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = 0.065
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = [(ends[name][1] - low) / (high - low) for name in names]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    over = max(0.0, heights[-1] - 1) if heights else 0.0
    for index in reversed(range(len(heights))):
        roof = heights[index + 1] - gap if index + 1 < len(heights) else 1.0
        heights[index] = min(heights[index], roof) if over else heights[index]
    for name, height in zip(names, heights, strict=True):
        axes.text(
            1.02,
            height,
            shorten(name, SHORT_NAME),
            transform=axes.transAxes,
            va="center",
            color=colour[name],
            fontsize=8,
            fontweight="bold",
        )
