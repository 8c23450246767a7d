"""What is lost and what is given back, by the coordinates of the bars."""

import pytest
from matplotlib.patches import Rectangle

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.output.figures.decomposition import loss_and_gain
from tests.analysis.output.figures.artists import axes_of, lines, row_names
from tests.factories.estimates import make_difference

LOSS, GAIN = make_difference(-0.05, -0.08, -0.04), make_difference(0.02, 0.01, 0.05)
ARMS = [
    Arm("real", 1, 0, True, 1),
    Arm("55", 0.5, 0.5, False, 1, control="real50", loss=LOSS, gain=GAIN),
    Arm("add", 1, 1, False, 1, control="real", gain=GAIN),
]


def test_the_gain_begins_where_the_loss_ends() -> None:
    figure = loss_and_gain(ARMS)
    assert row_names(figure) == ["55", "add"]
    bars = [patch for patch in axes_of(figure).patches if isinstance(patch, Rectangle)]
    ends = [(round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    expected = [(0, 0, -5), (0, -5, -3), (1, 0, 2)]
    assert [end for bar in ends for end in bar] == pytest.approx([end for bar in expected for end in bar])


def test_intervals_are_those_of_each_bar() -> None:
    intervals = lines(loss_and_gain(ARMS), width=1.2)
    ends = [sorted(x for x, _ in line) for line in intervals]
    assert ends == [[-8, -4], [-4, 0], [1, 5]]
