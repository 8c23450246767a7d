"""The figures of the page, as SVG text to stand inside HTML. No pyplot: nothing global, nothing to close.

Letters stay letters (`svg.fonttype: none`), so that the reader's browser draws class names of any script with
its own fonts; matplotlib only measures them, with a font that may lack them.
"""

import contextlib
import html
import io
import math
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from synthaug.analysis.statistics import Estimate
from synthaug.analysis.study import Arm

INK, FAINT, BAND = "#1d2733", "#8a94a0", "#e8ecf1"
# Okabe, M., Ito, K. (2008). Color universal design. Black is kept for real.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#882255", "#6a6a6a")
BLUES = LinearSegmentedColormap.from_list("paper to blue", ["#ffffff", "#9ecae8", "#0072b2", "#00375a"])
STYLE: Any = {  # matplotlib types the keys one by one
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x$"
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.unicode_minus": True,
}
WIDTH, NARROW = 4.5, 2.7  # inches: the main figure, and one of several side by side
LINE, LETTER = 11.0, 6.0  # points: height of a line, width of a bold letter
SHORT_NAME = 16  # letters of a name that leave room for the figure
MAX_CELL_TEXT = 12  # classes up to which a confusion matrix has room for its counts


@dataclass(frozen=True)
class Curve:
    """One quantity of one run, per epoch."""

    arm: str
    epochs: Sequence[float]
    values: Sequence[float]


def colours(arms: Sequence[Arm]) -> dict[str, str]:
    """A colour per arm, the same in all figures; real is black."""
    others = [arm.name for arm in arms if not arm.baseline]
    found = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(others)}
    return found | {arm.name: INK for arm in arms if arm.baseline}


# --- accuracy against synthetic share --------------------------------------------------------------

_SIZES = {  # marker, its letter and its meaning, by the sign of real + synthetic - 1
    0: ("o", "●", "as many images as the real training set"),
    1: ("s", "■", "more images"),
    -1: ("v", "▼", "fewer images"),
}


def accuracy_by_share(arms: Sequence[Arm]) -> str:
    """Accuracy and its interval against the synthetic share; the band is the interval of real."""
    shown = [(arm, arm.accuracy) for arm in arms if arm.accuracy is not None]
    with _drawing():
        figure, axes = _figure(WIDTH, 3.2, left=0.6, bottom=0.5, top=0.15, right=0.1)
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
        room = {side: 12 + max(len(shorten(name, 12)) * LETTER for _, name, _ in of) for side, of in beside.items()}
        scale = 116 / (72 * (WIDTH - 0.7) - sum(room.values()))  # of the axis, per point
        axes.set_xlim(-8 - scale * room.get(-1, 0), 108 + scale * room.get(1, 0))
        axes.set_xticks(range(0, 101, 20))
        axes.margins(y=0.14)
        axes.set_xlabel("synthetic share of the training images (%)")
        axes.set_ylabel("accuracy on real test images (%)")
        for side, of in beside.items():
            _label_beside(axes, of, colour, side)
        named = {name for of in beside.values() for _, name, _ in of}
        _label_tops(axes, [point for point in points if point[1] not in named], colour)
        names = ", ".join(f"{arm.name} {100 * found.value:.2f} %" for arm, found in shown)
        return _svg(figure, "share", f"Accuracy against synthetic share: {names}")


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


# --- differences -----------------------------------------------------------------------------------


def most_changed(arms: Sequence[Arm], limit: int) -> list[int]:
    """Indices of the classes with the largest difference in any arm, in the order of the classes."""
    size: dict[int, float] = {}
    for arm in arms:
        for index, item in enumerate(arm.classes):
            if item.difference is not None:
                size[index] = max(size.get(index, 0.0), abs(item.difference.value))
    return sorted(sorted(size, key=lambda index: (-size[index], index))[:limit])


def reach(estimates: Iterable[Estimate | None]) -> float:
    """Half the width of an axis around zero that holds all intervals."""
    return 1.05 * max((max(-item.low, item.high) for item in estimates if item is not None), default=0.01)


def arm_differences(arms: Sequence[Arm]) -> str:
    """Difference from real of each arm, with its paired interval."""
    shown = [arm for arm in arms if arm.difference is not None]
    names, found = [arm.name for arm in shown], [arm.difference for arm in shown]
    colour = colours(arms)
    return _forest("arms", names, found, [colour[name] for name in names], reach(found), "arm", WIDTH)


def class_differences(arm: Arm, shown: Sequence[int], half_width: float, colour: str) -> str:
    """Difference from real of each class of an arm, with its interval."""
    items = [arm.classes[index] for index in shown]
    found = [item.difference for item in items]
    names = [item.name for item in items]
    return _forest(f"classes-{arm.name}", names, found, [colour] * len(items), half_width, f"class, {arm.name}")


def _forest(
    key: str,
    names: Sequence[str],
    found: Sequence[Estimate | None],
    colour: Sequence[str],
    half_width: float,
    what: str,
    width: float = NARROW,
) -> str:
    with _drawing():
        labels = [shorten(name, SHORT_NAME) for name in names]
        row_height = 0.21 if len(names) > 6 else 0.3
        left = _room(labels)
        figure, axes = _figure(
            max(width, left + 2.1),
            0.72 + row_height * len(names),
            left=left,
            bottom=0.5,
            top=0.12,
            right=0.15,
        )
        axes.axvline(0, color=FAINT, linewidth=0.8)
        for row, (item, shade) in enumerate(zip(found, colour, strict=True)):
            if item is None:
                continue
            # An open circle where the sign is open, so that the eye goes to what is known.
            face = "white" if item.contains_zero else shade
            axes.plot([100 * item.low, 100 * item.high], [row, row], color=shade, linewidth=1.4)
            axes.plot(100 * item.value, row, "o", color=shade, markerfacecolor=face, markersize=5)
        axes.set_xlim(-100 * half_width, 100 * half_width)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(range(len(names)), labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("difference from real (points)")
        return _svg(figure, key, f"Difference from real of each {what}, with 95 % intervals")


# --- confusion matrix ------------------------------------------------------------------------------


def confusion(name: str, counts: NDArray[np.float64], classes: Sequence[str]) -> str:
    """Rows are true classes and sum to 1 by shade; the numbers are counts."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [shorten(item, SHORT_NAME) for item in classes]
    many = len(classes) > MAX_CELL_TEXT
    size, font = (min(5.2, max(3.6, 0.125 * len(classes))), 6.0) if many else (2.6, 7.5)
    room = _room(labels, font)
    with _drawing():
        figure, axes = _figure(
            size + room + 0.25, size + room + 0.25, left=room + 0.15, bottom=0.25, top=room, right=0.1
        )
        axes.imshow(shares, cmap=BLUES, vmin=0, vmax=1, interpolation="nearest")
        axes.set_yticks(range(len(classes)), labels, fontsize=font)
        upright = all(len(label) <= 2 for label in labels) and not many
        axes.set_xticks(range(len(classes)), labels, fontsize=font, rotation=0 if upright else 90)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(True)
        axes.set_xlabel("predicted", fontsize=8)
        axes.set_ylabel("true", fontsize=8, labelpad=1)
        if not many:
            _write_counts(axes, counts, shares)
        return _svg(figure, f"confusion-{name}", f"Confusion matrix of {name}")


def _write_counts(axes: Axes, counts: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else INK
            text = f"{count:.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)


# --- learning curves -------------------------------------------------------------------------------


def curves(lines: Sequence[Curve], label: str, colour: Mapping[str, str], scale: float = 1.0) -> str:
    """One line per run; the arm's name stands at the end of its first line."""
    with _drawing():
        room = _room([shorten(line.arm, SHORT_NAME) for line in lines], 8) + 0.12
        figure, axes = _figure(4.2, 2.8, left=0.62, bottom=0.5, top=0.15, right=room)
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
        return _svg(figure, f"curves-{label}", f"{label} per epoch, one line per run")


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


# --- paper -----------------------------------------------------------------------------------------


def shorten(name: str, longest: int) -> str:
    """A name, cut where it is too long."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _room(names: Sequence[str], size: float = 9) -> float:
    """Inches that the longest name takes; wide characters count double, since no font here may know them."""
    widest = max((sum(map(_columns, name)) for name in names), default=0)
    return 0.22 + widest * size * 0.62 / 72


def _columns(character: str) -> float:
    return 1.7 if unicodedata.east_asian_width(character) in "WF" else 1.0


def _figure(
    width: float, height: float, *, left: float, bottom: float, top: float, right: float
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; all lengths in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """The house style, without the warning that the measuring font lacks a letter: the browser has it."""
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font|Matplotlib currently does not")
        yield


def _svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element whose ids are its own, so that several can share a page."""
    key = re.sub(r"\W", lambda found: f"_{ord(found[0]):x}", name)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": key}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # A style element inside a page is the whole page's; the page has this rule for its figures.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", text)
    widest = 96 * 1.25 * figure.get_figwidth()  # CSS pixels; letters grow with the figure
    attributes = f'role="img" aria-label="{html.escape(description)}" style="max-width:{widest:.0f}px"'
    return text.replace("<svg ", f"<svg {attributes} ", 1)
