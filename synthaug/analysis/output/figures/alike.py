"""Which of many arms are not told apart: a critical-difference figure of paired differences.

After Demšar, J. (2006). Statistical comparisons of classifiers over multiple data sets. Journal of Machine Learning
Research 7, 1-30; with accuracies instead of ranks, and a line for each group of arms of which no two differ.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from synthaug.analysis.comparison.factor_effects import ArmsAlike
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import row_axes, style

MAX_LABEL = 34  # letters of an arm's name
_COLUMN = 0.2  # inches between the lines of two groups


@style()
def draw_arms_alike(alike: ArmsAlike, labels: Mapping[str, str]) -> Figure:
    """Draw a row per arm, the most accurate on top, and a vertical line for each group that is not told apart.

    Args:
        alike: arms and their groups.
        labels: how arms are called, by name.
    """
    arms, groups = alike.arms, alike.groups
    ordered = [arms[place] for place in groups.order]
    row_of = {place: row for row, place in enumerate(groups.order)}
    names = [labels[arm.name] for arm in ordered]
    colour = palette.arm_colours(arms)
    width = 3.2
    space = width + _COLUMN * (len(groups.groups) + 1)
    figure, axes = row_axes(names, "accuracy on real test images (%)", width=space, row=0.26, longest=MAX_LABEL)
    figure.set_label("Arms by accuracy; a line joins those of which no two differ significantly")
    accuracies = [100 * arm.accuracy.value for arm in ordered if arm.accuracy]
    low, high = min(accuracies), max(accuracies)
    margin = 0.06 * (high - low) or 0.5
    per_inch = (high - low + 2 * margin) / width
    for row, (accuracy, arm) in enumerate(zip(accuracies, ordered, strict=True)):
        axes.plot(accuracy, row, "o", color=colour[arm.name], markersize=5)
    for column, members in enumerate(groups.groups):
        x = high + margin + per_inch * _COLUMN * (column + 0.5)
        rows = sorted(row_of[place] for place in members)
        axes.plot([x, x], [rows[0], rows[-1]], color=palette.INK, linewidth=1.6, solid_capstyle="butt")
        axes.plot([x] * len(rows), rows, "s", color=palette.INK, markersize=3.5)
    axes.set_xlim(low - margin, low - margin + per_inch * space)
    ticks = MaxNLocator(4).tick_values(low, high)
    axes.set_xticks([tick for tick in ticks if low - margin <= tick <= high + margin])
    return figure
