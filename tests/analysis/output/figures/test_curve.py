"""Accuracy against synthetic share, by its coordinates."""

import dataclasses
from itertools import pairwise

import pytest
from matplotlib.text import Text

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures import curve
from synthaug.analysis.output.figures.curve import accuracy_by_share, marker_legend
from tests.analysis.output.figures.artists import axes_of, labels, lines, markers
from tests.factories.estimates import make_difference

REAL = Arm("real", 1, 0, True, 1, accuracy=Estimate(0.97, 0.95, 0.98))
HALF = Arm("55", 0.5, 0.5, False, 1, accuracy=Estimate(0.94, 0.92, 0.95))
MORE = Arm("add100", 1, 1.5, False, 1, accuracy=Estimate(0.98, 0.96, 0.99))
FEWER = Arm("less", 0.2, 0.6, False, 1, accuracy=Estimate(0.90, 0.85, 0.91))
CONTROL = Arm("real50", 0.5, 0, False, 1, accuracy=Estimate(0.91, 0.88, 0.92))
CONTROLLED = dataclasses.replace(HALF, control="real50", loss=make_difference(-0.06, -0.08, -0.05))


def test_each_arm_stands_at_its_share_and_accuracy() -> None:
    figure = accuracy_by_share([REAL, HALF, MORE, FEWER])
    assert markers(figure) == {(0, 97): "o", (50, 94): "o", (60, 98): "s", (75, 90): "v"}


def test_intervals_run_from_low_to_high_and_the_band_is_that_of_real() -> None:
    figure = accuracy_by_share([REAL, HALF])
    assert lines(figure, width=1.6) == [[(0, 95), (0, 98)], [(50, 92), (50, 95)]]
    (band,) = axes_of(figure).patches
    assert band.get_extents().transformed(axes_of(figure).transData.inverted()).intervaly == pytest.approx([95, 98])


def test_arms_of_the_size_of_the_real_set_are_joined() -> None:
    assert lines(accuracy_by_share([FEWER, HALF, REAL]), width=0.9) == [[(0, 97), (50, 94)]]


def test_names_stand_above_the_intervals_that_they_name() -> None:
    assert labels(accuracy_by_share([REAL, HALF, MORE])) == {"real": (0, 98), "55": (50, 95), "add100": (60, 99)}


def test_a_control_stands_below_its_arm_and_is_joined_to_it() -> None:
    figure = accuracy_by_share([REAL, CONTROL, CONTROLLED])
    x = 50 + curve.CONTROL_OFFSET
    assert markers(figure) == {(0, 97): "o", (50, 94): "o", (x, 91): "v"}
    assert labels(figure)["real50"] == (x, 88)
    assert lines(figure, ":") == [] == lines(figure, "--", 0.1)
    dotted = [line for line in axes_of(figure).lines if list(map(float, line.get_xdata())) == [x, 50.0]]  # type: ignore[arg-type]
    assert [list(map(float, line.get_ydata())) for line in dotted] == [[91, 94]]  # type: ignore[arg-type]


def test_arms_of_one_share_are_named_in_a_column_beside_their_points() -> None:
    accuracies = (0.954, 0.953, 0.938, 0.925, 0.856)
    names = ("real", "again", "real50", "real40", "real20")
    arms = [
        Arm(name, 1, 0, name == "real", 1, accuracy=Estimate(value, value - 0.01, value + 0.01))
        for name, value in zip(names, accuracies, strict=True)
    ]
    figure = accuracy_by_share([*arms, HALF])
    texts = [text for text in axes_of(figure).texts if text.get_text() in names]
    assert {text.get_horizontalalignment() for text in texts} == {"right"}
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in texts]  # without the leader
    assert max(box.x1 for box in boxes) == pytest.approx(min(box.x1 for box in boxes), abs=0.5)
    heights = sorted(((box.y0 + box.y1) / 2 for box in boxes), reverse=True)
    assert min(high - low for high, low in pairwise(heights)) > 9
    assert [text.get_text() for text in sorted(texts, key=lambda text: -Text.get_window_extent(text).y0)] == list(names)
    marked = [axes_of(figure).transData.transform(place)[0] for place in markers(figure)]
    assert max(box.x1 for box in boxes) < min(marked), "left of all points"


def test_the_legend_names_the_sizes_that_occur() -> None:
    assert marker_legend([REAL, HALF]) == []
    assert [sign for sign, _ in marker_legend([FEWER, REAL, MORE])] == ["●", "■", "▼"]
