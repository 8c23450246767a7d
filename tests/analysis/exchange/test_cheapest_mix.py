"""The cheapest mix: what it follows from, how it is said, and what the command refuses."""

from dataclasses import replace

import pytest

from synthaug.analysis.exchange.cheapest_mix import ImagePrices, plan
from synthaug.analysis.exchange.rate import Exchange, fit
from tests.analysis.exchange.test_rate import PERFECT, replaced
from tests.factories.exchange_studies import GRID, answers

EXCHANGE = fit(GRID, answers(), along=False)
CHEAP, DEAR = ImagePrices(0.5, 1.2, 2.0), ImagePrices(0.5, 3600.0, 2.0)


def test_the_line_meets_the_target_and_the_cheapest_is_on_it() -> None:
    assert EXCHANGE.law is not None
    advice = plan(EXCHANGE, 0.93, CHEAP)
    for mix in advice.line:
        if mix.n_real > 50:  # with 50, the fewest of any arm, it may do better
            assert EXCHANGE.law.error(mix.n_real, mix.n_synthetic) == pytest.approx(0.07, abs=1e-3)
    assert advice.cheapest is not None
    assert advice.cheapest.cost == pytest.approx(CHEAP.cost(advice.cheapest.n_real, advice.cheapest.n_synthetic))
    assert advice.cheapest.cost <= min(mix.cost for mix in advice.line if mix.measured)
    assert advice.cheapest.measured
    assert advice.cost_low is not None
    assert advice.cost_high is not None
    assert advice.cost_low <= advice.cheapest.cost <= advice.cost_high


def test_prices_decide_which_images_to_buy() -> None:
    synthetic, real = plan(EXCHANGE, 0.93, CHEAP), plan(EXCHANGE, 0.93, DEAR)
    assert synthetic.cheapest is not None
    assert synthetic.cheapest.n_synthetic > 0
    assert real.cheapest is not None
    assert real.cheapest.n_synthetic == 0
    assert real.cheapest.n_real > synthetic.cheapest.n_real


def test_more_certainty_costs_more() -> None:
    advice = plan(EXCHANGE, 0.94, CHEAP)
    assert advice.cheapest is not None
    assert advice.sure is not None
    assert advice.sure.cost >= advice.cheapest.cost
    assert advice.sure.likely >= 0.9 > advice.cheapest.likely


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan(EXCHANGE, 0.93, CHEAP) == plan(EXCHANGE, 0.93, CHEAP)


def test_a_target_above_the_curve_is_out_of_reach() -> None:
    advice = plan(EXCHANGE, 0.995, CHEAP)
    assert (advice.cheapest, advice.line) == (None, ())


def test_what_lies_beyond_the_arms_is_called_so() -> None:
    assert EXCHANGE.law is not None
    best = 1 - float(EXCHANGE.law.error(1000, 2000))
    advice = plan(EXCHANGE, best + 0.003, CHEAP)
    assert advice.cheapest is not None
    assert not advice.cheapest.measured
    assert advice.cheapest.n_real > advice.most_real == 1000


def with_misfit(per_degree: float) -> Exchange:
    """`EXCHANGE`, whose arms lie off each form of the law by so much chi-squared per degree of freedom."""
    degrees = len(EXCHANGE.points)
    forms = (replace(form, misfit=per_degree * (degrees - form.parameters)) for form in EXCHANGE.forms)
    return replace(EXCHANGE, forms=tuple(forms))


def test_arms_off_the_law_make_the_cost_less_certain() -> None:
    """Chi-squared of four per degree of freedom doubles all errors; one below its degrees changes nothing."""
    as_explained, off, close = (plan(with_misfit(value), 0.93, CHEAP) for value in (1.0, 4.0, 0.25))
    widths = []
    for item in (as_explained, off):
        assert item.cost_low is not None
        assert item.cost_high is not None
        widths.append(item.cost_high - item.cost_low)
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.4)
    assert close == as_explained


def test_a_sure_mix_reaches_the_target_in_95_of_100_draws() -> None:
    sure = plan(EXCHANGE, 0.93, CHEAP).sure
    assert sure is not None
    assert 0.95 <= sure.likely < 0.98


def test_where_fewest_real_images_suffice_no_more_are_bought() -> None:
    assert EXCHANGE.law is not None
    easy = 1 - float(EXCHANGE.law.error(50, 0))
    cheapest = plan(EXCHANGE, easy - 0.01, CHEAP, draws=20).cheapest
    assert cheapest is not None
    assert (cheapest.n_real, cheapest.n_synthetic, cheapest.cost) == (50, 0, 25.0)


def test_other_forms_are_planned_with_too() -> None:
    shifted = fit(GRID, answers(replaced(shift=0.05)), along=False)
    assert shifted.better == "shifted"
    advice = plan(shifted, 0.93, CHEAP, draws=20)
    law = next(form.law for form in shifted.forms if form.name == "shifted")
    for mix in advice.line:
        assert float(law.error(mix.n_real, mix.n_synthetic)) <= 0.07 + 1e-6


def test_no_plan_without_an_exchange_rate() -> None:
    with pytest.raises(ValueError, match="needs an exchange rate"):
        plan(fit(GRID, answers(PERFECT)), 0.9, CHEAP)


def test_photographs_that_are_held_out_are_labelled_as_well() -> None:
    price = ImagePrices(0.5, 1.2, 3.0, held_out=100)
    assert price.cost(10, 20) == pytest.approx(0.5 * 110 + 1.2 * 3 / 3600 * 20)
