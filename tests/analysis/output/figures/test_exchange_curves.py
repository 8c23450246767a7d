"""The figures of the exchange rate, by their coordinates."""

import dataclasses

import numpy as np
import pytest

from synthaug.analysis.exchange.rate import Amounts, ClassExchange, Exchange, Form, Point, Value
from synthaug.analysis.output.figures.exchange_curves import class_values, error_curves, values_by_amount
from tests.analysis.output.figures.artists import axes_of, labels, lines, markers, row_names
from tests.factories.exchange_studies import GRID, LAW


def error(arm: Amounts) -> float:
    return float(LAW.error([arm.n_real], [arm.n_synthetic])[0])


EXCHANGE = Exchange(
    points=tuple(Point(arm, error(arm) + 0.01, 0.002, error(arm)) for arm in GRID), left_out=(), reasons=(), law=LAW,
    value=Value(2000, 0.5, 0.3, 0.8),
    forms=(Form("constant", 4, misfit=1.0, aicc=5.0, law=LAW),),
)  # fmt: skip


def test_one_curve_per_number_of_synthetic_images() -> None:
    curves = [np.array(line) for line in lines(error_curves(EXCHANGE, 10)) if len(line) > 2]
    assert len(curves) == 3
    for curve, amount in zip(curves, (0, 500, 2000), strict=True):
        assert curve[:, 1] == pytest.approx(100 * LAW.error(curve[:, 0], amount), abs=1e-4)
        assert (curve[0, 0], curve[-1, 0]) == pytest.approx((50, 1000), rel=1e-4)


def test_curves_are_named_where_they_end() -> None:
    ends = labels(error_curves(EXCHANGE, 10))
    for amount in (0, 500, 2000):
        assert ends[f"{amount:,}"] == pytest.approx((1000, 100 * LAW.error(1000, amount)), abs=1e-4)


def test_points_are_the_measured_errors_with_their_intervals() -> None:
    figure = error_curves(EXCHANGE, 10)
    expected = [(arm.n_real, 100 * (error(arm) + 0.01)) for arm in GRID]
    assert np.array(sorted(markers(figure))) == pytest.approx(np.array(sorted(expected)), abs=1e-4)
    intervals = [line for line in lines(figure) if len(line) == 2]
    ends = {(low[0], round(high[1] - low[1], 4)) for low, high in intervals}
    assert ends == {(arm.n_real, round(200 * 1.96 * 0.002, 4)) for arm in GRID}


def test_the_law_that_fits_best_is_drawn() -> None:
    best = dataclasses.replace(LAW, floor=0.1)
    form = Form("shifted", 5, misfit=1.0, aicc=1.0, law=best)
    curves = [
        line
        for line in lines(error_curves(dataclasses.replace(EXCHANGE, forms=(form,), better="shifted"), 10))
        if len(line) > 2
    ]
    assert curves[0][-1] == pytest.approx((1000, 100 * best.error(1000, 0)), abs=1e-4)


@pytest.mark.parametrize("limit", [None, Value(2000, 0.5, 0.3, None)])
def test_a_law_that_is_not_identified_has_no_curve(limit: Value | None) -> None:
    assert error_curves(dataclasses.replace(EXCHANGE, value=None, limit=limit), 10) is None
    assert error_curves(dataclasses.replace(EXCHANGE, law=None), 10) is None


@pytest.mark.parametrize(("n_classes", "chance"), [(2, 50), (10, 90)])
def test_the_axis_ends_at_chance(n_classes: int, chance: float) -> None:
    steep = dataclasses.replace(LAW, scale=0.5)
    figure = error_curves(dataclasses.replace(EXCHANGE, law=steep), n_classes)
    assert steep.error(50, 0) > 1
    assert axes_of(figure).get_ylim()[1] == pytest.approx(chance)
    worse = (dataclasses.replace(EXCHANGE.points[0], error=0.95), *EXCHANGE.points[1:])
    assert axes_of(error_curves(dataclasses.replace(EXCHANGE, points=worse), n_classes)).get_ylim()[1] >= 95


def test_values_stand_in_rows_with_their_intervals() -> None:
    values = (Value(500, 0.6, 0.3, 0.8), Value(2000, 0.2, -0.1, 0.4))
    figure = values_by_amount(dataclasses.replace(EXCHANGE, along=values))
    assert list(markers(figure)) == [(0.6, 0), (0.2, 1)]
    assert lines(figure, width=1.4) == [[(0.3, 0), (0.8, 0)], [(-0.1, 1), (0.4, 1)]]
    assert values_by_amount(EXCHANGE) is None


def test_an_interval_without_end_has_an_arrow() -> None:
    classes = (
        ClassExchange("cat", 100, dataclasses.replace(EXCHANGE, value=Value(500, 0.6, 0.3, 0.8))),
        ClassExchange("cow", 100, dataclasses.replace(EXCHANGE, value=None)),
        ClassExchange("dog", 100, dataclasses.replace(EXCHANGE, value=None, limit=Value(500, 0.9, 0.5, None))),
    )
    figure = class_values(dataclasses.replace(EXCHANGE, classes=classes))
    assert row_names(figure) == ["cat", "cow", "dog"]
    right = axes_of(figure).get_xlim()[1]
    assert markers(figure) == {(0.6, 0): "o", (round(right, 6), 2): ">"}
    assert lines(figure, width=1.4)[1] == [(0.5, 2), (round(right, 6), 2)]
    assert class_values(EXCHANGE) is None
