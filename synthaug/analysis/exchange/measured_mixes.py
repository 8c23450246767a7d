"""The cheapest training set that reaches an accuracy among those that were trained, and the real images alone that do.

Nothing is assumed of synthetic images: an arm reaches an accuracy or not, by its measured error. How many real images
alone reach it is read off their learning curve, as the equivalent numbers are.
"""

import math
from dataclasses import dataclass

from synthaug.analysis.exchange.cheapest_mix import SURE, ImagePrices
from synthaug.analysis.exchange.equivalent import Equivalent, EquivalentSizes
from synthaug.analysis.exchange.rate import Amounts

EVEN = 0.5  # probability of reaching the accuracy from which on an arm counts as doing so


@dataclass(frozen=True)
class MeasuredMix:
    """A training set, its cost, and the probability that it reaches the accuracy, on average over trainings.

    Attributes:
        arm: its images; of real images alone, as many as the curve asks for have no name.
        cost: of the images.
        likely: the probability.
        equivalent: real images alone that do as well; None for an arm without synthetic images.
    """

    arm: Amounts
    cost: float
    likely: float
    equivalent: Equivalent | None = None


@dataclass(frozen=True)
class MeasuredPlan:
    """Advice for one accuracy from arms that were trained.

    Attributes:
        accuracy: the target, a fraction.
        prices: of images.
        needed: the real images alone that reach it: a number with its interval, each None beyond the amounts measured.
        mixes: every arm, the cheapest first.
        cheapest: the one that costs least among the arms that reach it and `needed`; None where none does.
        sure: the same with a probability of 95 %.
    """

    accuracy: float
    prices: ImagePrices
    needed: Equivalent
    mixes: tuple[MeasuredMix, ...]
    cheapest: MeasuredMix | None
    sure: MeasuredMix | None


def measured_plan(sizes: EquivalentSizes, accuracy: float, prices: ImagePrices) -> MeasuredPlan:
    """Find the cheapest training set that reaches an accuracy among the arms and real images alone.

    Args:
        sizes: with at least one arm that has an equivalent number.
        accuracy: the target, a fraction.
        prices: of either kind of image.

    Raises:
        ValueError: no arm has an equivalent number.
    """
    curve = sizes.curve
    if curve is None or not sizes.estimated:
        raise ValueError("a plan of measured arms needs equivalent numbers of real images")
    target = 1 - accuracy

    def mix(arm: Amounts, likely: float, equivalent: Equivalent | None = None) -> MeasuredMix:
        return MeasuredMix(arm, prices.cost(arm.n_real, arm.n_synthetic), likely, equivalent)

    measured = [
        *(mix(point.arm, curve.probability(point.error, point.standard_error, target)) for point in sizes.real),
        *(mix(item.arm, curve.probability(item.error, item.standard_error, target), item) for item in sizes.arms),
    ]
    needed = curve.needed(target, sizes.confidence)
    surely = curve.needed(target, 2 * SURE - 1)  # its upper end alone: 95 % on one side
    alone = [
        mix(Amounts("", math.ceil(number), 0), likely)
        for number, likely in ((needed.number, EVEN), (surely.high, SURE))
        if number is not None
    ]

    def cheapest(least: float) -> MeasuredMix | None:
        reaching = [item for item in (*measured, *alone) if item.likely >= least]
        return min(reaching, key=lambda item: (item.cost, -item.likely), default=None)

    by_cost = sorted(measured, key=lambda item: (item.cost, item.arm.name))
    return MeasuredPlan(accuracy, prices, needed, tuple(by_cost), cheapest(EVEN), cheapest(SURE))
