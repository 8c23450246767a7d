"""Learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from synthaug.analysis.figures.canvas import SHORT_NAME, axes_in_inches, drawing, room, shorten, svg


@dataclass(frozen=True)
class Curve:
    """One quantity of one run, per epoch."""

    arm: str
    epochs: Sequence[float]
    values: Sequence[float]


def curves(lines: Sequence[Curve], label: str, colour: Mapping[str, str], scale: float = 1.0) -> str:
    """One line per run; the arm's name stands at the end of its first line."""
    with drawing():
        space = room([shorten(line.arm, SHORT_NAME) for line in lines], 8) + 0.12
        figure, axes = axes_in_inches(4.2, 2.8, left=0.62, bottom=0.5, top=0.15, right=space)
        ends: dict[str, tuple[float, float]] = {}
        for line in lines:
            x = np.asarray(line.epochs, dtype=float) + 1  # people count epochs from one
            y = scale * np.asarray(line.values, dtype=float)
            known = np.isfinite(y)
            if not known.any():
                continue
            one = int(known.sum()) == 1
            axes.plot(x[known], y[known], color=colour[line.arm], linewidth=1.3, marker="." if one else "")
            ends.setdefault(line.arm, (float(x[known][-1]), float(y[known][-1])))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _label_ends(axes, ends, colour)
        return svg(figure, f"{label} per epoch, one line per run")


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
