"""The cheapest arm that reaches an accuracy: what it follows from."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.analysis.exchange.cheapest_mix import ImagePrices
from synthaug.analysis.exchange.equivalent import EquivalentSizes, equivalent_sizes
from synthaug.analysis.exchange.measured_mixes import EVEN, MeasuredMix, measured_plan
from tests.analysis.exchange.test_equivalent import tables
from tests.factories.exchange_studies import GRID, LAW

SIZES = equivalent_sizes(GRID, tables(run=0.02))
CHEAP, DEAR = ImagePrices(0.5, 1.2, 2.0), ImagePrices(0.5, 3600.0, 2.0, held_out=100)


@given(st.floats(0.8, 0.97), st.sampled_from([CHEAP, DEAR, ImagePrices(0, 0, 1)]))
@settings(max_examples=30, deadline=None)
def test_nothing_cheaper_reaches_it(accuracy: float, prices: ImagePrices) -> None:
    advice = measured_plan(SIZES, accuracy, prices)
    assert [mix.cost for mix in advice.mixes] == sorted(mix.cost for mix in advice.mixes)
    for best, least in ((advice.cheapest, EVEN), (advice.sure, 0.95)):
        reaching = [mix for mix in advice.mixes if mix.likely >= least]
        assert all(best is not None and best.cost <= mix.cost for mix in reaching)
        assert best is None or best.cost == pytest.approx(prices.cost(best.arm.n_real, best.arm.n_synthetic))
        assert best is None or best.likely >= least


def test_an_arm_reaches_what_it_has_with_even_chance_and_a_worse_one_with_less() -> None:
    arm = SIZES.arms[0]
    advice = measured_plan(SIZES, 1 - arm.error, CHEAP)
    likely = {mix.arm.name: mix.likely for mix in advice.mixes}
    assert likely[arm.arm.name] == pytest.approx(0.5)
    assert likely["50+0"] < 0.01 < 0.99 < likely["1000+2000"]


def test_real_images_alone_are_read_off_their_curve() -> None:
    needed = measured_plan(SIZES, 1 - float(LAW.error(300, 0)), CHEAP).needed
    assert needed.low is not None
    assert needed.high is not None
    assert needed.low < 300 < needed.high
    assert measured_plan(SIZES, 0.9999, CHEAP).needed.high is None
    assert measured_plan(SIZES, 0.5, CHEAP).needed.low is None


def alone(item: MeasuredMix | None) -> bool:
    return item is not None and not item.arm.n_synthetic


def test_prices_decide_which_images_to_buy() -> None:
    accuracy = 1 - float(LAW.error(300, 0))
    assert not alone(measured_plan(SIZES, accuracy, CHEAP).cheapest)
    cheapest = measured_plan(SIZES, accuracy, DEAR).cheapest
    assert alone(cheapest)
    assert cheapest is not None
    assert 250 < cheapest.arm.n_real < 400, "as many as the curve asks for, between two arms"


def test_as_many_real_images_as_reach_it_in_19_of_20_cases_are_sure() -> None:
    accuracy = 1 - float(LAW.error(250, 0))
    advice = measured_plan(SIZES, accuracy, replace(DEAR, hour=1e7))
    assert SIZES.curve is not None
    upper = SIZES.curve.needed(1 - accuracy, 0.9).high  # 5 % lie above
    assert alone(advice.sure)
    assert advice.sure is not None
    assert upper is not None
    assert advice.sure.arm.n_real == math.ceil(upper)


def test_out_of_reach() -> None:
    advice = measured_plan(SIZES, 0.9999, CHEAP)
    assert (advice.cheapest, advice.sure) == (None, None)
    with pytest.raises(ValueError, match="equivalent numbers"):
        measured_plan(replace(SIZES, curve=None), 0.9, CHEAP)
    with pytest.raises(ValueError, match="equivalent numbers"):
        measured_plan(EquivalentSizes(), 0.9, CHEAP)
