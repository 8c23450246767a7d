"""What losing real images costs each arm, and what its synthetic images give back."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import SHORT_NAME, axes_in_inches, drawing, room, shorten, svg

ROW = 0.62  # inches
BAR = 0.32  # of a row


def decomposition(arms: Sequence[Arm]) -> str:
    """Per arm a bar from real down to its control, and one from there to the arm itself; whiskers are 95 % intervals.

    Arms without a control are left out; an arm that keeps all real images has no first bar.
    """
    shown = [arm for arm in arms if arm.gain is not None]
    colour = palette.of_arms(arms)
    with drawing():
        labels = [shorten(arm.name, SHORT_NAME) for arm in shown]
        left = room(labels)
        figure, axes = axes_in_inches(left + 4.2, 0.62 + ROW * len(shown), left=left, bottom=0.5, top=0.12, right=0.15)
        axes.axvline(0, color=palette.FAINT, linewidth=0.8)
        for row, arm in enumerate(shown):
            start = 0.0
            if arm.loss is not None:
                _bar(axes, row - BAR / 2, 0, arm.loss, palette.FAINT)
                start = arm.loss.value
            if arm.gain is not None:
                _bar(axes, row + BAR / 2, start, arm.gain, colour[arm.name])
        axes.margins(x=0.03)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.set_xlabel("difference from real (points)")
        return svg(
            figure, "What losing real images costs and synthetic ones give back: " + ", ".join(map(_said, shown))
        )


def _bar(axes: Axes, height: float, start: float, change: Estimate, shade: str) -> None:
    axes.barh(height, 100 * change.value, BAR * 0.86, left=100 * start, color=shade, alpha=0.55, linewidth=0)
    ends = [100 * (start + change.low), 100 * (start + change.high)]
    axes.plot(ends, [height, height], color=palette.INK, linewidth=1.2, solid_capstyle="butt")
    axes.plot([100 * (start + change.value)] * 2, [height - BAR * 0.43, height + BAR * 0.43], color=palette.INK)


def _said(arm: Arm) -> str:
    lost = f"{100 * arm.loss.value:+.2f} then " if arm.loss else ""
    given = f"{100 * arm.gain.value:+.2f}" if arm.gain else ""
    return f"{arm.name} {lost}{given} points".replace("-", "\u2212")
