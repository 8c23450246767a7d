"""Learning curves, by their coordinates."""

from itertools import pairwise
from math import nan

from matplotlib.text import Text

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.output.figures.canvas import LINE
from synthaug.analysis.output.figures.learning import Curve, learning_curves
from tests.analysis.output.figures.artists import axes_of, labels, lines, markers
from tests.factories.estimates import make_difference

ARMS = [
    Arm("real", 1, 0, True, 1),
    Arm("55", 0.5, 0.5, False, 1, control="real50", loss=make_difference(-0.02, -0.03, -0.01)),
    Arm("real50", 0.5, 0, False, 1),
]


def test_epochs_count_from_one() -> None:
    figure = learning_curves([Curve("real", [0, 1, 2], [0.5, 0.7, 0.8])], "accuracy (%)", ARMS, 100)
    assert lines(figure) == [[(1, 50), (2, 70), (3, 80)]]
    assert labels(figure) == {"real": (3, 80)}


def test_arms_are_called_by_other_names_where_they_have_some() -> None:
    curves = [Curve("real", [0], [0.5]), Curve("55", [0], [0.25])]
    figure = learning_curves(curves, "loss", ARMS, names={"55": "500 + 500"})
    assert labels(figure) == {"real": (1, 0.5), "500 + 500": (1, 0.25)}


def test_an_arm_of_several_runs_has_their_mean_and_each_of_them() -> None:
    runs = [Curve("55", [0, 1, 2], [2.0, 1.0, 0.5]), Curve("55", [0, 1], [1.0, 0.5])]
    figure = learning_curves(runs, "loss", ARMS)
    assert lines(figure, width=0.6) == [[(1, 2), (2, 1), (3, 0.5)], [(1, 1), (2, 0.5)]]
    assert lines(figure, width=1.5) == [[(1, 1.5), (2, 0.75)]]


def test_epochs_that_were_never_logged_are_left_out() -> None:
    assert lines(learning_curves([Curve("real", [0, 1, 2], [nan, 1.0, 0.5])], "loss", ARMS)) == [[(2, 1), (3, 0.5)]]


def test_one_epoch_is_a_point() -> None:
    assert markers(learning_curves([Curve("real", [0], [0.5])], "loss", ARMS)) == {(1, 0.5): "."}


def test_names_of_many_arms_that_end_alike_stay_inside_the_figure() -> None:
    arms = [Arm(f"arm {n}", 0.1 * n, 0, False, 1) for n in range(1, 10)]
    figure = learning_curves([Curve(arm.name, [0, 1], [2.0, 0.01]) for arm in arms], "loss", arms)
    figure.draw_without_rendering()
    heights = sorted(Text.get_window_extent(text).y0 for text in axes_of(figure).texts)
    assert heights[0] >= 0
    assert min(high - low for low, high in pairwise(heights)) >= 0.9 * LINE


def test_controls_are_dashed() -> None:
    curves = [Curve(arm.name, [0, 1], [1.0, 0.5]) for arm in ARMS]
    axes = axes_of(learning_curves(curves, "loss", ARMS))
    assert [line.is_dashed() for line in axes.lines] == [False, False, True]
