"""Differences from real and their intervals, one below the other: of the arms, and of the classes of an arm."""

from collections.abc import Iterable, Sequence

from matplotlib.ticker import MaxNLocator

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import (
    NARROW,
    SHORT_NAME,
    WIDTH,
    axes_in_inches,
    drawing,
    room,
    shorten,
    svg,
)


def most_changed(arms: Sequence[Arm], limit: int) -> list[int]:
    """Indices of the classes with the largest difference in any arm, in the order of the classes."""
    size: dict[int, float] = {}
    for arm in arms:
        for index, item in enumerate(arm.classes):
            if item.difference is not None:
                size[index] = max(size.get(index, 0.0), abs(item.difference.value))
    return sorted(sorted(size, key=lambda index: (-size[index], index))[:limit])


def span(estimates: Iterable[Estimate | None]) -> tuple[float, float]:
    """Both ends of an axis that holds zero and all intervals."""
    ends = [0.0, *(end for item in estimates if item is not None for end in (item.low, item.high))]
    margin = 0.05 * (max(ends) - min(ends)) or 0.01
    return min(ends) - margin, max(ends) + margin


def arm_differences(arms: Sequence[Arm]) -> str:
    """Difference from real of each arm, with its paired interval."""
    shown = [arm for arm in arms if arm.difference is not None]
    names, found = [arm.name for arm in shown], [arm.difference for arm in shown]
    colour = palette.of_arms(arms)
    return _forest(names, found, [colour[name] for name in names], span(found), "arm", WIDTH)


def class_differences(arm: Arm, shown: Sequence[int], ends: tuple[float, float], colour: str) -> str:
    """Difference from real of each class of an arm, with its interval."""
    items = [arm.classes[index] for index in shown]
    found = [item.difference for item in items]
    names = [item.name for item in items]
    return _forest(names, found, [colour] * len(items), ends, f"class, {arm.name}")


def _forest(
    names: Sequence[str],
    found: Sequence[Estimate | None],
    colour: Sequence[str],
    ends: tuple[float, float],
    what: str,
    width: float = NARROW,
) -> str:
    with drawing():
        labels = [shorten(name, SHORT_NAME) for name in names]
        row_height = 0.21 if len(names) > 6 else 0.3
        left = room(labels)
        figure, axes = axes_in_inches(
            max(width, left + 2.1),
            0.72 + row_height * len(names),
            left=left,
            bottom=0.5,
            top=0.12,
            right=0.15,
        )
        axes.axvline(0, color=palette.FAINT, linewidth=0.8)
        for row, (item, shade) in enumerate(zip(found, colour, strict=True)):
            if item is None:
                continue
            # An open circle where the sign is open, so that the eye goes to what is known.
            face = palette.PAPER if item.contains_zero else shade
            axes.plot([100 * item.low, 100 * item.high], [row, row], color=shade, linewidth=1.4)
            axes.plot(100 * item.value, row, "o", color=shade, markerfacecolor=face, markersize=5)
        axes.set_xlim(100 * ends[0], 100 * ends[1])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(range(len(names)), labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("difference from real (points)")
        return svg(figure, f"Difference from real of each {what}, with 95 % intervals")
