"""Render an exchange rate and the best mix of each class."""

from synthaug.analysis.exchange.class_verdicts import ClassMix
from synthaug.analysis.exchange.rate import Exchange
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("exchange", ALPHA=ALPHA)


def document(exchange: Exchange) -> list[Block]:
    """Render the exchange rate with everything that it rests on."""
    return _TEMPLATE.document("document", exchange)


def headline(exchange: Exchange) -> str:
    """Say the exchange rate, or why there is none."""
    return _TEMPLATE.sentence("headline", exchange)


def remarks(exchange: Exchange) -> list[str]:
    """Say what limits the exchange rate: rival laws, how well the law fits, what the interval leaves out."""
    return _TEMPLATE.sentences("remarks", exchange)


def mix_sentence(item: ClassMix, margin: float) -> str:
    """Say the recommended mix of a class.

    Args:
        item: the class.
        margin: of accuracy, a fraction, that a cheaper mix may lose.
    """
    return _TEMPLATE.sentence("class_mix", item, margin)
