"""Accuracy against synthetic share: each arm, and below it its control, which has the same real images alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import LETTER, WIDTH, Label, axes_in_inches, shorten, style, write_labels

LEFT = 0.7  # inches: space for "100.0" and the name of the axis
MAX_LABEL = 24  # letters of an arm's name beside its point
CONTROL_OFFSET = 1.6  # points of synthetic share by which a control stands to the right of its arm
COLUMN = 4.0  # points of synthetic share between arms of the same share
_SIZES = {  # marker, its letter and its meaning, by the sign of real + synthetic - 1
    0: ("o", "●", "as many images as the real training set"),
    1: ("s", "■", "more images"),
    -1: ("v", "▼", "fewer images"),
}


@dataclass(frozen=True)
class _Point:
    """An arm in the figure; `served` is the arm that a control stands below."""

    x: float
    arm: Arm
    accuracy: Estimate
    served: "_Point | None" = None


@style()
def accuracy_by_share(arms: Sequence[Arm]) -> Figure:
    """Draw accuracy and its interval against the synthetic share; the band is the interval of real."""
    points = _points(arms)
    colour = palette.arm_colours(arms)
    figure, axes = axes_in_inches(WIDTH, 3.6, left=LEFT, bottom=0.5, top=0.15, right=0.1)
    listed = ", ".join(f"{arm.name} {100 * arm.accuracy.value:.2f} %" for arm in arms if arm.accuracy is not None)
    figure.set_label(f"Accuracy against synthetic share: {listed}")
    _draw_joins(axes, points, colour)
    for point in points:
        _draw_point(axes, point, colour[point.arm.name])
    crowded = _crowded_ends(points)
    width = {end: 12 + max(_label_width(point) for point in at_end) for end, at_end in crowded.items()}
    scale = 116 / (72 * (WIDTH - LEFT - 0.1) - sum(width.values()))  # of the axis, per point
    axes.set_xlim(-8 - scale * width.get("left", 0), 108 + scale * width.get("right", 0))
    axes.set_xticks(range(0, 101, 20))
    axes.margins(y=0.14)
    axes.set_xlabel("synthetic share of the training images (%)")
    axes.set_ylabel("accuracy on real test images (%)")
    write_labels(axes, _labels(points, crowded, colour, 12 * scale))
    return figure


def marker_legend(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Return each marker with its meaning; nothing where all arms are as large as the real training set."""
    sizes = sorted({_size(arm) for arm in arms if arm.accuracy is not None}, key=lambda size: (abs(size), -size))
    return [] if sizes == [0] else [_SIZES[size][1:] for size in sizes]


def _draw_point(axes: Axes, point: _Point, colour: str) -> None:
    ends, value = [100 * point.accuracy.low, 100 * point.accuracy.high], 100 * point.accuracy.value
    if point.arm.baseline:
        axes.axhspan(*ends, color=palette.BAND, linewidth=0, zorder=0)
        axes.axhline(value, color=palette.FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.plot([point.x, point.x], ends, color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot(point.x, value, _SIZES[_size(point.arm)][0], color=colour, markersize=6.5)


def _points(arms: Sequence[Arm]) -> list[_Point]:
    """Return every arm at its share, and a control beside each arm that it serves instead of at its own share, zero."""
    measured = {arm.name: (arm, arm.accuracy) for arm in arms if arm.accuracy is not None}
    controls = {arm.name: arm.control for arm in arms if arm.control in measured and arm.loss is not None}
    at_share = [pair for name, pair in measured.items() if name not in controls.values()]
    points = [_Point(x, *pair) for x, pair in zip(_columns(at_share), at_share, strict=True)]
    below = [
        _Point(point.x + CONTROL_OFFSET, *measured[controls[point.arm.name]], served=point)
        for point in points
        if point.arm.name in controls
    ]
    return points + below


def _draw_joins(axes: Axes, points: Sequence[_Point], colour: Mapping[str, str]) -> None:
    """Draw lines through the arms of the real training set's size, through the controls, and from each to its arm."""
    arms = [point for point in points if point.served is None and point.arm.differs_in_share_alone]
    controls = [point for point in points if point.served is not None]
    for line, dashes in ((arms, "solid"), (controls, (0, (3, 2)))):
        if max(Counter(point.arm.synthetic for point in line if point.served is None).values(), default=1) > 1:
            continue
        for left, right in pairwise(sorted(line, key=lambda point: point.x)):
            axes.plot([left.x, right.x], [100 * left.accuracy.value, 100 * right.accuracy.value], color=palette.FAINT,
                      linewidth=0.9, linestyle=dashes, zorder=1)  # fmt: skip
    for control in controls:
        if control.served is not None:
            ends = 100 * control.accuracy.value, 100 * control.served.accuracy.value
            axes.plot([control.x, control.served.x], ends, color=colour[control.served.arm.name], linewidth=0.9,
                      linestyle=(0, (1, 1.5)))  # fmt: skip


def _share(arm: Arm) -> float:
    return round(100 * arm.synthetic_fraction, 1)


def _columns(measured: Sequence[tuple[Arm, Estimate]]) -> list[float]:
    """Return the x of each arm: its share in percent, with arms of the same share in columns.

    At the ends of the axis, where names stand beside the points, in as few columns as keep the intervals apart.
    """
    columns: dict[float, list[list[Estimate]]] = {}
    places = []
    for arm, accuracy in measured:
        at_share = columns.setdefault(_share(arm), [])
        free = (
            index
            for index, column in enumerate(at_share)
            if all(accuracy.low > item.high or item.low > accuracy.high for item in column)
        )
        index = next(free, len(at_share)) if _share(arm) in (0, 100) else len(at_share)
        if index == len(at_share):
            at_share.append([])
        at_share[index].append(accuracy)
        places.append((_share(arm), index))
    return [share + COLUMN * (index - (len(columns[share]) - 1) / 2) for share, index in places]


def _size(arm: Arm) -> int:
    rest = arm.real + arm.synthetic - 1
    if arm.is_in_numbers:
        return -1 if arm.shots is not None and not arm.has_synthetic else 1
    return 0 if abs(rest) < 1e-9 else int(math.copysign(1, rest))


def _label_width(point: _Point) -> float:
    return len(shorten(point.arm.name, MAX_LABEL)) * LETTER


def _crowded_ends(points: Sequence[_Point]) -> dict[str, list[_Point]]:
    """Return the arms that share an end of the axis: they are named outside of it, where nothing else is."""
    ends = {
        end: [point for point in points if point.served is None and _share(point.arm) == share]
        for end, share in (("left", 0.0), ("right", 100.0))
    }
    return {end: at_end for end, at_end in ends.items() if len(at_end) > 1}


def _labels(
    points: Sequence[_Point], crowded: Mapping[str, Sequence[_Point]], colour: Mapping[str, str], distance: float
) -> list[Label]:
    """Return the name of each point: above its interval, below that of a control, or in a column at a crowded end."""
    labels = []
    for point in points:
        text, shade = shorten(point.arm.name, MAX_LABEL), colour[point.arm.name]
        end = next((end for end, at_end in crowded.items() if point in at_end), None)
        if end is not None:
            sign = -1 if end == "left" else 1
            edge = sign * (max(sign * neighbour.x for neighbour in crowded[end]) + distance)
            labels.append(Label(text, point.x, 100 * point.accuracy.value, shade, end, edge))
        elif point.served is not None:
            labels.append(Label(text, point.x, 100 * point.accuracy.low, shade, "below"))
        else:
            labels.append(Label(text, point.x, 100 * point.accuracy.high, shade))
    return labels
