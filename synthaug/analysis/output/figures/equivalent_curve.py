"""The learning curve of real images alone, and below it how many of them each arm with synthetic images is worth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthaug.analysis.exchange.equivalent import Equivalent, EquivalentSizes
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import axes_in_inches, shorten, style, text_width
from synthaug.analysis.output.figures.exchange_curves import draw_point, set_ticks

LONGEST = 28  # letters of an arm's name
PLOT, CURVE, ROW, BOTTOM, TOP, BETWEEN, RIGHT = 4.0, 2.3, 0.24, 0.5, 0.12, 0.15, 0.2  # inches
MOST_LED = 5  # arms from which a line leads over the curve to their row: more would hide it
DOTTED = (0, (1, 2))


@style()
def equivalent_curve(sizes: EquivalentSizes, labels: Mapping[str, str], colours: Mapping[str, str]) -> Figure | None:
    """Draw the curve, and a row for each arm that has an equivalent number; None where none has.

    Args:
        sizes: of a block of arms.
        labels: of the arms, by name.
        colours: of the arms, by name.
    """
    if sizes.law is None or not sizes.estimated:
        return None
    items = sizes.estimated[::-1]
    names = [shorten(labels[item.arm.name], LONGEST) for item in items]
    left, rows = max(0.6, text_width(names)), ROW * len(items) + 0.1
    below = BOTTOM + rows + BETWEEN
    figure, curve = axes_in_inches(
        left + PLOT + RIGHT, below + CURVE + TOP, left=left, bottom=below, top=TOP, right=RIGHT
    )
    width, height = figure.get_size_inches()
    forest = figure.add_axes((left / width, BOTTOM / height, PLOT / width, rows / height), sharex=curve)
    figure.set_label(f"Real images alone that do as well as {', '.join(names)}, read off their learning curve")
    _draw_curve(curve, sizes)
    forest.set_ylim(len(items) - 0.4, -0.6)
    forest.set_yticks(range(len(items)), names)
    forest.tick_params(axis="y", length=0)
    forest.spines["left"].set_visible(False)
    forest.set_xlabel("real training images without synthetic ones")
    for row, item in enumerate(items):
        _draw_arm(forest, row, item, colours[item.arm.name])
        if item.number is not None:
            _lead(curve, forest, row, item, colours[item.arm.name], len(items) <= MOST_LED)
    return figure


def _draw_curve(axes: Axes, sizes: EquivalentSizes) -> None:
    assert sizes.law is not None
    axes.set_xscale("log")
    axes.set_yscale("log")
    amounts = sorted({point.arm.n_real for point in sizes.real})
    x = np.geomspace(amounts[0], amounts[-1], 80)
    axes.plot(x, 100 * sizes.law.error(x, 0), color=palette.INK, linewidth=1.2)
    for point in sizes.real:
        draw_point(axes, point, palette.INK)
    axes.set_xlim(*axes.get_xlim())
    axes.set_ylim(*axes.get_ylim())
    set_ticks(axes, amounts)
    axes.tick_params(axis="x", labelbottom=False)
    axes.set_ylabel("error on real test images (%)")


def _lead(curve: Axes, forest: Axes, row: int, item: Equivalent, colour: str, led: bool) -> None:
    """Mark the curve at an arm's number, and lead from the arm's error over the curve down to its row.

    Args:
        curve, forest: above one another.
        row: of the arm.
        item: with a number.
        colour: of the arm.
        led: whether to draw the lines.
    """
    assert item.number is not None
    y = 100 * item.error
    curve.plot(item.number, y, "o", color=colour, markersize=5)
    if led:
        left, bottom = curve.get_xlim()[0], curve.get_ylim()[0]
        curve.plot([left, item.number, item.number], [y, y, bottom], color=colour, linewidth=0.8, linestyle=DOTTED)
        forest.plot([item.number] * 2, [-0.6, row], color=colour, linewidth=0.8, linestyle=DOTTED)


def _draw_arm(axes: Axes, row: int, item: Equivalent, colour: str) -> None:
    """Draw the number with its interval, an arrow at an open end, and a cross at the real images that the arm has."""
    left, right = axes.get_xlim()
    axes.plot([item.low or left, item.high or right], [row, row], color=colour, linewidth=1.4)
    for end, place, arrow in ((item.low, left, "<"), (item.high, right, ">")):
        if end is None:
            axes.plot(place, row, arrow, color=colour, clip_on=False, markersize=5)
    if item.number is not None:
        axes.plot(item.number, row, "o", color=colour, markersize=5)
    if left <= item.arm.n_real <= right:
        axes.plot(item.arm.n_real, row, "x", color=palette.INK, markersize=5)
