"""How each arm was trained, and where and with what."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from synthaug.analysis.comparison.model import Arm, Comparison, Group
from synthaug.analysis.comparison.predictions import identity
from synthaug.analysis.findings import Findings
from synthaug.analysis.text import format
from synthaug.runs.discovery import Run

NO_SPREAD = "not measured"
HEADERS = (
    "epochs",
    "optimizer\nsteps",
    "batch\nsize",
    "checkpoint\nof epoch",
    "validation\nimages",
    "training\nseconds",
    "macro F1 %",
    "calibration\nerror %",
    "deviation over\nseeds, points",
)


def protocol(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """How each arm was trained: one row per arm, a range where its runs differ."""
    rows = []
    for arm in group.arms:
        own = (item for item in group.runs if item.compared and _is_of(item.run, arm))
        found = [item.run.result for item in own if item.run.result is not None]
        if found:
            rows.append((arm.name, _cells(arm, found)))
    return {"headers": HEADERS, "rows": rows} if rows else None


def _is_of(run: Run, arm: Arm) -> bool:
    return identity(run) == (arm.name, arm.real, arm.synthetic, arm.augment)


def _cells(arm: Arm, found: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """One row of the table, under `HEADERS`."""
    return (
        _range(item["training"]["epochs"] for item in found),
        _range(item["training"]["steps"] for item in found),
        _range(item["training"]["batch_size"] for item in found),
        _range(item["val"]["epoch"] + 1 for item in found),
        _range(item["counts"]["val"] for item in found),
        _range(round(item["training"]["seconds"]) for item in found),
        _hundredths(arm.macro_f1),
        _hundredths(arm.calibration_error),
        NO_SPREAD if arm.seed_deviation is None else _hundredths(arm.seed_deviation),
    )


def _hundredths(fraction: float | None) -> str:
    return format.NONE if fraction is None else f"{100 * fraction:.2f}"


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def provenance(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """What and where: every value that occurs in any run, so that a study from two machines shows."""
    found = [item.run.result for item in group.runs if item.compared and item.run.result is not None]
    if not found:
        return None
    facts: dict[str, dict[str, None]] = {}
    for item in found:
        for part in ("versions", "machine"):
            for name, value in item[part].items():
                facts.setdefault(name.replace("_", " "), {})[str(value)] = None
    digests = {
        f"{part} images (digest)": sorted({item["data"][name][:16] for item in found})
        for part, name in (("test", "test"), ("validation", "val"))
    }
    first = min(datetime.fromisoformat(item["started"]) for item in found)
    last = max(datetime.fromisoformat(item["finished"]) for item in found)
    dates = [f"{first:%Y-%m-%d %H:%M %Z} to {last:%Y-%m-%d %H:%M %Z}"]
    return {"facts": [("trained", dates), *digests.items(), *((name, list(values)) for name, values in facts.items())]}
