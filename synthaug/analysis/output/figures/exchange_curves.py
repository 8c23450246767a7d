"""The exchange rate as pictures: error against real images with the fitted law, and what a synthetic image is worth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from synthaug.analysis.exchange.law import Law
from synthaug.analysis.exchange.rate import Exchange, Value
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import LINE, SHORT_NAME, WIDTH, axes_in_inches, drawing, room, shorten, svg

HALF_NORMAL = 1.96  # standard errors of a 95 % interval


def error_curves(exchange: Exchange) -> str:
    """Error against real images, one curve of the law and one row of points per number of synthetic ones.

    The law is the one that fits best; empty where there is none.
    """
    if exchange.law is None:
        return ""
    law = next((form.law for form in exchange.forms if form.name == exchange.better), exchange.law)
    amounts = sorted({point.arm.n_synthetic for point in exchange.points})
    labels = [f"{amount:,}" for amount in amounts]
    real = [point.arm.n_real for point in exchange.points]
    with drawing():
        figure, axes = axes_in_inches(
            WIDTH + 0.6, 3.3, left=0.6, bottom=0.5, top=0.3, right=room([*labels, "synthetic"], 8) + 0.05
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        ends: list[tuple[float, str, str]] = []
        for place, amount in enumerate(amounts):
            colour = palette.INK if amount == 0 else palette.ARMS[(place - (amounts[0] == 0)) % len(palette.ARMS)]
            ends.append((_curve(axes, exchange, law, amount, colour), labels[place], colour))
        _ticks(axes, sorted(set(real)))
        axes.set_xlabel("real training images")
        axes.set_ylabel("error on real test images (%)")
        _label_ends(axes, ends)
        said = f"Error against real training images, one curve for each of {', '.join(labels)} synthetic images"
        return svg(figure, said)


def values_along(exchange: Exchange) -> str:
    """What a synthetic image is worth on average, by their number; empty for fewer than two numbers."""
    if len(exchange.along) < 2:
        return ""
    labels = [f"{value.n_synthetic:,.0f} synthetic" for value in exchange.along]
    return _forest(labels, list(exchange.along), "at each number of synthetic images")


def class_values(exchange: Exchange) -> str:
    """What a synthetic image is worth in each class; empty where no class can tell."""
    values = [item.exchange.value or item.exchange.limit for item in exchange.classes]
    if not any(values):
        return ""
    return _forest([shorten(item.name, SHORT_NAME) for item in exchange.classes], values, "in each class")


def _curve(axes: Axes, exchange: Exchange, law: Law, amount: int, colour: str) -> float:
    """One number of synthetic images: points, intervals and the law; the height at which the curve ends, in percent."""
    points = [point for point in exchange.points if point.arm.n_synthetic == amount]
    for point in points:
        low = max(point.error - HALF_NORMAL * point.standard_error, 0.2 * point.error, 1e-4)
        ends = [100 * low, 100 * (point.error + HALF_NORMAL * point.standard_error)]
        axes.plot([point.arm.n_real] * 2, ends, color=colour, linewidth=1.2, alpha=0.55)
        if point.error > 0:
            axes.plot(point.arm.n_real, 100 * point.error, "o", color=colour, markersize=4.5)
    real = [point.arm.n_real for point in exchange.points]
    along = np.geomspace(min(real), max(real), 80)
    heights = 100 * law.error(along, amount)
    known = np.isfinite(heights)
    axes.plot(along[known], heights[known], color=colour, linewidth=1.2)
    return float(heights[-1])


def _ticks(axes: Axes, real: Sequence[int]) -> None:
    axes.set_xticks(real, [f"{n:,}" for n in real])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.minorticks_off()
    low, high = axes.get_ylim()
    heights = [n for n in (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 70, 100) if low <= n <= high]
    axes.set_yticks(heights, [f"{n:g}" for n in heights])
    axes.yaxis.minorticks_off()


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """The numbers of synthetic images right of their curves, moved apart where they would overlap."""
    to_points = 72 / axes.figure.dpi
    bottom = -np.inf
    for height, label, colour in sorted(ends):
        own = float(axes.transAxes.inverted().transform(axes.transData.transform((1, height)))[1])
        tall = axes.get_window_extent().height * to_points
        place = max(own * tall, bottom + LINE)
        bottom = place
        axes.text(1.03, place / tall, label, transform=axes.transAxes, va="center", color=colour, fontsize=8,
                  fontweight="bold")  # fmt: skip
    axes.text(1.03, (bottom + LINE) / tall, "synthetic", transform=axes.transAxes, va="center", color=palette.INK,
              fontsize=8)  # fmt: skip


def _forest(labels: Sequence[str], values: Sequence[Value | None], what: str) -> str:
    least, most = _range([value for value in values if value is not None])
    margin = 0.05 * (most - least)
    with drawing():
        left = room(labels)
        height = 0.72 + 0.24 * len(labels)
        figure, axes = axes_in_inches(left + 2.9, height, left=left, bottom=0.5, top=0.12, right=0.15)
        for place in (0, 1):  # worthless, and worth as much as a real image
            axes.axvline(place, color=palette.FAINT, linewidth=0.8, linestyle="-" if place == 0 else (0, (4, 3)))
        for row, value in enumerate(values):
            if value is None:
                axes.text(0, row, " cannot be told", va="center", color=palette.FAINT, fontsize=8)
                continue
            _interval(axes, row, value, least - margin, most + margin)
        axes.set_xlim(least - margin, most + margin)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_xlabel("real images that one synthetic image is worth")
        return svg(figure, f"What a synthetic image is worth {what}, with 95 % intervals")


def _range(shown: Sequence[Value]) -> tuple[float, float]:
    """Of the axis: one interval without end, or a very wide one, must not press all others against its left end."""
    closed = [value for value in shown if value.low is not None and value.high is not None]
    known = [end for value in shown for end in (value.low, value.high) if end is not None]
    most = min(max([1.0, *known]), 4 * max([0.5, *(value.value for value in closed)]))
    return max(min([0.0, *known]), -most), most


def _interval(axes: Axes, row: int, value: Value, left: float, right: float) -> None:
    """A point with its interval; an arrow in place of the point where one end of it is open."""
    colour = palette.ARMS[0]
    ends = [value.low if value.low is not None else left, value.high if value.high is not None else right]
    axes.plot(np.clip(ends, left, right), [row, row], color=colour, linewidth=1.4)
    if value.low is None or value.high is None:
        axes.plot(*((right, row, ">") if value.high is None else (left, row, "<")), color=colour, clip_on=False)
        return
    face = colour if value.helps or value.harms else palette.PAPER
    axes.plot(value.value, row, "o", color=colour, markerfacecolor=face, markersize=5)
