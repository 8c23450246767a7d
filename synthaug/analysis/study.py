"""What a study says, as plain data: its arms, its runs, what may be compared with what."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.statistics import Estimate
from synthaug.results import Run

NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class ClassResult:
    """One class of one arm. `accuracy` is the share of this class's test images that are recognised."""

    name: str
    n_test: int
    accuracy: Estimate | None  # None: no test image of this class
    difference: Estimate | None  # None: no baseline, or the baseline itself


@dataclass(frozen=True)
class Arm:
    """One training set and what its finished, comparable runs give; None where there is no such run."""

    name: str
    real: float
    synthetic: float
    baseline: bool
    runs_planned: int
    seeds: tuple[int, ...] = ()
    n_real: int | None = None
    n_synthetic: int | None = None
    accuracy: Estimate | None = None
    seed_deviation: float | None = None
    macro_f1: float | None = None
    calibration_error: float | None = None
    difference: Estimate | None = None
    difference_seeds: tuple[int, ...] = ()
    steps: int | None = None
    epochs: int | None = None
    one_draw: bool = True  # whether all seeds have the same synthetic images
    classes: tuple[ClassResult, ...] = ()
    augment: str = ""  # what the arm varies in otherwise than the others, in words
    confusion: NDArray[np.float64] | None = None  # (true, predicted) counts, mean over seeds

    @property
    def synthetic_fraction(self) -> float:
        """Share of the training images that is synthetic."""
        total = self.real + self.synthetic
        return self.synthetic / total if total else 0.0


@dataclass(frozen=True)
class ComparedRun:
    """A run, its state (those of `Run`, or "not comparable") and, unless it is in the table, why not."""

    run: Run
    state: str
    reason: str = ""
    accuracy: float | None = None

    @property
    def compared(self) -> bool:
        """Whether the run counts in the table."""
        return self.state == "finished"


@dataclass(frozen=True)
class Group:
    """What may be compared: one dataset, generator and model, one test set, one list of classes."""

    dataset: str
    generator: str
    model: str
    test_digest: str | None
    n_test: int
    class_names: tuple[str, ...]
    arms: tuple[Arm, ...]
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> Arm | None:
        """The arm that the others are compared with."""
        return next((arm for arm in self.arms if arm.baseline and arm.accuracy), None)

    @property
    def left_out(self) -> list[ComparedRun]:
        """Runs that are not in the table."""
        return [run for run in self.runs if not run.compared]


@dataclass(frozen=True)
class Comparison:
    """A study: its groups, each a table of its own."""

    study: str
    folder: Path
    groups: tuple[Group, ...]

    @property
    def complete(self) -> bool:
        """Whether every planned run is finished and in a table."""
        return not any(group.left_out for group in self.groups)


def spaced(seeds: Iterable[int]) -> str:
    """Seeds as rows and sentences have them: "0 1 2"."""
    return " ".join(map(str, seeds))
