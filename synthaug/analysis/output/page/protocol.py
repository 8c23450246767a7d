"""How each arm was trained, and where and with what."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.output.page.content import Content


def protocol(content: Content) -> Mapping[str, Any] | None:
    """Return how each arm was trained, by its name: (smallest, largest) value over its runs."""
    rows = {}
    for arm in content.group.arms:
        results = _results(content.group, arm.name)
        if results:
            rows[arm.name] = (arm, _ranges(results))
    return {"rows": rows} if rows else None


def _results(group: Group, arm: str | None = None) -> list[Mapping[str, Any]]:
    """Return the results of the compared runs, of all arms or of one."""
    runs = [item.run for item in group.runs if item.compared and arm in (None, item.run.arm)]
    return [run.result for run in runs if run.result is not None]


def _ranges(results: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Return epochs, steps, batch size, epoch of the checkpoint, images that chose it and seconds of training."""

    def span(values: Iterable[float]) -> tuple[int, int]:
        numbers = [round(value) for value in values]
        return min(numbers), max(numbers)

    return [
        span(result["training"]["epochs"] for result in results),
        span(result["training"]["steps"] for result in results),
        span(result["training"]["batch_size"] for result in results),
        span(result["val"]["epoch"] + 1 for result in results),
        span(result["val"]["n_selection"] for result in results),
        span(result["training"]["seconds"] for result in results),
    ]


def provenance(content: Content) -> Mapping[str, Any] | None:
    """Return what trained the arms and where: each value that occurs in any run, so that two machines show."""
    results = _results(content.group)
    if not results:
        return None
    values: dict[str, dict[str, None]] = {}
    for result in results:
        for part in ("versions", "machine"):
            for name, value in result[part].items():
                values.setdefault(name.replace("_", " "), {})[str(value)] = None
    return {
        "first": min(datetime.fromisoformat(result["started"]) for result in results),
        "last": max(datetime.fromisoformat(result["finished"]) for result in results),
        "digests": {name: sorted({result["data"][name][:16] for result in results}) for name in ("test", "val")},
        "values": values,
    }
