"""Plans and results of runs, made up for tests."""

from typing import Any

from synthaug.runs import layout
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun

KEY = RunKey("digits", "64", 3)


def result(key: RunKey = KEY, real: float = 0.4, synthetic: float = 0.6) -> dict[str, Any]:
    """Return what identifies a run in its `result.json`."""
    names = {"dataset": key.dataset, "arm": key.arm, "seed": key.seed}
    settings = {"seed": key.seed, "mix": {"name": key.arm, "real": real, "synthetic": synthetic}}
    return {"format": layout.FORMAT, **names, "settings": settings}


def planned(arm: str, seed: int, real: float = 1.0, synthetic: float = 0.0) -> PlannedRun:
    """Return a run of a plan."""
    settings = {"mix.name": arm, "mix.real": real, "mix.synthetic": synthetic}
    return PlannedRun(RunKey("digits", arm, seed), settings)
