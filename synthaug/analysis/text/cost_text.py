"""The costs of a study as a table."""

from collections.abc import Sequence

from synthaug.analysis.cost import Cost, Prices
from synthaug.analysis.text.document import Block, Heading, Rows, Sentences
from synthaug.analysis.text.format import NONE, duration

HEADERS = ("arm", "runs", "training", "synthetic images", "generation", "price")
NOT_MEASURED = "not measured"


def document(costs: Sequence[Cost], prices: Prices | None = None) -> list[Block]:
    """Return the costs, to be printed or written as Markdown; nothing where there are none.

    Args:
        costs: of the arms, and of all of them.
        prices: that the costs were computed with.
    """
    if not costs:
        return []
    note = "Training is that of all seeds; arms share synthetic images, which the last row counts once."
    if prices and prices.hour is not None and any(cost.generation_seconds is None for cost in costs):
        note += " Without the seconds of generation there is no price of the hours."
    return [Heading("Cost"), Rows(HEADERS, [_cells(cost) for cost in costs]), Sentences(note)]


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        cost.name,
        f"{cost.runs}",
        duration(cost.training_seconds),
        f"{cost.generated:,}",
        NOT_MEASURED if cost.generation_seconds is None else duration(cost.generation_seconds),
        NONE if cost.money is None else f"{cost.money:,.2f}",
    )
