"""Power analysis of a study: before it is run, from stated assumptions, and after, from what it measured.

Differences, shares and deviations are fractions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.inference.sample_size import (
    bonett_price_power,
    fisher_corrected_power,
    fisher_images,
    fisher_power,
    mcnemar_power,
    paired_images,
    paired_power,
    smallest_difference,
    smallest_number,
    unpaired_images,
    unpaired_power,
)
from synthaug.analysis.inference.variance_components import VarianceComponents, estimate_components, interval_power

Key = TypeVar("Key", str, int)  # of an arm

POINT = 0.01
MOST_EXACT = 2000  # images up to which the power of Fisher's test is added up; beyond, a formula says nearly the same
MOST_SEEDS = 1000  # that are looked for
GRID_SEEDS = (1, 2, 3, 5, 10)
GRID_IMAGES = (1, 2, 4, 10, 30)  # times the test images
BONETT_PRICE = "Bonett-Price"  # what `intervals.paired_difference` does with one seed
PAIRED = {"McNemar": paired_power, "McNemar, exact": mcnemar_power, BONETT_PRICE: bonett_price_power}

# What is assumed where nothing was measured. The digits study with controls (1,500 images, 5 seeds) measured for its
# arms with synthetic images a seed deviation of 0 to 0.4 points, an image share of 0.04 to 0.11 and 0.3 repeated.
ACCURACY = 0.95
SEED_DEVIATION = 0.002
IMAGE_SHARE = 0.1
REPEATED = 0.3


@dataclass(frozen=True)
class Assumptions:
    """What a study is planned with.

    Attributes:
        accuracy: of the baseline.
        n: test images.
        seeds: of each arm.
        difference: that is looked for.
        discordant: shares of the test images that exactly one of two runs gets right, each of which is planned with;
            None stands for 1 - accuracy + difference: half of the images that the baseline gets wrong are got wrong
            by the arm as well.
        seed_deviation: standard deviation of a difference from seed to seed, had the test set no end.
        image_share: see `VarianceComponents`.
        repeated: see `VarianceComponents`.
    """

    accuracy: float
    n: int
    seeds: int = 1
    difference: float = POINT
    discordant: tuple[float | None, ...] = (None,)
    seed_deviation: float = SEED_DEVIATION
    image_share: float = IMAGE_SHARE
    repeated: float = REPEATED

    def discordant_at(self, share: float | None, difference: float) -> float:
        """Return the share of discordant images.

        Args:
            share: one of `discordant`.
            difference: of the arms, a fraction.
        """
        return min(1.0, 1 - self.accuracy + difference) if share is None else share

    def components_at(self, share: float | None, difference: float) -> VarianceComponents:
        """Return the variances of the difference.

        Args:
            share: one of `discordant`.
            difference: of the arms, a fraction.
        """
        seed = self.seed_deviation**2
        both = max(self.discordant_at(share, difference) - difference**2 - seed, 0.0)
        return VarianceComponents(seed, self.image_share * both, (1 - self.image_share) * both, self.repeated)


@dataclass(frozen=True)
class PowerOfTest:
    """What one test of one run per arm can show.

    Attributes:
        test: "z", "Fisher", "McNemar", "McNemar, exact" or "Bonett-Price".
        discordant: of the paired tests, as in `Assumptions`.
        smallest: difference that it finds; None: not even the largest that there could be.
        images: that the wished-for difference needs, each arm's own or the same for both; None: no number finds it.
    """

    test: str
    paired: bool
    discordant: float | None
    smallest: float | None
    images: int | None


@dataclass(frozen=True)
class SeedsPower:
    """What the interval over seeds and images can show.

    Attributes:
        discordant: as in `Assumptions`.
        smallest: difference that it finds; None: none.
        images: that the wished-for difference needs with these seeds; None: no number finds it.
        seeds: that it needs with these images; None: no number finds it.
        least_images: below which no number of seeds finds it; None: no number of images does either.
        least_seeds: below which no number of images finds it.
    """

    discordant: float | None
    smallest: float | None
    images: int | None
    seeds: int | None
    least_images: int | None
    least_seeds: int | None


@dataclass(frozen=True)
class Grid:
    """The smallest difference by test images (rows) and seeds (columns); None: none is found."""

    discordant: float | None
    images: tuple[int, ...]
    seeds: tuple[int, ...]
    smallest: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Power:
    """Everything that a plan was asked: two-sided at 5 %, with 80 % power."""

    assumed: Assumptions
    tests: tuple[PowerOfTest, ...]
    over_seeds: tuple[SeedsPower, ...]  # one for each share of discordant images; empty for one seed
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class ArmPower:
    """What a study can show of one arm, by what was measured.

    Attributes:
        n: test images.
        seeds: that the arm shares with the baseline.
        discordant: share of the images that exactly one of the arm and the baseline gets right, mean over seeds.
        variances: None for one seed, which tells nothing about others.
        margin_fraction: the smallest difference that matters.
        alpha: level of the test, which allows for the other arms and for looks.
        smallest: difference that it could have shown; None: none.
        images: that the margin needs with these seeds; None: no number is enough.
        more_seeds: that it needs with these images; None: no number is enough, or not known for one seed.
    """

    n: int
    seeds: int
    discordant: float
    variances: VarianceComponents | None
    margin_fraction: float
    alpha: float
    smallest: float | None
    images: int | None
    more_seeds: int | None

    @property
    def shows(self) -> bool:
        """Whether it could have shown a difference of the margin."""
        return self.smallest is not None and self.smallest <= self.margin_fraction


# --- before ------------------------------------------------------------------------------------------


def plan(assumed: Assumptions) -> Power:
    """Compute what a study can show by what is assumed of it."""
    tests = [paired(assumed, share, test) for share in assumed.discordant for test in PAIRED]
    over = [_over_seeds(assumed, share) for share in assumed.discordant if assumed.seeds > 1]
    return Power(
        assumed,
        (*unpaired(assumed.accuracy, assumed.n, assumed.difference), *tests),
        tuple(over),
        tuple(_grid(assumed, share) for share in assumed.discordant),
    )


@dataclass(frozen=True)
class Expected:
    """The smallest difference that the interval over seeds and images shows by what is assumed; None: none."""

    assumed: Assumptions
    smallest: float | None

    @property
    def shows(self) -> bool:
        """Whether that is enough for the difference that is looked for."""
        return self.smallest is not None and self.smallest <= self.assumed.difference


def expect(n: int, seeds: int, difference: float) -> Expected:
    """Compute what a study can be expected to show by its size alone.

    Args:
        n: test images.
        seeds: of each arm.
        difference: that is looked for, a fraction.
    """
    assumed = Assumptions(ACCURACY, n, seeds, difference)
    return Expected(assumed, smallest_over_seeds(assumed, None, n, seeds))


def unpaired(accuracy: float, n: int, difference: float) -> tuple[PowerOfTest, PowerOfTest]:
    """Compute what two classifiers show that are tested on n images each, not the same ones.

    Args:
        accuracy: of the better one, the baseline; of the worse one where there is no room below it.
        n: images of each.
        difference: that is looked for.
    """
    alternative = accuracy - difference if accuracy >= difference else accuracy + difference
    exact = fisher_power if n <= MOST_EXACT else fisher_corrected_power
    possible = 0 <= alternative <= 1
    return (
        PowerOfTest(
            "z",
            False,
            None,
            _below(accuracy, lambda worse: unpaired_power(accuracy, worse, n)),
            round(unpaired_images(accuracy, alternative)) if possible else None,
        ),
        PowerOfTest(
            "Fisher",
            False,
            None,
            _below(accuracy, lambda worse: exact(accuracy, worse, n)),
            round(fisher_images(accuracy, alternative)) if possible else None,
        ),
    )


def _below(accuracy: float, power_against: Callable[[float], float]) -> float | None:
    """Return the smallest difference from an accuracy that is found, below it or else above it."""
    down = smallest_difference(lambda size: power_against(max(0.0, accuracy - size)), accuracy)
    return down or smallest_difference(lambda size: power_against(min(1.0, accuracy + size)), 1 - accuracy)


def paired(assumed: Assumptions, share: float | None, test: str) -> PowerOfTest:
    """Compute what a test of two classifiers on the same images shows.

    Args:
        assumed: of the study; its number of seeds does not matter.
        share: of discordant images, as in `Assumptions.discordant`.
        test: a key of `PAIRED`.
    """
    wished, power_of = assumed.difference, PAIRED[test]

    def power_at(size: float, n: int) -> float:
        return power_of(max(size, assumed.discordant_at(share, size)), size, n)

    images = None
    if wished <= assumed.discordant_at(share, wished):
        images = (
            round(paired_images(assumed.discordant_at(share, wished), wished))
            if power_of is paired_power
            else smallest_number(lambda n: power_at(wished, n))
        )
    most = assumed.accuracy if share is None else share
    return PowerOfTest(test, True, share, smallest_difference(lambda size: power_at(size, assumed.n), most), images)


def _over_seeds(assumed: Assumptions, share: float | None) -> SeedsPower:
    wished, n, seeds = assumed.difference, assumed.n, assumed.seeds
    if wished > assumed.discordant_at(share, wished):
        return SeedsPower(share, smallest_over_seeds(assumed, share, n, seeds), None, None, None, None)
    variances = assumed.components_at(share, wished)
    return SeedsPower(
        share,
        smallest_over_seeds(assumed, share, n, seeds),
        images_needed(wished, seeds, variances),
        seeds_needed(wished, n, variances),
        images_needed(wished, MOST_SEEDS, variances),
        seeds_needed(wished, math.inf, variances),
    )


def smallest_over_seeds(assumed: Assumptions, share: float | None, n: int, seeds: int) -> float | None:
    """Return the smallest difference that the interval over images and seeds finds; None: none.

    Args:
        assumed: of the study.
        share: of discordant images, as in `Assumptions.discordant`.
        n: test images.
        seeds: of each arm.
    """
    most = assumed.accuracy if share is None else share
    return smallest_difference(
        lambda size: interval_power(size, seeds, n, assumed.components_at(share, size).at(size)), most
    )


def images_needed(difference: float, seeds: int, variances: VarianceComponents, alpha: float = ALPHA) -> int | None:
    """Return the test images with which the interval finds a difference; None: the seeds vary too much.

    Args:
        difference: a fraction.
        seeds: of each arm.
        variances: of the difference.
        alpha: level of the test.
    """
    return smallest_number(lambda n: interval_power(difference, seeds, n, variances, alpha))


def seeds_needed(difference: float, n: float, variances: VarianceComponents, alpha: float = ALPHA) -> int | None:
    """Return the seeds, from 2 on, with which the interval finds a difference; None: the images vary too much.

    Args:
        difference: a fraction.
        n: test images; may be infinite.
        variances: of the difference.
        alpha: level of the test.
    """
    return smallest_number(lambda seeds: interval_power(difference, seeds, n, variances, alpha), 2, MOST_SEEDS)


def _grid(assumed: Assumptions, share: float | None) -> Grid:
    images = tuple(assumed.n * times for times in GRID_IMAGES)
    seeds = tuple(sorted({*GRID_SEEDS, assumed.seeds}))
    smallest = tuple(tuple(smallest_over_seeds(assumed, share, n, count) for count in seeds) for n in images)
    return Grid(share, images, seeds, smallest)


# --- after ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupPower:
    """What a group of a study can show, arm by arm, and what another study like it could.

    Attributes:
        arms: those that share a seed with the baseline.
        again: a plan with what was measured, medians over these arms; None where there is none.
    """

    arms: Mapping[str, ArmPower]
    again: Power | None


def arm_powers(
    correct: Mapping[Key, Values],
    baseline: Values,
    margin_fraction: float,
    alpha: float = ALPHA,
    n: int | None = None,
) -> dict[Key, ArmPower]:
    """Compute what a study can show of each arm that shares a seed with the baseline.

    Args:
        correct: arm -> seed -> 1 for a correct prediction, per test image.
        baseline: the same of the baseline.
        margin_fraction: the smallest difference that matters, a fraction.
        alpha: level of each test, such as 5 % over the number of arms.
        n: test images that are not near duplicates of one another; all by default.
    """
    powers = {}
    for name, values in correct.items():
        if shared := sorted(set(values) & set(baseline)):
            differences = np.stack([values[seed] - baseline[seed] for seed in shared])
            powers[name] = arm_power(differences, margin_fraction, alpha, n)
    return powers


def arm_power(
    differences: NDArray[np.float64], margin_fraction: float, alpha: float = ALPHA, n: int | None = None
) -> ArmPower:
    """Compute what a study can show of one arm.

    Args:
        differences: (seeds, images), each -1, 0 or 1: correct predictions of the arm minus those of the baseline.
        margin_fraction: the smallest difference that matters, a fraction.
        alpha: level of the test.
        n: images that are not near duplicates of one another; all by default.
    """
    variances = estimate_components(differences, REPEATED)
    n, discordant = n or differences.shape[1], float(np.square(differences).mean())
    seeds = len(differences) if variances else 1
    used = variances or VarianceComponents(0.0, discordant - float(differences.mean()) ** 2, 0.0, REPEATED)
    at_margin = used.at(margin_fraction)
    return ArmPower(
        n,
        len(differences),
        discordant,
        variances,
        margin_fraction,
        alpha,
        smallest_difference(lambda size: interval_power(size, seeds, n, used.at(size), alpha), 1.0),
        images_needed(margin_fraction, seeds, at_margin, alpha),
        seeds_needed(margin_fraction, n, at_margin, alpha) if variances else None,
    )


def group_power(arms: Mapping[str, ArmPower], accuracy: float, margin_fraction: float) -> GroupPower:
    """Add to the arms' power a plan for another study with the same test images and seeds.

    Args:
        arms: by name; there may be none.
        accuracy: of the baseline.
        margin_fraction: the difference that the next study looks for, a fraction.
    """
    return GroupPower(arms, plan(_measured(list(arms.values()), accuracy, margin_fraction)) if arms else None)


def _measured(arms: Sequence[ArmPower], accuracy: float, margin_fraction: float) -> Assumptions:
    """Return the medians over the arms, as what the next study is planned with: one failed arm should not rule it."""
    discordant = float(np.median([arm.discordant for arm in arms]))
    share = discordant if discordant >= margin_fraction else None
    start = Assumptions(accuracy, arms[0].n, max(arm.seeds for arm in arms), margin_fraction, (share,))
    estimated = [arm.variances for arm in arms if arm.variances]
    if not estimated:
        return start
    image, rest = (float(np.median([getattr(item, name) for item in estimated])) for name in ("image", "rest"))
    return replace(
        start,
        seed_deviation=math.sqrt(np.median([item.seed for item in estimated])),
        image_share=image / (image + rest) if image + rest else IMAGE_SHARE,
        repeated=float(np.median([item.repeated for item in estimated])),
    )
