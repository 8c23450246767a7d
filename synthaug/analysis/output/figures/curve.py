"""Accuracy against synthetic share: each arm, and below it its control, which has the same real images alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import (
    LETTER,
    LINE,
    WIDTH,
    Name,
    axes_in_inches,
    drawing,
    shorten,
    svg,
    write_names,
)

LEFT = 0.7  # inches: room for "100.0" and the name of the axis
NAME = 12  # letters of an arm's name beside its point
BESIDE = 1.6  # points of synthetic share by which a control stands to the right of its arm
_SIZES = {  # marker, its letter and its meaning, by the sign of real + synthetic - 1
    0: ("o", "●", "as many images as the real training set"),
    1: ("s", "■", "more images"),
    -1: ("v", "▼", "fewer images"),
}


@dataclass(frozen=True)
class _Point:
    """An arm in the figure; `control` where it stands below the arm that it is the control of."""

    x: float
    arm: Arm
    found: Estimate
    control: bool = False


def accuracy_by_share(arms: Sequence[Arm]) -> str:
    """Accuracy and its interval against the synthetic share; the band is the interval of real."""
    points = _points(arms)
    colour = palette.of_arms(arms)
    with drawing():
        figure, axes = axes_in_inches(WIDTH, 3.6, left=LEFT, bottom=0.5, top=0.15, right=0.1)
        for point in points:
            if point.arm.baseline:
                ends = 100 * point.found.low, 100 * point.found.high
                axes.axhspan(*ends, color=palette.BAND, linewidth=0, zorder=0)
                axes.axhline(
                    100 * point.found.value, color=palette.FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1
                )
        _draw_joins(axes, points, colour)
        for point in points:
            shade, whisker = colour[point.arm.name], [100 * point.found.low, 100 * point.found.high]
            axes.plot([point.x, point.x], whisker, color=shade, linewidth=1.6, solid_capstyle="butt")
            axes.plot(point.x, 100 * point.found.value, _SIZES[_size(point.arm)][0], color=shade, markersize=6.5)
        beside = _beside(points)
        space = {side: 12 + max(len(shorten(p.arm.name, NAME)) * LETTER for p in of) for side, of in beside.items()}
        scale = 116 / (72 * (WIDTH - LEFT - 0.1) - sum(space.values()))  # of the axis, per point
        axes.set_xlim(-8 - scale * space.get(-1, 0), 108 + scale * space.get(1, 0))
        axes.set_xticks(range(0, 101, 20))
        axes.margins(y=0.14)
        axes.set_xlabel("synthetic share of the training images (%)")
        axes.set_ylabel("accuracy on real test images (%)")
        for side, of in beside.items():
            _label_beside(axes, of, colour, side)
        named = [point for of in beside.values() for point in of]
        write_names(axes, [_name(point, colour[point.arm.name]) for point in points if point not in named])
        said = ", ".join(f"{arm.name} {100 * arm.accuracy.value:.2f} %" for arm in arms if arm.accuracy is not None)
        return svg(figure, f"Accuracy against synthetic share: {said}")


def marker_legend(arms: Sequence[Arm]) -> str:
    """What the markers mean; empty where all arms are of one size."""
    present = sorted({_size(arm) for arm in arms if arm.accuracy is not None}, key=abs)
    if present == [0]:
        return ""
    return ", ".join(f"{_SIZES[size][1]} {_SIZES[size][2]}" for size in present) + "."


def _points(arms: Sequence[Arm]) -> list[_Point]:
    """Every arm at its share, and a control beside each arm that it is for instead of at its own share, zero."""
    measured = {arm.name: (arm, arm.accuracy) for arm in arms if arm.accuracy is not None}
    pairs = {arm.name: arm.control for arm in arms if arm.control in measured and arm.loss is not None}
    own = [found for name, found in measured.items() if name not in pairs.values()]
    points = [_Point(x, *found) for x, found in zip(_spread(own), own, strict=True)]
    below = [
        _Point(point.x + BESIDE, *measured[pairs[point.arm.name]], control=True)
        for point in points
        if point.arm.name in pairs
    ]
    return points + below


def _draw_joins(axes: Axes, points: Sequence[_Point], colour: Mapping[str, str]) -> None:
    """Lines through the arms of the real training set's size and through the controls, and from each to its own."""
    arms = [point for point in points if not point.control and _size(point.arm) == 0 and not point.arm.augment]
    for line, style in ((arms, "solid"), ([point for point in points if point.control], (0, (3, 2)))):
        if max(Counter(point.arm.synthetic for point in line if not point.control).values(), default=1) > 1:
            continue
        for left, right in pairwise(sorted(line, key=lambda point: point.x)):
            axes.plot([left.x, right.x], [100 * left.found.value, 100 * right.found.value], color=palette.FAINT,
                      linewidth=0.9, linestyle=style, zorder=1)  # fmt: skip
    for control in points:
        if control.control:
            arm = next(point for point in points if math.isclose(point.x, control.x - BESIDE) and not point.control)
            ends = 100 * control.found.value, 100 * arm.found.value
            axes.plot([control.x, arm.x], ends, color=colour[arm.arm.name], linewidth=0.9, linestyle=(0, (1, 1.5)))


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


def _beside(points: Sequence[_Point]) -> dict[int, list[_Point]]:
    """Arms that share an end of the axis, left (-1) or right (1): named outside of it, where nothing else is."""
    ends = {
        side: [point for point in points if not point.control and _share(point.arm) == end]
        for side, end in ((-1, 0.0), (1, 100.0))
    }
    return {side: of for side, of in ends.items() if len(of) > 1}


def _name(point: _Point, shade: str) -> Name:
    """Above the interval; that of a control below it."""
    end, side = (point.found.low, -1) if point.control else (point.found.high, 1)
    return Name(shorten(point.arm.name, NAME), point.x, 100 * end, shade, side)


def _label_beside(axes: Axes, points: Sequence[_Point], colour: Mapping[str, str], side: int) -> None:
    """Names in one column to the left (-1) or right (1) of all points, each with a line to its own."""
    axes.get_ylim()  # settles the limits
    to_points = 72 / axes.figure.dpi
    outermost = side * max(side * point.x for point in points)
    edge = float(axes.transData.transform((outermost, 0))[0]) * to_points + 12 * side
    bottom = math.inf
    for point in sorted(points, key=lambda point: -point.found.value):
        place = point.x, 100 * point.found.value
        column, height = map(float, axes.transData.transform(place) * to_points)
        bottom = min(height, bottom - LINE)
        shade = colour[point.arm.name]
        axes.annotate(
            shorten(point.arm.name, NAME),
            place,
            xytext=(edge - column, bottom - height),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            va="center",
            color=shade,
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": shade, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )
