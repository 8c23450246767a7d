"""What losing real images costs each arm, and what its synthetic images give back."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import row_axes, style

BAR = 0.32  # of a row
MAX_LABEL = 28  # letters of an arm's label: "1,000 real + 2,000 synthetic"


@style()
def loss_and_gain(arms: Sequence[Arm], labels: Mapping[str, str] | None = None) -> Figure:
    """Draw per arm a bar from real to its control and one from there to the arm; lines are 95 % intervals.

    Arms without a control are left out; an arm that keeps all real images has no first bar.

    Args:
        arms: all arms of the group, which decides on the colours.
        labels: how arms are called, by name; by default by their names.
    """
    colour = palette.arm_colours(arms)
    controlled = [arm for arm in arms if arm.gain is not None]
    names = [(labels or {}).get(arm.name, arm.name) for arm in controlled]
    figure, axes = row_axes(names, "difference from real (points)", width=4.2, row=0.62, longest=MAX_LABEL)
    figure.set_label("What losing real images costs and synthetic images give back")
    for row, arm in enumerate(controlled):
        if arm.loss is not None:
            _draw_bar(axes, row - BAR / 2, 0, arm.loss, palette.FAINT)
        if arm.gain is not None:
            _draw_bar(axes, row + BAR / 2, arm.loss.value if arm.loss else 0.0, arm.gain, colour[arm.name])
    axes.margins(x=0.03)
    return figure


def _draw_bar(axes: Axes, y: float, start: float, change: Estimate, colour: str) -> None:
    axes.barh(y, 100 * change.value, BAR * 0.86, left=100 * start, color=colour, alpha=0.55, linewidth=0)
    ends = [100 * (start + change.low), 100 * (start + change.high)]
    axes.plot(ends, [y, y], color=palette.INK, linewidth=1.2, solid_capstyle="butt")
    axes.plot([100 * (start + change.value)] * 2, [y - BAR * 0.43, y + BAR * 0.43], color=palette.INK)
