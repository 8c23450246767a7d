"""The figure of equivalent numbers, by its coordinates."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthaug.analysis.exchange.equivalent import EquivalentSizes
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.equivalent_curve import equivalent_curve
from tests.analysis.output.figures.artists import places
from tests.analysis.text.test_equivalent_text import AT_LEAST, AT_MOST, SIZES, WITHHELD, WITHIN
from tests.factories.exchange_studies import LAW

COLOURS = dict(zip(("82", "73", "55", "64"), palette.ARMS, strict=False))
NAMES = {name: f"arm {name}" for name in COLOURS}


def panels(sizes: EquivalentSizes = SIZES) -> tuple[Axes, Axes]:
    figure = equivalent_curve(sizes, NAMES, COLOURS)
    assert isinstance(figure, Figure)
    curve, forest = figure.axes
    return curve, forest


def test_each_estimated_arm_has_a_row_with_its_interval() -> None:
    _, forest = panels()
    assert [tick.get_text() for tick in forest.get_yticklabels()] == ["arm 55", "arm 73", "arm 82"]
    left, right = forest.get_xlim()
    lines = [places(line.get_xydata()) for line in forest.lines if line.get_linewidth() == 1.4]
    expected = [[(left, 0), (1480, 0)], [(401, 1), (right, 1)], [(266.1, 2), (392.7, 2)]]
    assert [np.array(line) for line in lines] == [pytest.approx(np.array(line)) for line in expected]


def test_rows_have_dots_arrows_and_the_real_images_of_the_arm() -> None:
    _, forest = panels()
    points = {
        (round(float(x)), round(float(y))): line.get_marker()
        for line in forest.lines
        if line.get_marker() != "None"
        for x, y in np.array(line.get_xydata())
    }
    left, right = forest.get_xlim()
    assert points == {
        (round(left), 0): "<", (500, 0): "x", (round(right), 1): ">", (300, 1): "x", (315, 2): "o", (200, 2): "x"
    }  # fmt: skip


def test_the_curve_is_the_law_and_an_arm_is_led_from_its_error_to_its_row() -> None:
    curve, forest = panels()
    drawn = next(np.array(line.get_xydata()) for line in curve.lines if len(np.array(line.get_xydata())) > 3)
    assert drawn[:, 1] == pytest.approx(100 * LAW.error(drawn[:, 0], 0))
    (lead,) = [np.array(line.get_xydata()) for line in curve.lines if line.get_linewidth() == 0.8]
    assert lead[:2] == pytest.approx(np.array([[curve.get_xlim()[0], 6.0], [315.2, 6.0]]))
    assert curve.get_xlim() == forest.get_xlim()
    many = replace(SIZES, arms=(WITHIN,) * 6)
    assert not [line for line in panels(many)[0].lines if line.get_linewidth() == 0.8], "too many to follow"


def test_an_amount_that_two_arms_have_is_one_tick() -> None:
    curve, _ = panels(replace(SIZES, real=(*SIZES.real, SIZES.real[0])))
    assert list(curve.get_xticks()) == [200, 300, 400, 2000]


def test_without_an_equivalent_number_there_is_no_figure() -> None:
    assert equivalent_curve(replace(SIZES, arms=(WITHHELD,)), NAMES, COLOURS) is None
    assert equivalent_curve(EquivalentSizes(), NAMES, COLOURS) is None
    assert equivalent_curve(replace(SIZES, arms=(AT_LEAST, AT_MOST)), NAMES, COLOURS) is not None
