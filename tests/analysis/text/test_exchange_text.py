"""The wording of exchange rates, with made-up numbers."""

from dataclasses import replace

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.exchange import rate
from synthaug.analysis.exchange.class_verdicts import ClassMix
from synthaug.analysis.exchange.rate import Amounts, ClassExchange, Exchange, Form, Point, Value
from synthaug.analysis.text.document import markdown
from synthaug.analysis.text.exchange_text import document, headline, mix_sentence, remarks
from tests.factories.exchange_studies import LAW
from tests.factories.golden import assert_golden

REASONS = (
    Reason(rate.NO_SYNTHETIC),
    Reason(rate.FEW_REAL, {"number": 2, "needed": 3}),
    Reason(rate.FEW_ARMS, {"number": 4, "needed": 5}),
    Reason(rate.FLAT),
    Reason(rate.ALL_RIGHT),
    Reason(rate.OPEN_ABOVE, {"largest": 10.0}),
    Reason(rate.OPEN_BELOW),
)
HELPFUL, OPEN, HARMFUL = Value(100, 0.5, 0.25, 1.0), Value(100, 0.1, -0.2, 0.4), Value(100, -0.5, -0.9, -0.1)
FORMS = tuple(
    Form(name, 4, 10.0, aicc, replace(LAW, shift=shift))
    for name, aicc, shift in (
        ("constant", 30.0, 0.0),
        ("worthless", 26.0, 0.0),
        ("shifted", 22.0, 0.03),
        ("changing", 20.0, 0.0),
    )
)
RATE = Exchange(
    (Point(Amounts("55", 500, 2000), 0.061, 0.004, 0.0585),), (), (), HELPFUL, law=LAW, forms=FORMS, n_images=1500
)


def test_headlines() -> None:
    along = (Value(500, 0.7, 0.2, None), Value(2000, 0.3, None, 0.6))
    rates = [
        RATE,
        replace(RATE, value=OPEN),
        replace(RATE, value=HARMFUL),
        replace(RATE, better="changing", along=along),
        *(Exchange((), (), (reason,)) for reason in REASONS),
        Exchange((), (), REASONS[5:6], limit=Value(100, 0.5, 0.2, None)),
        Exchange((), (), REASONS[6:], limit=Value(100, 0.5, None, 0.8)),
    ]
    assert_golden("exchange_headlines.txt", "\n".join([*map(headline, rates), ""]))


def test_the_document() -> None:
    classes = (
        ClassExchange("cat", 750, RATE),
        ClassExchange("dog", 750, replace(RATE, value=OPEN)),
        ClassExchange("elk", 750, replace(RATE, value=HARMFUL)),
        ClassExchange("fox", 750, Exchange((), (), REASONS[5:6], limit=Value(100, 0.5, 0.2, None))),
        ClassExchange("yak", 0, Exchange((), (), REASONS)),
    )
    full = replace(
        RATE,
        classes=classes,
        better="shifted",
        agreement=0.01,
        inflation=2.25,
        one_seed=True,
        left_out=(Amounts("synthetic", 0, 1000),),
    )
    assert_golden("exchange.md", markdown(document(full)))


def test_remarks_on_rival_laws() -> None:
    rates = [
        RATE,
        replace(RATE, better="worthless"),
        replace(RATE, better="changing"),
        replace(RATE, better="changing", along=(Value(500, 0.7, 0.2, None), Value(2000, 0.3, None, 0.6))),
    ]
    lines = [line for item in rates for line in remarks(item)]
    assert_golden("exchange_rival_laws.txt", "\n".join([*lines, ""]))
    assert remarks(replace(RATE, agreement=0.0501)) == remarks(RATE)


def test_class_mixes() -> None:
    mix = ClassMix("cat", 750, 0.953, "55", ("64", "73"), "64")
    mixes = [mix, replace(mix, tied=(), cheapest="55"), replace(mix, tied=("a", "b", "c", "d"))]
    assert_golden("class_mixes.txt", "\n".join([*(mix_sentence(item, 0.01) for item in mixes), ""]))
