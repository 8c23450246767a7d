"""The exchange rate as figures: error against real images with the fitted law, and the value of a synthetic image."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from synthaug.analysis.exchange.law import Law
from synthaug.analysis.exchange.rate import Exchange, Point, Value
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import (
    GAP,
    WIDTH,
    Label,
    axes_in_inches,
    row_axes,
    style,
    text_width,
    write_labels,
)

HALF_NORMAL = 1.96  # standard errors of a 95 % interval
HEADING = "synthetic"  # above the numbers of synthetic images
_ERROR_TICKS = (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 70, 100)  # percent


@style()
def error_curves(exchange: Exchange, n_classes: int) -> Figure | None:
    """Draw error against real images: a curve of the law and points per number of synthetic images.

    The law is the form that fits best; None where it is not identified, since a curve would claim what the arms
    cannot tell. The axis ends at chance.

    Args:
        exchange: of the group.
        n_classes: number of classes, of which guessing gets one right.
    """
    if exchange.law is None or not exchange.identifiable:
        return None
    law = next((form.law for form in exchange.forms if form.name == exchange.better), exchange.law)
    amounts = sorted({point.arm.n_synthetic for point in exchange.points})
    texts = [f"{amount:,}" for amount in amounts]
    figure, axes = axes_in_inches(
        WIDTH + 0.6, 3.3, left=0.6, bottom=0.5, top=0.3, right=text_width([*texts, HEADING], 8) + 0.05
    )
    figure.set_label(f"Error against real training images, one curve for each of {', '.join(texts)} synthetic images")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = []
    for index, (amount, text) in enumerate(zip(amounts, texts, strict=True)):
        colour = palette.INK if amount == 0 else palette.ARMS[(index - (amounts[0] == 0)) % len(palette.ARMS)]
        ends.append((text, *_draw_amount(axes, exchange, law, amount, colour), colour))
    chance = 1 - 1 / n_classes
    axes.set_ylim(top=100 * max([chance, *(point.error for point in exchange.points)]))
    axes.annotate(f"chance: {100 * chance:.3g} %", (0, 1), xytext=(0, 2 * GAP), xycoords="axes fraction",
                  textcoords="offset points", color=palette.FAINT, fontsize=8)  # fmt: skip
    set_ticks(axes, sorted({point.arm.n_real for point in exchange.points}))
    axes.set_xlabel("real training images")
    axes.set_ylabel("error on real test images (%)")
    edge = axes.get_xlim()[1]
    write_labels(axes, [Label(text, x, y, colour, "right", edge) for text, x, y, colour in ends], 8)
    axes.annotate(HEADING, (1, 1), xytext=(0, 2 * GAP), xycoords="axes fraction", textcoords="offset points",
                  color=palette.INK, fontsize=8)  # fmt: skip
    return figure


def values_by_amount(exchange: Exchange) -> Figure | None:
    """Draw what a synthetic image is worth on average, by their number; None for fewer than two numbers."""
    if len(exchange.along) < 2:
        return None
    names = [f"{value.n_synthetic:,.0f} synthetic" for value in exchange.along]
    return _forest(names, list(exchange.along), "at each number of synthetic images")


def class_values(exchange: Exchange) -> Figure | None:
    """Draw what a synthetic image is worth in each class; None where no class has such a value."""
    values = [item.exchange.value or item.exchange.limit for item in exchange.classes]
    if not any(values):
        return None
    return _forest([item.name for item in exchange.classes], values, "in each class")


def _draw_amount(axes: Axes, exchange: Exchange, law: Law, amount: int, colour: str) -> tuple[float, float]:
    """Draw points, intervals and law of one number of synthetic images; return where the curve ends, x and percent."""
    for point in exchange.points:
        if point.arm.n_synthetic != amount:
            continue
        draw_point(axes, point, colour)
    real = [point.arm.n_real for point in exchange.points]
    x = np.geomspace(min(real), max(real), 80)
    y = 100 * law.error(x, amount)
    finite = np.isfinite(y)
    axes.plot(x[finite], y[finite], color=colour, linewidth=1.2)
    return float(x[-1]), float(y[-1])


def draw_point(axes: Axes, point: Point, colour: str) -> None:
    """Draw an arm's measured error with its 95 % interval.

    Args:
        axes: error in percent by real images, both logarithmic.
        point: the arm.
        colour: of the arm.
    """
    low = max(point.error - HALF_NORMAL * point.standard_error, 0.2 * point.error, 1e-4)
    ends = [100 * low, 100 * (point.error + HALF_NORMAL * point.standard_error)]
    axes.plot([point.arm.n_real] * 2, ends, color=colour, linewidth=1.2, alpha=0.55)
    if point.error > 0:
        axes.plot(point.arm.n_real, 100 * point.error, "o", color=colour, markersize=4.5)


def set_ticks(axes: Axes, real: Sequence[int]) -> None:
    """Write the numbers of real images and round percentages on logarithmic axes.

    Args:
        axes: with their final limits.
        real: numbers of real images.
    """
    axes.set_xticks(real, [f"{n:,}" for n in real])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.minorticks_off()
    low, high = axes.get_ylim()
    heights = [n for n in _ERROR_TICKS if low <= n <= high]
    axes.set_yticks(heights, [f"{n:g}" for n in heights])
    axes.yaxis.minorticks_off()


@style()
def _forest(names: Sequence[str], values: Sequence[Value | None], where: str) -> Figure:
    low, high = _axis_limits([value for value in values if value is not None])
    margin = 0.05 * (high - low)
    figure, axes = row_axes(names, "real images that one synthetic image is worth", width=2.9, row=0.24)
    figure.set_label(f"What a synthetic image is worth {where}, with 95 % intervals")
    axes.axvline(1, color=palette.FAINT, linewidth=0.8, linestyle=(0, (4, 3)))  # worth as much as a real image
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    for row, value in enumerate(values):
        if value is None:
            axes.annotate("not identifiable", (0, row), xytext=(GAP, 0), textcoords="offset points", va="center",
                          color=palette.FAINT, fontsize=8)  # fmt: skip
        else:
            _draw_value(axes, row, value)
    return figure


def _axis_limits(values: Sequence[Value]) -> tuple[float, float]:
    """Return the ends of the axis: an interval without end, or a very wide one, must not hide all others."""
    closed = [value for value in values if value.low is not None and value.high is not None]
    ends = [end for value in values for end in (value.low, value.high) if end is not None]
    high = min(max([1.0, *ends]), 4 * max([0.5, *(value.value for value in closed)]))
    return max(min([0.0, *ends]), -high), high


def _draw_value(axes: Axes, row: int, value: Value) -> None:
    """Draw a point with its interval; an arrow in place of the point where one end of the interval is open."""
    colour = palette.ARMS[0]
    left, right = axes.get_xlim()
    ends = [left if value.low is None else value.low, right if value.high is None else value.high]
    axes.plot(np.clip(ends, left, right), [row, row], color=colour, linewidth=1.4)
    if value.low is None or value.high is None:
        x, arrow = (right, ">") if value.high is None else (left, "<")
        axes.plot(x, row, arrow, color=colour, clip_on=False)
        return
    face = colour if value.helps or value.harms else palette.PAPER
    axes.plot(value.value, row, "o", color=colour, markerfacecolor=face, markersize=5)
