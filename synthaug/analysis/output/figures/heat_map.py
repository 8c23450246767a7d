"""The accuracy of a grid of arms, by their numbers of real and synthetic images."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from synthaug.analysis.exchange.grid import Grid
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import axes_in_inches, style

CELL = 0.78, 0.36  # inches: width and height
LIGHTEST, DARKEST = 0.04, 0.5  # opacity of the lowest and the highest accuracy: ink is read on both, on any paper


@style()
def accuracy_grid(grid: Grid) -> Figure:
    """Draw the mean accuracy of each arm in percent; rows are real images, the most below, columns synthetic ones."""
    accuracy = {cell: arm.accuracy.value for cell, arm in grid.arms.items() if arm.accuracy is not None}
    columns, rows = len(grid.synthetic), len(grid.real)
    margins = {"left": 0.95, "bottom": 0.1, "top": 0.6, "right": 0.1}
    width, height = margins["left"] + 0.1 + CELL[0] * columns, margins["top"] + 0.1 + CELL[1] * rows
    figure, axes = axes_in_inches(width, height, **margins)
    low, high = min(accuracy.values()), max(accuracy.values())
    for (real, synthetic), value in accuracy.items():
        row, column = grid.real.index(real), grid.synthetic.index(synthetic)
        opacity = LIGHTEST + (DARKEST - LIGHTEST) * (value - low) / ((high - low) or 1)
        cell = Rectangle((column - 0.5, row - 0.5), 1, 1, linewidth=0, color=palette.ARMS[0], alpha=opacity)
        axes.add_patch(cell)
        axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=palette.INK)
    listed = ", ".join(f"{real} + {synthetic}: {100 * value:.1f}" for (real, synthetic), value in accuracy.items())
    figure.set_label(f"Accuracy in percent by real + synthetic training images. {listed}")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks(range(columns), [f"{amount:,}" for amount in grid.synthetic])
    axes.set_yticks(range(rows), [f"{amount:,}" for amount in grid.real])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("synthetic training images")
    axes.set_ylabel("real training images")
    return figure
