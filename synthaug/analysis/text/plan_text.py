"""Render the cheapest mix that reaches an accuracy."""

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.exchange.cheapest_mix import SURE, Plan
from synthaug.analysis.exchange.rate import Exchange
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.exchange_text import headline, remarks
from synthaug.analysis.text.format import title
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("plan", SURE=SURE)


def document(group: Group, exchange: Exchange, plan: Plan) -> list[Block]:
    """Render the recommendation first, then the mixes to choose from, then its assumptions.

    Args:
        group: of the study.
        exchange: its exchange rate.
        plan: for one target.
    """
    return _TEMPLATE.document("document", title(group), plan, headline(exchange), remarks(exchange))
