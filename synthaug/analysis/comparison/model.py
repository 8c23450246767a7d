"""What a study says, as plain data: its arms, its runs, what may be compared with what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import Values, right
from synthaug.analysis.inference.intervals import Difference, Estimate
from synthaug.analysis.inference.power_analysis import ArmPower
from synthaug.analysis.inference.shared_seeds import SharedSeedVariance
from synthaug.runs.discovery import Run
from synthaug.runs.identity import REPLICATE, SHOTS, has_synthetic, image_numbers, is_of_mix

NOT_COMPARABLE = "not comparable"
ESTABLISHED, REJECTED, INCONCLUSIVE = "established", "rejected", "inconclusive"  # of non-inferiority


@dataclass(frozen=True)
class Reason:
    """Why something is not in the numbers; its sentence is in a template of `text/templates`, by its code.

    Attributes:
        code: such as "other_test_set".
        data: what the sentence says, as JSON has it.
    """

    code: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassResult:
    """One class of one arm. `accuracy` is the share of this class's test images that are recognised."""

    name: str
    n_test: int
    accuracy: Estimate | None  # None: no test image of this class
    difference: Difference | None = None  # from the baseline; None: there is none, or it is the arm itself
    gain: Difference | None = None  # from the control


@dataclass(frozen=True)
class NonInferiority:
    """Whether an arm is worse than the baseline by less than the margin: a question of its own (non-inferiority).

    `verdict` is "established", "rejected" (worse by more than the margin) or "inconclusive"; `p_value` is one-sided,
    `adjusted_p` after correction for arms and looks, and "established" means that this is at most 2.5 %.
    """

    verdict: str
    p_value: float
    adjusted_p: float


@dataclass(frozen=True)
class Arm:
    """One configuration and what its finished, comparable runs give; None where there is no such run.

    `settings` are those that its runs share, by dotted key. `reference` is the arm that it is compared with: the real
    arm with the same settings but for the images, else the baseline.
    """

    name: str
    real: float
    synthetic: float
    baseline: bool
    runs_planned: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    reference: str | None = None
    seeds: tuple[int, ...] = ()
    n_real: int | None = None
    n_synthetic: int | None = None
    n_selection: int | None = None  # real images that chose the epoch of a run; 0: it is the last
    accuracy: Estimate | None = None
    seed_deviation: float | None = None
    macro_f1: float | None = None
    calibration_error: float | None = None
    difference: Difference | None = None  # from the reference
    difference_seeds: tuple[int, ...] = ()
    macro_f1_difference: Difference | None = None
    non_inferiority: NonInferiority | None = None
    control: str | None = None  # the arm with the same real images and no synthetic one
    loss: Difference | None = None  # control minus baseline: what losing real images costs
    gain: Difference | None = None  # arm minus control: what synthetic images give back
    borrowed: Difference | None = None  # `difference` if all arms' seeds vary alike; None where that is not so
    power: ArmPower | None = None  # what difference from the baseline it could have shown
    steps: int | None = None
    epochs: int | None = None
    passes: float | None = None  # how often each training image was seen, on average
    same_synthetic_images: bool = True  # whether all seeds have the same synthetic images
    classes: tuple[ClassResult, ...] = ()
    augment: str = ""  # what the arm varies in otherwise than the others, in words
    confusion: NDArray[np.float64] | None = None  # (true, predicted) counts, mean over seeds

    @cached_property
    def training(self) -> Mapping[str, Any]:
        """How it is trained: its settings but for those that say on which images."""
        return {key: value for key, value in self.settings.items() if not is_of_mix(key)}

    @cached_property
    def synthetic_settings(self) -> Mapping[str, Any]:
        """How its synthetic images are made; empty where it has none."""
        names = ("generator.", "prompts.")
        return {key: value for key, value in self.settings.items() if key.startswith(names)}

    @property
    def redrawn(self) -> str:
        """What its seeds draw anew, a level of `replicate`."""
        return str(self.settings.get(REPLICATE, "images"))

    @property
    def generator(self) -> str | None:
        """Name of the generator of its synthetic images; None where it has none."""
        name = self.settings.get("generator.name")
        return None if name is None else str(name)

    @property
    def model(self) -> str | None:
        """Name of its model."""
        name = self.settings.get("model.name")
        return None if name is None else str(name)

    @property
    def has_synthetic(self) -> bool:
        """Whether it has synthetic images."""
        return self.synthetic > 0 or has_synthetic(self.settings)

    @property
    def shots(self) -> int | None:
        """Real images of each class, where its mix says so in the place of `real`."""
        return self.settings.get(SHOTS)

    @property
    def is_filled(self) -> bool:
        """Whether its synthetic images fill classes, so that `synthetic` is not a measure of them."""
        return self.has_synthetic and self.synthetic == 0

    @property
    def is_in_numbers(self) -> bool:
        """Whether its mix is said in numbers of images, so that `real` and `synthetic` do not measure it."""
        return bool(image_numbers(self.settings))

    @property
    def synthetic_fraction(self) -> float:
        """Share of the training images that is synthetic."""
        if self.is_in_numbers:
            images = (self.n_real or 0) + (self.n_synthetic or 0)
            return (self.n_synthetic or 0) / images if images else 0.0
        total = self.real + self.synthetic
        return self.synthetic / total if total else 0.0

    @property
    def differs_in_share_alone(self) -> bool:
        """Whether it has as many images as the baseline, and no augmentation of its own."""
        return abs(self.real + self.synthetic - 1) < 1e-9 and not self.augment and not self.is_in_numbers


@dataclass(frozen=True)
class PairComparison:
    """Two arms that a study names, compared.

    `difference` is first minus second; None until both have a finished run. The p values of planned comparisons are
    corrected together; an exploratory one was asked for once both arms had results, and has none but its own.
    """

    first: str
    second: str
    exploratory: bool
    difference: Difference | None = None


@dataclass(frozen=True)
class ShareTrend:
    """How accuracy moves with the synthetic share, among arms as large as the baseline, which is not one of them.

    `slope` is per 10 points of synthetic share, a line through the means of `arms`.
    """

    slope: Difference
    arms: tuple[str, ...]


@dataclass(frozen=True)
class ComparedRun:
    """A run, its state (those of `Run`, or "not comparable") and, unless it is in the table, why not."""

    run: Run
    state: str
    reason: Reason | None = None
    accuracy: float | None = None

    @property
    def compared(self) -> bool:
        """Whether the run counts in the table."""
        return self.state == "finished"


@dataclass(frozen=True)
class Group:
    """What may be compared: the arms of one dataset, with one test set and one list of classes.

    `predicted` has the class numbers that each run predicted, by arm and seed, in the order of `labels` and `paths`;
    `clusters` has one number per test image, which near duplicates share, in the same order; `folds` the fold in which
    each is tested, and is None where all runs have the same test images;
    `confidence` has the probability of each, and is empty unless a run has shift sets, which alone need it. `margin` is
    the smallest difference that matters, in percentage points. `looks` are the numbers of seeds at which conclusions
    were drawn, this time included. `pairs` are the comparisons that the study names.
    `seed_variance` is what the arms' seeds vary by together; None with one seed or fewer than three arms.
    """

    dataset: str
    test_digest: str | None
    n_test: int
    class_names: tuple[str, ...]
    arms: tuple[Arm, ...]
    runs: tuple[ComparedRun, ...]
    margin: float
    looks: tuple[int, ...] = ()
    trend: ShareTrend | None = None
    pairs: tuple[PairComparison, ...] = ()
    seed_variance: SharedSeedVariance | None = None
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    clusters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    folds: NDArray[np.int64] | None = None
    paths: tuple[str, ...] = ()
    predicted: Mapping[str, Mapping[int, NDArray[np.int64]]] = field(default_factory=dict)
    confidence: Mapping[str, Values] = field(default_factory=dict)

    @property
    def n_folds(self) -> int | None:
        """The number of folds; None where all runs have the same test images."""
        return None if self.folds is None else max((run.run.folds or 0 for run in self.runs), default=0)

    @property
    def margin_fraction(self) -> float:
        """`margin` as a fraction, as all other differences are."""
        return self.margin / 100

    @cached_property
    def correct(self) -> Mapping[str, Values]:
        """By arm and seed: 1 for each test image that is predicted correctly, 0 for each other one."""
        return {arm: right(runs, self.labels) for arm, runs in self.predicted.items()}

    @property
    def baseline(self) -> Arm | None:
        """The arm that the others are compared with."""
        return next((arm for arm in self.arms if arm.baseline and arm.accuracy), None)

    @property
    def generators(self) -> tuple[str, ...]:
        """Names of the generators of its arms' synthetic images."""
        return tuple(sorted({arm.generator for arm in self.arms if arm.generator}))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of its arms' models."""
        return tuple(sorted({arm.model for arm in self.arms if arm.model}))

    @property
    def one_question(self) -> "Group":
        """The group with the arms of `arms_of_one_question` alone."""
        kept = arms_of_one_question(self.arms)
        return self if len(kept) == len(self.arms) else replace(self, arms=kept)

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of optimizer steps that its arms took, the smallest first; one where training was as long."""
        return tuple(sorted({arm.steps for arm in self.arms if arm.steps is not None}))

    @property
    def treatment_arms(self) -> tuple[Arm, ...]:
        """The arms that are compared with the baseline for their own sake: no controls, which serve another arm."""
        controls = controls_of(self.arms)
        return tuple(arm for arm in self.arms if arm.difference is not None and arm.name not in controls)

    @property
    def tested_arms(self) -> tuple[Arm, ...]:
        """Those of `treatment_arms` with a p value, on which there may be a verdict: none with one seed per arm."""
        return tuple(arm for arm in self.treatment_arms if arm.difference and arm.difference.p_value is not None)

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


def arms_of_one_question(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """Return the arms that differ from the baseline in their images alone, the synthetic ones made in one way.

    Of several ways, that of most arms. All arms where there is no baseline.
    """
    arms = tuple(arms)
    baseline = next((arm for arm in arms if arm.baseline), None)
    if baseline is None:
        return arms
    replicates = [arm.settings.get(REPLICATE) for arm in arms]
    usual = max(replicates, key=replicates.count)
    alike = [arm for arm in arms if arm.training == baseline.training and arm.settings.get(REPLICATE) == usual]
    ways = [arm.synthetic_settings for arm in alike if arm.has_synthetic]
    most = max(ways, key=ways.count, default=None)
    return tuple(arm for arm in alike if not arm.has_synthetic or arm.synthetic_settings == most)


def controls_of(arms: Sequence[Arm]) -> set[str]:
    """Names of the arms that only serve others, without synthetic images and with fewer real ones than the baseline.

    Those of as many real images as another arm are its control; beside these, any further one that is trained alike is
    a point of the learning curve that equivalent numbers are read off.
    """
    served = [arm for arm in arms if arm.control is not None and arm.loss is not None]
    trainings = [arm.training for arm in served]
    alone = (arm for arm in arms if 0 < arm.real < 1 and not (arm.synthetic or arm.n_synthetic or arm.augment))
    return {str(arm.control) for arm in served} | {arm.name for arm in alone if arm.training in trainings}


def spaced(seeds: Iterable[int]) -> str:
    """Seeds as rows and sentences have them: "0 1 2"."""
    return " ".join(map(str, seeds))
