"""Render an exchange rate, the best mix of each class, and the cheapest mix that reaches an accuracy."""

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.exchange.cheapest_mix import SURE, Plan
from synthaug.analysis.exchange.class_verdicts import ClassMix
from synthaug.analysis.exchange.measured_mixes import MeasuredPlan
from synthaug.analysis.exchange.rate import Exchange
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text import arm_table
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.format import title
from synthaug.analysis.text.templating import Template

_TEMPLATE, _PLAN = Template("exchange", ALPHA=ALPHA), Template("plan", SURE=SURE, LEAST_LIKELY=0.05, MOST_SHOWN=12)


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


def plan_document(group: Group, exchange: Exchange, plan: Plan | None, measured: MeasuredPlan | None) -> list[Block]:
    """Render the cheapest mixes first, each with those to choose from, then the assumptions.

    Args:
        group, exchange: of the study.
        plan: by the exchange rate, for one accuracy; None where there is no rate.
        measured: from the arms alone; None where there are no equivalent numbers. One of both is needed.
    """
    either = plan or measured
    assert either is not None
    of_law = [headline(exchange), *remarks(exchange)] if plan else []
    labels = arm_table.labels(group)
    return _PLAN.document("document", title(group), either.accuracy, either.prices, measured, plan, of_law, labels)
