"""Differences from real and their intervals, one below the other: of the arms, and of the classes of an arm."""

from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Difference, Estimate
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import MAX_NAME, NARROW, WIDTH, row_axes, shorten, style, text_width

MAX_ARM = 34  # letters of an arm's name: "64 · sdxl · guidance 7.5 · draw 2"


def largest_differences(arms: Sequence[Arm], limit: int) -> list[int]:
    """Return the indices of the classes that differ most from real in any arm, in the order of the classes.

    Args:
        arms: whose classes are compared.
        limit: of the number of classes.
    """
    size: dict[int, float] = {}
    for arm in arms:
        for index, item in enumerate(arm.classes):
            if item.difference is not None:
                size[index] = max(size.get(index, 0.0), abs(item.difference.value))
    return sorted(sorted(size, key=lambda index: (-size[index], index))[:limit])


def axis_limits(estimates: Iterable[Estimate | None]) -> tuple[float, float]:
    """Return both ends of an axis that holds zero and all intervals; fractions."""
    ends = [0.0, *(end for item in estimates if item is not None for end in (item.low, item.high))]
    margin = 0.05 * (max(ends) - min(ends)) or 0.01
    return min(ends) - margin, max(ends) + margin


def arm_differences(arms: Sequence[Arm]) -> Figure:
    """Draw the difference from real of each arm, with its paired interval."""
    compared = [arm for arm in arms if arm.difference is not None]
    colour = palette.arm_colours(arms)
    differences = [arm.difference for arm in compared]
    names, colours = [arm.name for arm in compared], [colour[arm.name] for arm in compared]
    return _forest(names, differences, colours, axis_limits(differences), "arm", WIDTH, MAX_ARM)


def class_differences(arm: Arm, classes: Sequence[int], limits: tuple[float, float], colour: str) -> Figure:
    """Draw the difference from real of each class of an arm, with its interval.

    Args:
        arm: whose classes are drawn.
        classes: indices of those that are.
        limits: of the axis, fractions: the same for all arms that are compared by eye.
        colour: of the arm.
    """
    items = [arm.classes[index] for index in classes]
    names, differences = [item.name for item in items], [item.difference for item in items]
    return _forest(names, differences, [colour] * len(items), limits, f"class, {arm.name}", NARROW)


@style()
def _forest(
    names: Sequence[str],
    differences: Sequence[Estimate | None],
    colours: Sequence[str],
    limits: tuple[float, float],
    subject: str,
    width: float,
    longest: int = MAX_NAME,
) -> Figure:
    space = max(width - text_width([shorten(name, longest) for name in names]), 2.1)
    row_height = 0.21 if len(names) > 6 else 0.3
    figure, axes = row_axes(names, "difference from real (points)", width=space, row=row_height, longest=longest)
    figure.set_label(f"Difference from real of each {subject}, with 95 % intervals")
    for row, (difference, colour) in enumerate(zip(differences, colours, strict=True)):
        if difference is None:
            continue
        # An open circle where the sign is open, or was not tested, so that the eye goes to what is known.
        tested = isinstance(difference, Difference) and difference.p_value is not None
        face = colour if tested and not difference.contains_zero else palette.PAPER
        axes.plot([100 * difference.low, 100 * difference.high], [row, row], color=colour, linewidth=1.4)
        axes.plot(100 * difference.value, row, "o", color=colour, markerfacecolor=face, markersize=5)
    axes.set_xlim(100 * limits[0], 100 * limits[1])
    return figure
