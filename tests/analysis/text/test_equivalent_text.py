"""The wording of equivalent numbers of real images, with made-up numbers."""

from dataclasses import replace

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.exchange import equivalent, rate
from synthaug.analysis.exchange.equivalent import Equivalent, EquivalentSizes
from synthaug.analysis.exchange.rate import Amounts, Point
from synthaug.analysis.text import equivalent_text
from synthaug.analysis.text.document import markdown
from tests.factories.exchange_studies import LAW
from tests.factories.golden import assert_golden

WITHIN = Equivalent(Amounts("82", 200, 800), 0.06, 0.005, 315.2, 266.1, 392.7)
AT_LEAST = Equivalent(Amounts("73", 300, 700), 0.05, 0.005, None, 401.0, None)
AT_MOST = Equivalent(Amounts("55", 500, 500), 0.09, 0.005, None, None, 1480.0)
WITHHELD = Equivalent(
    Amounts("64", 400, 600), 0.05, 0.005,
    reasons=(Reason(equivalent.WIDE_STEP, {"below": 400, "above": 2000, "missing": 894}),),
)  # fmt: skip
SIZES = EquivalentSizes(
    tuple(Point(Amounts(f"real{n}", n, 0), 0.06, 0.005, 0.06) for n in (200, 300, 400, 2000)),
    (WITHIN, AT_LEAST, WITHHELD, AT_MOST),
    law=LAW,
    agreement=0.01,
)
REASONS = (
    Reason(rate.NO_SYNTHETIC),
    Reason(rate.FEW_REAL, {"number": 2, "needed": 4}),
    Reason(equivalent.FEW_SEEDS, {"needed": 3}),
    Reason(rate.FLAT),
    Reason(rate.ALL_RIGHT),
    Reason(equivalent.UNEQUAL_STEPS, {"least": 48, "most": 248}),
    Reason(equivalent.NO_LIMITS),
)


def labels(sizes: EquivalentSizes) -> dict[str, str]:
    return {item.arm.name: item.arm.name for item in sizes.arms}


def test_the_document() -> None:
    assert_golden("equivalent.md", markdown(equivalent_text.document(SIZES, labels(SIZES))))


def test_headlines() -> None:
    many = tuple(replace(WITHIN, arm=Amounts(f"{n}+800", n, 800)) for n in range(100, 600, 100))
    sizes = [
        *(replace(SIZES, arms=(item,)) for item in (WITHIN, AT_LEAST, AT_MOST, WITHHELD)),
        replace(SIZES, arms=many),
        *(EquivalentSizes(reasons=(reason,)) for reason in REASONS),
    ]
    lines = [equivalent_text.headline([item], labels(item)) for item in sizes]
    lines.append(equivalent_text.headline([SIZES, EquivalentSizes(reasons=REASONS[1:2]), sizes[1]], labels(SIZES)))
    lines.append(equivalent_text.headline([], {}))
    assert_golden("equivalent_headlines.txt", "\n".join([*lines, ""]))


def test_an_amount_that_two_arms_have_is_said_once() -> None:
    twice = replace(SIZES, real=(*SIZES.real, SIZES.real[-1]))
    assert equivalent_text.document(twice, labels(twice)) == equivalent_text.document(SIZES, labels(SIZES))


def test_arms_of_a_grid_are_called_by_their_amounts() -> None:
    named = {item.arm.name: f"label of {item.arm.name}" for item in SIZES.arms}
    assert "| label of 82 | 315" in markdown(equivalent_text.document(SIZES, named))
