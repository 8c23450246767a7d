"""Accuracy against synthetic share."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from synthaug.analysis.figures.canvas import (
    BAND,
    FAINT,
    LETTER,
    LINE,
    WIDTH,
    axes_in_inches,
    colours,
    drawing,
    shorten,
    svg,
)
from synthaug.analysis.statistics import Estimate
from synthaug.analysis.study import Arm

_SIZES = {  # marker, its letter and its meaning, by the sign of real + synthetic - 1
    0: ("o", "●", "as many images as the real training set"),
    1: ("s", "■", "more images"),
    -1: ("v", "▼", "fewer images"),
}


def accuracy_by_share(arms: Sequence[Arm]) -> str:
    """Accuracy and its interval against the synthetic share; the band is the interval of real."""
    shown = [(arm, arm.accuracy) for arm in arms if arm.accuracy is not None]
    with drawing():
        figure, axes = axes_in_inches(WIDTH, 3.2, left=0.6, bottom=0.5, top=0.15, right=0.1)
        for arm, found in shown:
            if arm.baseline:
                axes.axhspan(100 * found.low, 100 * found.high, color=BAND, linewidth=0, zorder=0)
                axes.axhline(100 * found.value, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        colour = colours(arms)
        places = _spread(shown)
        # Arms that share an end of the axis are named outside of it, where nothing else is.
        shares = Counter(_share(arm) for arm, _ in shown)
        points = [(x, arm.name, found) for x, (arm, found) in zip(places, shown, strict=True)]
        beside = {
            side: [point for point, (arm, _) in zip(points, shown, strict=True) if _share(arm) == end]
            for side, end in ((-1, 0.0), (1, 100.0))
            if shares[end] > 1
        }
        for x, (arm, found) in zip(places, shown, strict=True):
            ends = [100 * found.low, 100 * found.high]
            axes.plot([x, x], ends, color=colour[arm.name], linewidth=1.6, solid_capstyle="butt")
            axes.plot(x, 100 * found.value, _SIZES[_size(arm)][0], color=colour[arm.name], markersize=6.5)
        space = {side: 12 + max(len(shorten(name, 12)) * LETTER for _, name, _ in of) for side, of in beside.items()}
        scale = 116 / (72 * (WIDTH - 0.7) - sum(space.values()))  # of the axis, per point
        axes.set_xlim(-8 - scale * space.get(-1, 0), 108 + scale * space.get(1, 0))
        axes.set_xticks(range(0, 101, 20))
        axes.margins(y=0.14)
        axes.set_xlabel("synthetic share of the training images (%)")
        axes.set_ylabel("accuracy on real test images (%)")
        for side, of in beside.items():
            _label_beside(axes, of, colour, side)
        named = {name for of in beside.values() for _, name, _ in of}
        _label_tops(axes, [point for point in points if point[1] not in named], colour)
        names = ", ".join(f"{arm.name} {100 * found.value:.2f} %" for arm, found in shown)
        return svg(figure, "share", f"Accuracy against synthetic share: {names}")


def marker_legend(arms: Sequence[Arm]) -> str:
    """What the markers mean; empty where all arms are of one size."""
    present = sorted({_size(arm) for arm in arms if arm.accuracy is not None}, key=abs)
    if present == [0]:
        return ""
    return ", ".join(f"{_SIZES[size][1]} {_SIZES[size][2]}" for size in present) + "."


def _share(arm: Arm) -> float:
    return round(100 * arm.synthetic_fraction, 1)


def _spread(shown: Sequence[tuple[Arm, Estimate]]) -> list[float]:
    """Shares in percent, with arms of the same share in columns; at the ends of the axis, where names stand beside
    the points, in as few as keep the intervals apart.
    """
    step = 4.0
    columns: dict[float, list[list[Estimate]]] = {}
    places = []
    for arm, found in shown:
        of = columns.setdefault(_share(arm), [])
        free = (i for i, column in enumerate(of) if all(found.low > e.high or found.high < e.low for e in column))
        column = next(free, len(of)) if _share(arm) in (0, 100) else len(of)
        if column == len(of):
            of.append([])
        of[column].append(found)
        places.append((_share(arm), column))
    return [share + step * (column - (len(columns[share]) - 1) / 2) for share, column in places]


def _size(arm: Arm) -> int:
    rest = arm.real + arm.synthetic - 1
    return 0 if abs(rest) < 1e-9 else int(math.copysign(1, rest))


def _label_beside(
    axes: Axes, points: Sequence[tuple[float, str, Estimate]], colour: Mapping[str, str], side: int
) -> None:
    """Names in one column to the left (-1) or right (1) of all points, each with a line to its own."""
    axes.get_ylim()  # settles the limits
    to_points = 72 / axes.figure.dpi
    edge = float(axes.transData.transform((side * max(side * x for x, _, _ in points), 0))[0]) * to_points + 12 * side
    bottom = math.inf
    for x, name, found in sorted(points, key=lambda point: -point[2].value):
        column, height = map(float, axes.transData.transform((x, 100 * found.value)) * to_points)
        bottom = min(height, bottom - LINE)
        axes.annotate(
            shorten(name, 12),
            (x, 100 * found.value),
            xytext=(edge - column, bottom - height),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            va="center",
            color=colour[name],
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": colour[name], "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )


def _label_tops(axes: Axes, tops: Sequence[tuple[float, str, Estimate]], colour: Mapping[str, str]) -> None:
    """Names above the intervals, moved up where they would cover each other."""
    to_points = axes.transData.transform
    taken: list[tuple[float, float, float]] = []  # centre, half width, bottom
    for x, name, found in tops:
        text = shorten(name, 12)
        pixels = to_points((x, 100 * found.high)) * 72 / axes.figure.dpi
        centre, bottom, half = float(pixels[0]), float(pixels[1]) + 3, len(text) * LETTER / 2
        start = bottom
        while any(abs(centre - c) < half + h and abs(bottom - b) < LINE for c, h, b in taken):
            bottom += 2
        taken.append((centre, half, bottom))
        axes.annotate(text, (x, 100 * found.high), xytext=(0, 3 + bottom - start), textcoords="offset points",
                      ha="center", color=colour[name], fontweight="bold")  # fmt: skip
