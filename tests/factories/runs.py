"""Plans and results of runs, made up for tests."""

from typing import Any

from synthaug.runs import layout
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun

KEY = RunKey("digits", "tiny_digits", "resnet18", "64", 3)


def result(key: RunKey = KEY, real: float = 0.4, synthetic: float = 0.6) -> dict[str, Any]:
    """Return what identifies a run in its `result.json`."""
    names = {"dataset": key.dataset, "generator": key.generator, "model": key.model, "arm": key.arm, "seed": key.seed}
    return {"format": layout.FORMAT, **names, "mix": {"real": real, "synthetic": synthetic}}


def planned(arm: str, seed: int, real: float = 1.0, synthetic: float = 0.0) -> PlannedRun:
    """Return a run of a plan."""
    return PlannedRun(RunKey("digits", "tiny_digits", "resnet18", arm, seed), real, synthetic)
