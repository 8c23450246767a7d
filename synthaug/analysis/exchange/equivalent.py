"""The equivalent number of real images: so many real images alone do as well as an arm with synthetic ones.

It is read off the learning curve of the arms without synthetic images, to which the law of `law` is fitted; every arm
with synthetic images has a number of its own. Nothing is assumed about how the worth of synthetic images changes with
their number or with that of the real ones beside them, which an exchange rate has to.

The interval is that of all numbers at which the arm and the curve together fit nearly as well as at the best one, by F
(inverse regression by the likelihood: Brown, P. J. (1993). Measurement, regression, and calibration, chapter 2. Oxford
University Press). It holds no number beyond the arms without synthetic images: where it would, that end is open.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Arm, Group, Reason
from synthaug.analysis.exchange.covariance import Floats, Variation, errors, variation
from synthaug.analysis.exchange.law import EXPONENTS, WORTHLESS, Law, Problem, smoothed, two_non_negative
from synthaug.analysis.exchange.rate import ALL_RIGHT, FEW_REAL, FLAT, IN_FOLDS, NO_SYNTHETIC, Amounts, Point
from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.inference.intervals import CONFIDENCE
from synthaug.runs.learning_curve import FEWEST_AMOUNTS, FEWEST_SEEDS, between, is_too_wide

CURVE_PARAMETERS = 3
EXACT = 1e-4  # variance of an error that is known, in units of the least of those measured
REWEIGHTINGS = 3
NUMBERS = 160  # that are tried within the amounts measured
BEYOND = 40  # that are tried on either side, to know whether the best one lies there
FAR = 100.0  # times the largest amount, or the smallest divided by it

# Why an arm has no equivalent number beside the reasons of `rate`; the sentences are in `exchange.md.j2`.
FEW_SEEDS, WIDE_STEP, NO_LIMITS, UNEQUAL_STEPS = "few_seeds", "wide_step", "no_limits", "unequal_steps"
WITHIN, AT_LEAST, AT_MOST = "within", "at least", "at most"


@dataclass(frozen=True)
class Equivalent:
    """An arm with synthetic images and the number of real images alone that do as well.

    Attributes:
        arm: its training images.
        error: measured, a fraction.
        standard_error: of `error`.
        number: the best estimate; None where it lies beyond the amounts of real images alone.
        low: end of the 95 % interval; None: below the smallest amount.
        high: the other end; None: above the largest amount.
        reasons: why there is no interval; empty where there is one.
    """

    arm: Amounts
    error: float
    standard_error: float
    number: float | None = None
    low: float | None = None
    high: float | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def bound(self) -> str | None:
        """Return which ends of the interval lie within the amounts: "within" is both; None: there is no interval."""
        if self.low is None and self.high is None:
            return None
        return WITHIN if self.low is not None and self.high is not None else AT_LEAST if self.high is None else AT_MOST

    @property
    def share(self) -> float:
        """Return the synthetic share of the training images."""
        return self.arm.n_synthetic / (self.arm.n_real + self.arm.n_synthetic)

    def worth(self, number: float | None) -> float | None:
        """Return what each synthetic image of this arm was worth on average, in real ones: its local rate.

        Args:
            number: of real images alone that do as well: `number`, `low` or `high`.
        """
        return None if number is None else (number - self.arm.n_real) / self.arm.n_synthetic


@dataclass(frozen=True)
class EquivalentSizes:
    """The equivalent numbers of a block of arms that differ in their amounts of images alone.

    Attributes:
        real: the arms without synthetic images, the smallest first, with what the curve says.
        arms: those with synthetic images.
        reasons: why no arm has an equivalent number.
        law: of the curve.
        agreement: p value of the curve against the errors of `real`.
        confidence: of the intervals.
        curve: to read further errors off; None where there is none.
    """

    real: tuple[Point, ...] = ()
    arms: tuple[Equivalent, ...] = ()
    reasons: tuple[Reason, ...] = ()
    law: Law | None = None
    agreement: float | None = None
    confidence: float = CONFIDENCE
    curve: "RealCurve | None" = field(default=None, compare=False, repr=False)

    @property
    def estimated(self) -> tuple[Equivalent, ...]:
        """The arms that have an interval."""
        return tuple(item for item in self.arms if item.bound is not None)


def equivalent_sizes(
    arms: Sequence[Amounts],
    correct: Sequence[Values],
    clusters: NDArray[np.int64] | None = None,
    confidence: float = CONFIDENCE,
) -> EquivalentSizes:
    """Estimate for each arm with synthetic images how many real images alone do as well.

    Args:
        arms: their amounts of training images; all else is equal among them.
        correct: for each arm, seed → right or wrong for each test image, the same images in all of them.
        clusters: of near duplicates among the test images, see `intervals.cluster_means`.
        confidence: of all intervals.
    """
    order = sorted(range(len(arms)), key=lambda i: (arms[i].n_real, arms[i].n_synthetic, arms[i].name))
    real = [i for i in order if arms[i].n_synthetic == 0 and len(correct[i]) >= FEWEST_SEEDS]
    mixed = [i for i in order if arms[i].n_synthetic > 0]
    reasons = _design_reasons(arms, real, mixed)
    if reasons or not mixed:
        return EquivalentSizes(reasons=reasons, confidence=confidence)
    used = [*real, *mixed]
    answers = [correct[i] for i in used]
    error, how = errors(answers), variation(answers, clusters)
    if error[: len(real)].max() == 0:
        return EquivalentSizes(reasons=(Reason(ALL_RIGHT),), confidence=confidence)
    curve = RealCurve([arms[i] for i in real], error, how, confidence)
    estimates = tuple(curve.read_off(arms[i], row, len(correct[i])) for row, i in enumerate(mixed, start=len(real)))
    flat = all(NO_LIMITS in [reason.code for reason in item.reasons] for item in estimates)
    return EquivalentSizes(
        curve.points(), estimates, (Reason(FLAT),) if flat else (), curve.law, curve.agreement, confidence, curve
    )


class RealCurve:
    """The arms without synthetic images, and how the errors of all arms vary together.

    Args:
        real: those arms, of ascending amounts.
        error: measured, of them and then of the others.
        how: the variation of the errors, in the same order.
        confidence: of intervals.
    """

    def __init__(self, real: Sequence[Amounts], error: Floats, how: Variation, confidence: float) -> None:
        self._real, self._error = real, error
        self._amounts = np.array([arm.n_real for arm in real], dtype=float)
        n, fitted = len(real), error.copy()
        for _ in range(REWEIGHTINGS):  # until the weights are those of the curve; the other arms have none
            self._covariance = how.covariance(fitted)
            problem = Problem(self._amounts, np.zeros(n), error[:n], self._covariance[:n, :n])
            profile = problem.profile(WORTHLESS)
            fitted[:n] = profile.law.error(self._amounts, 0)
        self.law, rest = profile.law, n - CURVE_PARAMETERS
        self.agreement = float(scipy.special.chdtrc(rest, profile.least))
        # Degrees of freedom as for the exchange rate; benchmarks/equivalent.py has the coverage.
        self._degrees = max(rest, how.seed_degrees // 2)
        self._inflation = max(1.0, profile.least / rest)
        self._confidence = confidence

    def points(self) -> tuple[Point, ...]:
        """Return the arms with their measured errors and those of the curve."""
        columns = zip(self._real, self._error, np.sqrt(np.diag(self._covariance)), strict=False)
        return tuple(
            Point(arm, float(error), float(deviation), float(self.law.error(arm.n_real, 0)))
            for arm, error, deviation in columns
        )

    def read_off(self, arm: Amounts, row: int, n_seeds: int) -> Equivalent:
        """Return the number of real images alone that do as well as an arm.

        Args:
            arm: with synthetic images.
            row: its place among the errors.
            n_seeds: that it has.
        """
        error, deviation = float(self._error[row]), float(np.sqrt(self._covariance[row, row]))
        if n_seeds < FEWEST_SEEDS:
            few = Reason(FEW_SEEDS, {"number": n_seeds, "needed": FEWEST_SEEDS})
            return Equivalent(arm, error, deviation, reasons=(few,))
        used = [*range(len(self._real)), row]
        number, low, high = self._interval(error, self._covariance[np.ix_(used, used)], self._confidence)
        if low is None and high is None:
            return Equivalent(arm, error, deviation, reasons=(Reason(NO_LIMITS),))
        if reason := _wide_step(self._amounts, [end for end in (low, high) if end is not None]):
            return Equivalent(arm, error, deviation, reasons=(reason,))
        return Equivalent(arm, error, deviation, number, low, high)

    def needed(self, error: float, confidence: float) -> Equivalent:
        """Return the number of real images alone that have an error.

        Args:
            error: a fraction, known exactly.
            confidence: of the interval.
        """
        n = len(self._real)
        covariance = np.zeros((n + 1, n + 1))
        covariance[:n, :n] = self._covariance[:n, :n]
        covariance[n, n] = EXACT * np.diag(self._covariance).min()
        return Equivalent(Amounts("", 0, 0), error, 0.0, *self._interval(error, covariance, confidence))

    def probability(self, error: float, standard_error: float, target: float) -> float:
        """Return the probability that the expected error of an arm is at most a target.

        Args:
            error: measured.
            standard_error: of `error`.
            target: a fraction.
        """
        return float(scipy.special.stdtr(self._degrees, (target - error) / standard_error))

    def _interval(
        self, error: float, covariance: Floats, confidence: float
    ) -> tuple[float | None, float | None, float | None]:
        """Return the best number and the ends of the interval; None for what lies beyond the amounts measured.

        Args:
            error: that as many real images alone have.
            covariance: of the errors of the curve's arms and, last, of `error`.
            confidence: of the interval.
        """
        rise = float(scipy.special.fdtri(1, self._degrees, confidence)) * self._inflation
        first, last = float(self._amounts[0]), float(self._amounts[-1])
        numbers = np.geomspace(first, last, NUMBERS)
        below, above = np.geomspace(first / FAR, first, BEYOND)[:-1], np.geomspace(last, last * FAR, BEYOND)[1:]
        misfit = self._misfit(np.concatenate([below, numbers, above]), error, covariance)
        best, inside = int(misfit.argmin()) - len(below), misfit[len(below) : len(below) + NUMBERS]
        excess = inside - misfit.min() - rise
        within = np.flatnonzero(excess <= 0)
        if not len(within):
            return (None, None, first) if best < 0 else (None, last, None)
        left, right = int(within[0]), int(within[-1])
        low = None if left == 0 else _crossing(numbers, excess, left - 1)
        high = None if right == NUMBERS - 1 else _crossing(numbers, excess, right)
        return (float(numbers[best]) if 0 <= best < NUMBERS else None), low, high

    def _misfit(self, numbers: Floats, error: float, covariance: Floats) -> Floats:
        """Chi-squared of the curve through all of its arms and, at each number of real images, an error."""
        whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
        measured = np.append(self._error[: len(self._real)], error)
        logs = np.log(np.column_stack([np.tile(self._amounts, (len(numbers), 1)), numbers]) / self.law.size)
        curve = np.exp(-EXPONENTS[:, None] * logs[:, None, :]) @ whiten  # (numbers, exponents, arms)
        return smoothed(two_non_negative(np.ones(len(covariance)) @ whiten, curve, measured @ whiten)[2])


def _crossing(numbers: Floats, excess: Floats, left: int) -> float:
    """Return the number at which the misfit crosses its limit, between two that were tried."""
    share = excess[left] / (excess[left] - excess[left + 1])
    return float(numbers[left] * (numbers[left + 1] / numbers[left]) ** share)


# --- whether the arms can tell -----------------------------------------------------------------------


def _design_reasons(arms: Sequence[Amounts], real: Sequence[int], mixed: Sequence[int]) -> tuple[Reason, ...]:
    """Return what the choice of arms leaves open, whatever they answer.

    Args:
        arms: all of them.
        real: places of those without synthetic images that have enough seeds.
        mixed: places of the others.
    """
    if not mixed:
        return (Reason(NO_SYNTHETIC),)
    trained = len({arm.n_real for arm in arms if not arm.n_synthetic})
    few_real = (Reason(FEW_REAL, {"number": trained, "needed": FEWEST_AMOUNTS}),) if trained < FEWEST_AMOUNTS else ()
    usable = {arms[i].n_real for i in real}
    few_seeds = len(usable) < min(trained, FEWEST_AMOUNTS)
    return (*few_real, *((Reason(FEW_SEEDS, {"needed": FEWEST_SEEDS}),) if few_seeds else ()))


def _wide_step(amounts: Floats, ends: Sequence[float]) -> Reason | None:
    """Return a step between neighbouring amounts around an interval that is too wide to rely on the law in it.

    Args:
        amounts: of real images alone, ascending.
        ends: of the interval.
    """
    for below, above in itertools.pairwise(amounts):
        if is_too_wide(below, above) and max(ends) > below and min(ends) < above:
            data = {"below": round(below), "above": round(above), "missing": round(between(below, above))}
            return Reason(WIDE_STEP, data)
    return None


# --- the arms of a group -----------------------------------------------------------------------------


def group_equivalents(group: Group) -> tuple[EquivalentSizes, ...]:
    """Estimate the equivalent numbers of a group's arms with synthetic images, whatever these were made by.

    Args:
        group: of a comparison.

    Returns:
        One for the arms that are trained as the baseline is, then one for each other way of training.
    """
    if group.folds is not None:  # whose training sets overlap: its covariance is another
        return (EquivalentSizes(reasons=(Reason(IN_FOLDS),)),)
    return tuple(_block_equivalents(group, arms) for arms in _blocks(group))


def _block_equivalents(group: Group, arms: Sequence[Arm]) -> EquivalentSizes:
    steps = {arm.steps for arm in arms if arm.steps is not None}
    if len(steps) > 1:  # an arm that trained for longer is worth more for that alone
        return EquivalentSizes(reasons=(Reason(UNEQUAL_STEPS, {"least": min(steps), "most": max(steps)}),))
    amounts = [Amounts(arm.name, arm.n_real or 0, arm.n_synthetic or 0) for arm in arms]
    return equivalent_sizes(amounts, [group.correct[arm.name] for arm in arms], group.clusters)


def _blocks(group: Group) -> list[list[Arm]]:
    """Return the arms by how they are trained, the baseline's first, where some have synthetic images."""
    blocks: list[list[Arm]] = []
    used = [arm for arm in group.arms if arm.name in group.correct and not arm.augment]
    for arm in sorted(used, key=lambda arm: not arm.baseline):
        block = next((block for block in blocks if block[0].training == arm.training), None)
        if block is None:
            blocks.append([arm])
        else:
            block.append(arm)
    return [block for block in blocks if any(arm.n_synthetic for arm in block)]
