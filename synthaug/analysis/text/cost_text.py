"""The costs of a study as a table."""

from collections.abc import Mapping, Sequence

from synthaug.analysis.cost import Cost
from synthaug.analysis.text.document import Block, Heading, Rows, Sentences
from synthaug.analysis.text.format import NONE, duration

HEADERS = ("arm", "runs", "training", "synthetic images", "generation", "price")


def document(costs: Sequence[Cost], labels: Mapping[str, str] | None = None) -> list[Block]:
    """Render the costs of the arms and of all of them; nothing where there are none.

    Args:
        costs: of each arm, and of all.
        labels: what arms are called, where not by their names.
    """
    rows = [
        (
            (labels or {}).get(cost.name, cost.name),
            f"{cost.runs}",
            duration(cost.training_seconds),
            f"{cost.generated:,}",
            "not measured" if cost.generation_seconds is None else duration(cost.generation_seconds),
            NONE if cost.money is None else f"{cost.money:,.2f}",
        )
        for cost in costs
    ]
    note = "Training is that of all seeds; arms share synthetic images, which the last row counts once."
    return [Heading("Cost"), Rows(HEADERS, rows), Sentences(note)] if costs else []
