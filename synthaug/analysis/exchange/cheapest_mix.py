"""The cheapest mix of real and synthetic images that reaches a target, by the fitted law, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from synthaug.analysis.exchange.covariance import Floats
from synthaug.analysis.exchange.law import CONSTANT, SHAPES, Law, Problem
from synthaug.analysis.exchange.rate import Exchange

DRAWS = 200
SURE = 0.95  # probability of reaching the target that a cautious buyer asks for
STEPS = 40  # numbers of synthetic images that are tried, between none and the most measured
SHOWN = 8  # of them in the table
MOST_REAL = 1e9  # images beyond which a target counts as out of reach


@dataclass(frozen=True)
class ImagePrices:
    """Of a labelled photograph and of a machine hour, in one currency.

    Attributes:
        photo: price of a labelled photograph.
        hour: price of a machine hour.
        seconds_per_image: measured, of a synthetic image.
        held_out: photographs for validation and test, which every mix has to label as well.
    """

    photo: float
    hour: float
    seconds_per_image: float
    held_out: int = 0

    @property
    def synthetic(self) -> float:
        """Price of a synthetic image."""
        return self.hour * self.seconds_per_image / 3600

    def cost(self, n_real: float, n_synthetic: float) -> float:
        """Return the price of a training set and of the photographs that are held out.

        Args:
            n_real: labelled photographs to train on.
            n_synthetic: synthetic images.
        """
        return self.photo * (n_real + self.held_out) + self.synthetic * n_synthetic


@dataclass(frozen=True)
class Mix:
    """A training set. `likely`: to reach the target, on average over trainings; `measured`: within the grid of arms."""

    n_real: int
    n_synthetic: int
    cost: float
    likely: float
    measured: bool


@dataclass(frozen=True)
class Plan:
    """Advice for one target.

    `line` are mixes that reach the target just so, `cheapest` the one among all tried that costs least, `sure` the
    cheapest that reaches it with a probability of 95 %; None where no mix does. Where any mix within the measured
    amounts reaches the target, only those are advised. `cost_low` and `cost_high` enclose the cost of the cheapest
    mix, if the arms were measured anew, in 95 of 100 cases; None where the target may be out of reach.
    """

    accuracy: float
    prices: ImagePrices
    best_accuracy: float  # that the law gives for ever more images
    line: tuple[Mix, ...]
    cheapest: Mix | None
    sure: Mix | None
    cost_low: float | None
    cost_high: float | None
    most_real: int
    most_synthetic: int


def plan(exchange: Exchange, accuracy: float, prices: ImagePrices, draws: int = DRAWS, seed: int = 0) -> Plan:
    """Find the cheapest mix that reaches an accuracy.

    The uncertainty is that of a parametric bootstrap: the arms' errors are drawn anew around the law, with the
    covariance that seeds and test images give them, and the law is fitted to each draw (Efron, B., Tibshirani, R. J.
    (1993). An introduction to the bootstrap, chapter 6.5. Chapman and Hall).

    Args:
        exchange: with an exchange rate.
        accuracy: the target, a fraction.
        prices: of either kind of image.
        draws: of the bootstrap.
        seed: of its random numbers.

    Raises:
        ValueError: `exchange` is not identifiable.
    """
    if not exchange.identifiable:
        raise ValueError("a plan needs an exchange rate")
    law, laws = _laws(exchange, draws, seed)
    target = 1 - accuracy
    real = [point.arm.n_real for point in exchange.points]
    synthetic = [point.arm.n_synthetic for point in exchange.points]
    amounts = sorted({round(amount) for amount in np.linspace(0, max(synthetic), STEPS + 1)} | set(synthetic))
    needed = _needed([law, *laws], target, amounts, min(real))  # (laws, amounts)
    enough = np.quantile(needed[1:], SURE, axis=0, method="higher")
    costs = prices.photo * (needed + prices.held_out) + prices.synthetic * np.array(amounts)
    least = costs[1:].min(axis=1)
    low, high = np.quantile(least, [0.025, 0.975], method="higher")

    def mix(n_real: float, place: int) -> Mix | None:
        if not math.isfinite(n_real):
            return None
        whole, amount = math.ceil(n_real - 1e-6), amounts[place]
        likely = float(np.mean([drawn.error(whole, amount) <= target + 1e-12 for drawn in laws]))
        return Mix(whole, amount, prices.cost(whole, amount), likely, whole <= max(real))

    def cheapest(n_real: Floats) -> Mix | None:
        # What was measured comes first: a law is a guess beyond.
        inside = n_real <= max(real)
        cost = np.array([prices.cost(n, amount) for n, amount in zip(n_real, amounts, strict=True)])
        cost = np.where(inside, cost, np.inf) if inside.any() else cost
        return mix(float(n_real[cost.argmin()]), int(cost.argmin()))

    shown = np.unique(np.linspace(0, len(amounts) - 1, SHOWN).round().astype(int))
    line = [mix(float(needed[0, place]), int(place)) for place in shown]
    return Plan(
        accuracy,
        prices,
        1 - law.floor - max(min(law.shift, 0.0), -law.floor),
        tuple(item for item in line if item),
        cheapest(needed[0]),
        cheapest(enough),
        float(low) if math.isfinite(low) else None,
        float(high) if math.isfinite(high) else None,
        max(real),
        max(synthetic),
    )


def _laws(exchange: Exchange, draws: int, seed: int) -> tuple[Law, list[Law]]:
    """Return the form that fits best, and the laws of the same form that the arms might as well have shown."""
    form = next(item for item in exchange.forms if item.name == (exchange.better or CONSTANT.name))
    shape = next(shape for shape in SHAPES if shape.name == form.name)
    assert exchange.covariance is not None, "an exchange rate has one"
    real = np.array([point.arm.n_real for point in exchange.points], dtype=float)
    synthetic = np.array([point.arm.n_synthetic for point in exchange.points], dtype=float)
    centre = form.law.error(real, synthetic)
    # Where the arms lie further from the law than seeds and images explain, so does what it foretells.
    covariance = exchange.covariance * max(1.0, form.misfit / (len(real) - form.parameters))
    problem = Problem(real, synthetic, centre, covariance)
    random = np.random.default_rng(seed)
    drawn = random.multivariate_normal(centre, covariance, size=draws, method="cholesky")
    return form.law, [problem.with_error(error).profile(shape, unit=form.law.unit, finer=False).law for error in drawn]


def _needed(laws: Sequence[Law], target: float, amounts: Sequence[int], fewest: int) -> Floats:
    """Real images with which each law meets the target, by number of synthetic ones; infinite where none do."""
    return np.array([[_real_images(law, target, amount, fewest) for amount in amounts] for law in laws])


def _real_images(law: Law, target: float, n_synthetic: int, fewest: int) -> float:
    """At least `fewest`: what fewer real images than in any arm would do is not known."""
    if law.error(fewest, n_synthetic) <= target:
        return float(fewest)
    if law.shift == 0:
        if target <= law.floor or law.scale <= 0:
            return math.inf
        effective = law.size * ((target - law.floor) / law.scale) ** (-1 / law.exponent)
        real = effective - float(law.effective(0, n_synthetic))
        return real if real <= MOST_REAL else math.inf
    if law.error(MOST_REAL, n_synthetic) > target:
        return math.inf
    # From where the law begins to say something, in steps of orders of magnitude.
    return math.exp(
        scipy.optimize.brentq(
            lambda logarithm: min(float(law.error(math.exp(logarithm), n_synthetic)), 2.0) - target,
            math.log(fewest),
            math.log(MOST_REAL),
        )
    )
