"""Confusion matrices."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import axes_in_inches, shorten, style, text_width

MAX_CELL_TEXT = 12  # classes up to which a confusion matrix has space for its counts
FAINTEST = 0.12  # opacity of a cell that holds anything, so that single mistakes are seen


@style()
def confusion_matrix(name: str, counts: NDArray[np.float64], classes: Sequence[str]) -> Figure:
    """Draw the confusion matrix of an arm: shade is the share of the row, numbers are counts.

    Args:
        name: of the arm.
        counts: of test images, (true, predicted): rows are true classes, columns predicted ones.
        classes: their names.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [shorten(item) for item in classes]
    many = len(classes) > MAX_CELL_TEXT
    size, font = (min(5.2, max(3.6, 0.125 * len(classes))), 6.0) if many else (2.6, 7.5)
    space = text_width(labels, font)
    figure, axes = axes_in_inches(
        size + space + 0.25, size + space + 0.25, left=space + 0.15, bottom=0.25, top=space, right=0.1
    )
    figure.set_label(f"Confusion matrix of {name}")
    # Cells of one colour that the paper shines through, so that they suit light and dark paper alike.
    cells = np.argwhere(counts > 0)
    opacity = FAINTEST + (1 - FAINTEST) * shares[counts > 0]
    squares = cells[:, None, ::-1] + np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    colours = [to_rgba(palette.ARMS[0], alpha) for alpha in opacity]
    # One artist for all: a patch for each takes four times as long.
    axes.add_collection(PolyCollection(list(squares), facecolors=colours, linewidths=0), autolim=False)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
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
    return figure


def _write_counts(axes: Axes, counts: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = palette.PAPER if shares[row, column] > 0.5 else palette.INK
            text = f"{count:.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
