"""Differences and their intervals, by their coordinates."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from synthaug.analysis.comparison.model import Arm, ClassResult
from synthaug.analysis.inference.intervals import Difference
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.forest import (
    arm_differences,
    axis_limits,
    class_differences,
    largest_differences,
)
from tests.analysis.output.figures.artists import axes_of, lines, markers, places, row_names
from tests.factories.estimates import make_difference

CLEAR, OPEN = make_difference(-0.02, -0.05, -0.01), make_difference(0.01, -0.02, 0.07)


def class_result(name: str, difference: Difference | None) -> ClassResult:
    return ClassResult(name, 100, None, difference)


ARM = Arm(
    "55", 0.5, 0.5, False, 1, classes=(class_result("cat", OPEN), class_result("cow", None), class_result("dog", CLEAR))
)


def filled(figure: Figure) -> dict[float, bool]:
    """Row → whether its circle is filled."""
    return {
        places(line.get_xydata())[0][1]: to_hex(line.get_markerfacecolor()) != palette.PAPER
        for line in axes_of(figure).lines
        if line.get_marker() == "o"
    }


def test_arms_stand_in_rows_with_their_intervals() -> None:
    arms = [
        Arm("real", 1, 0, True, 1),
        Arm("55", 0.5, 0.5, False, 1, difference=CLEAR),
        Arm("64", 0.4, 0.6, False, 1, difference=OPEN),
    ]
    figure = arm_differences(arms)
    assert row_names(figure) == ["55", "64"]
    assert list(markers(figure)) == [(-2, 0), (1, 1)]
    assert lines(figure, width=1.4) == [[(-5, 0), (-1, 0)], [(-2, 1), (7, 1)]]
    assert filled(figure) == {0: True, 1: False}
    bottom, top = axes_of(figure).get_ylim()
    assert bottom > top, "the first arm is on top"


def test_classes_stand_in_rows_with_their_intervals() -> None:
    figure = class_differences(ARM, [0, 1, 2], (-0.1, 0.1), palette.ARMS[0])
    assert row_names(figure) == ["cat", "cow", "dog"]
    assert list(markers(figure)) == [(1, 0), (-2, 2)]
    assert lines(figure, width=1.4) == [[(-2, 0), (7, 0)], [(-5, 2), (-1, 2)]]
    assert axes_of(figure).get_xlim() == pytest.approx((-10, 10))


def test_the_axis_holds_zero_and_all_intervals() -> None:
    low, high = axis_limits([CLEAR, None])
    assert (low, high) == pytest.approx((-0.0525, 0.0025))
    assert axis_limits([]) == (-0.01, 0.01)


def test_the_classes_that_differ_most_are_drawn_in_their_order() -> None:
    assert largest_differences([ARM], 1) == [2]
    assert largest_differences([ARM], 5) == [0, 2]
