"""The exchange rate: how many synthetic training images are worth one real one, or why these arms cannot tell.

*One real image is worth k synthetic ones.* The number that is fitted is its reciprocal, the `value` of one synthetic
image in real ones: it is 0 where they are worthless and negative where they do harm, both of which k cannot say, and
its interval is one interval. `law` has the law, `covariance` how the measured errors vary together;
here the two meet, and it is decided whether the result means anything. All of it covers the draw of test images and,
with two seeds or more, the draw of seeds. The draw of synthetic images is covered only where seeds have their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Group, Reason
from synthaug.analysis.exchange.covariance import Floats, Variation, errors, variation
from synthaug.analysis.exchange.law import CHANGING, CONSTANT, MOST_VALUE, SHAPES, Law, Problem, Profile, Shape
from synthaug.analysis.inference.contrasts import Values
from synthaug.analysis.inference.intervals import ALPHA, CONFIDENCE

FEWEST_ARMS = CONSTANT.parameters + 1  # one more than is fitted: without it nothing could contradict the law
FEWEST_REAL = 3  # distinct amounts of real images: a curve of three numbers
CLEARLY_BETTER = 2.0  # AICc by which a form must win: Burnham, K. P., Anderson, D. R. (2002), section 2.6
REWEIGHTINGS = 3
ONE_SEED_POWER = 2.0  # of error (1 - error), in the variance between seeds where none is measured

# Why there is no exchange rate; the sentences are in `text/templates/exchange.md.j2`.
IN_FOLDS = "in_folds"
NO_SYNTHETIC, FEW_REAL, FEW_ARMS = "no_synthetic_images", "few_real_amounts", "few_arms"
FLAT, ALL_RIGHT = "error_is_flat", "no_errors"
OPEN_ABOVE, OPEN_BELOW = "no_upper_limit", "no_lower_limit"


@dataclass(frozen=True)
class Amounts:
    """An arm's training images."""

    name: str
    n_real: int
    n_synthetic: int


@dataclass(frozen=True)
class Point:
    """An arm's measured error, the standard error of that, and what the curve says; fractions."""

    arm: Amounts
    error: float
    standard_error: float
    fitted: float


@dataclass(frozen=True)
class Value:
    """Real images that one synthetic image is worth, where there are `n_synthetic` of them; None: no limit."""

    n_synthetic: float
    value: float
    low: float | None
    high: float | None

    @property
    def helps(self) -> bool:
        """Whether synthetic images are worth something."""
        return self.low is not None and self.low > 0

    @property
    def harms(self) -> bool:
        """Whether they take away from what the real ones teach."""
        return self.high is not None and self.high < 0

    @property
    def k(self) -> float | None:
        """Synthetic images that are worth one real one; None where a synthetic one is worth nothing or less."""
        return 1 / self.value if self.value > 0 else None

    @property
    def k_low(self) -> float | None:
        """The fewest that may be worth one real one; None where no number of them is, or where this is open."""
        return 1 / self.high if self.high is not None and self.high > 0 else None

    @property
    def k_high(self) -> float | None:
        """The most; None where no number of them may be worth one real one."""
        return 1 / self.low if self.low is not None and self.low > 0 else None


@dataclass(frozen=True)
class Form:
    """One form of the law, fitted: `misfit` is chi-squared, `aicc` comparable among the forms of one fit."""

    name: str
    parameters: int
    misfit: float
    aicc: float | None  # None: more numbers than so few arms can judge
    law: Law


@dataclass(frozen=True)
class ClassExchange:
    """The exchange rate of one class: measured on its test images only."""

    name: str
    n_test: int
    exchange: "Exchange"


@dataclass(frozen=True)
class Exchange:
    """What the arms say about the worth of synthetic images.

    `value` is that of the form with one exchange rate, None where `reasons` say that it cannot be told; `limit` is it
    where one end of its interval is known and the other is not. `along` has
    the values of the form in which it changes, at each amount measured. `better` names the form that fits clearly
    better than one exchange rate, if any does. `agreement` is the p value of the law against the measured errors.
    """

    points: tuple[Point, ...]
    left_out: tuple[Amounts, ...]  # arms without a real image: the law does not hold for them
    reasons: tuple[Reason, ...]
    value: Value | None = None
    limit: Value | None = None
    law: Law | None = None
    forms: tuple[Form, ...] = ()
    better: str | None = None
    agreement: float | None = None
    inflation: float = 1.0  # of the variance, where the arms lie further from the law than seeds and images explain
    along: tuple[Value, ...] = ()
    n_images: int = 0
    one_seed: bool = False
    covariance: Floats | None = field(default=None, compare=False, repr=False)
    classes: tuple[ClassExchange, ...] = ()
    confidence: float = CONFIDENCE

    @property
    def identifiable(self) -> bool:
        """Whether there is an exchange rate to speak of."""
        return self.value is not None


def fit(
    arms: Sequence[Amounts],
    correct: Sequence[Values] | NDArray[np.bool_],
    labels: NDArray[np.int64] | None = None,
    class_names: Sequence[str] = (),
    *,
    clusters: NDArray[np.int64] | None = None,
    along: bool = True,
    confidence: float = CONFIDENCE,
) -> Exchange:
    """Fit the exchange rate.

    Args:
        arms: their amounts of training images, in any order.
        correct: for each arm, seed → right or wrong for each test image, the same images in all of them; or an array
            of shape (arms, seeds, images).
        labels: class of each test image; with them every class gets an exchange rate of its own.
        class_names: names of the classes, one for each number in `labels`.
        clusters: of near duplicates among the test images, see `intervals.cluster_means`.
        along: whether to follow the value along the number of synthetic images, which takes most of the time.
        confidence: of all intervals.

    Raises:
        ValueError: as many arms as answers are needed, at least one, each with at least one seed and one image.
    """
    answers = _mappings(correct)
    if len(arms) != len(answers) or not all(answers):
        raise ValueError(f"need answers of at least one seed for each of {len(arms)} arms, got {len(answers)}")
    if len({len(right) for arm in answers for right in arm.values()}) != 1 or not len(next(iter(answers[0].values()))):
        raise ValueError("need answers to the same test images, at least one, in all arms")
    order = sorted(range(len(arms)), key=lambda i: (arms[i].n_real, arms[i].n_synthetic, arms[i].name))
    used = [i for i in order if arms[i].n_real > 0]
    left_out = tuple(arms[i] for i in order if arms[i].n_real <= 0)
    overall = _fit([arms[i] for i in used], [answers[i] for i in used], clusters, left_out, along, confidence)
    if labels is None:
        return overall
    classes = []
    for number, name in enumerate(class_names):
        inside = labels == number
        if not inside.any():
            continue
        correct_of_class = [{seed: right[inside] for seed, right in answers[i].items()} for i in used]
        inner = None if clusters is None else clusters[inside]
        of_class = _fit([arms[i] for i in used], correct_of_class, inner, left_out, False, confidence)
        classes.append(ClassExchange(name, int(inside.sum()), of_class))
    return replace(overall, classes=tuple(classes))


def group_exchange(group: Group, *, along: bool = True) -> Exchange:
    """Fit the exchange rate of a group, overall and per class, over the arms that differ in amounts alone.

    Args:
        group: of a comparison.
        along: as in `fit`.
    """
    arms, correct = arms_of(group.one_question)
    if group.folds is not None:
        return Exchange((), (), (Reason(IN_FOLDS),))
    if not arms:
        return Exchange((), (), _few_reasons([]))
    return fit(arms, correct, group.labels, group.class_names, clusters=group.clusters, along=along)


def arms_of(group: Group) -> tuple[list[Amounts], list[Values]]:
    """Return the amounts of a group's arms and the correctness of their predictions.

    Arms whose images vary otherwise than the others', or whose synthetic images fill some classes alone, are left
    aside: they differ in more than amounts.
    """
    used = [arm for arm in group.arms if arm.name in group.correct and not arm.augment and not arm.is_filled]
    arms = [Amounts(arm.name, arm.n_real or 0, arm.n_synthetic or 0) for arm in used]
    return arms, [group.correct[arm.name] for arm in used]


def _mappings(correct: Sequence[Values] | NDArray[np.bool_]) -> list[Values]:
    if isinstance(correct, np.ndarray):
        return [dict(enumerate(arm.astype(np.float64))) for arm in correct]
    return list(correct)


def _fit(
    arms: Sequence[Amounts],
    answers: Sequence[Values],
    clusters: NDArray[np.int64] | None,
    left_out: tuple[Amounts, ...],
    along: bool,
    confidence: float,
) -> Exchange:
    if not arms:
        return Exchange((), left_out, _few_reasons([]))
    error = errors(answers)
    reasons = _design_reasons(arms) + ((Reason(ALL_RIGHT),) if error.max() == 0 else ())
    how = variation(answers, clusters, correlated=not reasons)
    n_images = len(next(iter(answers[0].values())))
    about: dict[str, Any] = {"n_images": n_images, "one_seed": how.seed_scale is None, "confidence": confidence}
    if reasons:
        return Exchange(_points(arms, error, how.covariance(error), error), left_out, reasons, **about)
    problem, profile, how = _reweighted(arms, error, how)
    law = profile.law
    n, p = len(arms), CONSTANT.parameters
    inflation = max(1.0, profile.least / (n - p))
    forms = _forms(problem, profile, inflation, n)
    degrees = _degrees(how, n - p)
    quantile = float(scipy.special.fdtri(1, degrees, confidence)) * inflation
    low, high = profile.interval(quantile)
    value = Value(law.unit, law.value, low, high)
    reasons = (Reason(FLAT),) if _flat(arms, error, how, degrees) else _open_ends(low, high)
    return Exchange(
        _points(arms, error, problem.covariance, law.error(*_amounts(arms))),
        left_out,
        reasons,
        value=None if reasons else value,
        limit=value if [reason.code for reason in reasons] in ([OPEN_ABOVE], [OPEN_BELOW]) else None,
        law=law,
        forms=forms,
        better=_better(forms),
        agreement=float(scipy.special.chdtrc(n - p, profile.least)),
        inflation=inflation,
        along=_along(problem, n, degrees, confidence) if along and not reasons else (),
        covariance=problem.covariance,
        **about,
    )


def _reweighted(arms: Sequence[Amounts], error: Floats, how: Variation) -> tuple[Problem, Profile, Variation]:
    """Fit until the weights are those of the fitted curve."""
    fitted = error
    for _ in range(REWEIGHTINGS):
        complete = how if how.seed_scale is not None else _with_seeds(arms, error, how, fitted)
        problem = Problem(*_amounts(arms), error, complete.covariance(fitted))
        profile = problem.profile(CONSTANT)
        fitted = profile.law.error(*_amounts(arms))
    return problem, profile, complete


def _with_seeds(arms: Sequence[Amounts], error: Floats, how: Variation, fitted: Floats) -> Variation:
    """One seed per arm: the spread from run to run is what the arms lie off the curve beyond the draw of images.

    The estimator of Paule, R. C., Mandel, J. (1982). Consensus values and weighting factors. Journal of Research of
    the National Bureau of Standards 87(5), 377-385: as much as makes chi-squared equal to its degrees of freedom.
    """
    rest = len(arms) - CONSTANT.parameters

    def excess(scale: float) -> float:
        problem = Problem(
            *_amounts(arms), error, replace(how, seed_power=ONE_SEED_POWER, seed_scale=scale).covariance(fitted)
        )
        return problem.profile(CONSTANT, finer=False).least - rest

    most = 1.0  # the variance of answers themselves
    if excess(0.0) <= 0 or excess(most) >= 0:
        return replace(how, seed_power=ONE_SEED_POWER, seed_scale=0.0)
    return replace(
        how, seed_power=ONE_SEED_POWER, seed_scale=float(scipy.optimize.brentq(excess, 0.0, most, xtol=1e-6, rtol=1e-2))
    )


def _degrees(how: Variation, residual: int) -> int:
    """Degrees of freedom of the variance, chosen by simulation (benchmarks/exchange.py).

    Those of the seeds, pooled, count by half: they give the arms' weights too. With few seeds those of the arms around
    the curve are more.
    """
    return max(residual, how.seed_degrees // 2)


def _amounts(arms: Sequence[Amounts]) -> tuple[Floats, Floats]:
    return np.array([arm.n_real for arm in arms], dtype=float), np.array([arm.n_synthetic for arm in arms], dtype=float)


def _points(arms: Sequence[Amounts], error: Floats, covariance: Floats, fitted: Floats) -> tuple[Point, ...]:
    deviations = np.sqrt(np.diag(covariance))
    columns = zip(arms, error, deviations, fitted, strict=True)
    return tuple(Point(arm, float(measured), float(se), float(curve)) for arm, measured, se, curve in columns)


# --- whether the arms can tell -----------------------------------------------------------------------


def _design_reasons(arms: Sequence[Amounts]) -> tuple[Reason, ...]:
    """Return what the choice of arms leaves open, whatever they answer."""
    no_synthetic = () if any(arm.n_synthetic for arm in arms) else (Reason(NO_SYNTHETIC),)
    return (*no_synthetic, *_few_reasons(arms))


def _few_reasons(arms: Sequence[Amounts]) -> tuple[Reason, ...]:
    """Return whether there are too few amounts of real images, and too few training sets."""
    amounts = len({arm.n_real for arm in arms}), len({(arm.n_real, arm.n_synthetic) for arm in arms})
    needed = zip((FEW_REAL, FEW_ARMS), amounts, (FEWEST_REAL, FEWEST_ARMS), strict=True)
    return tuple(Reason(code, {"number": number, "needed": least}) for code, number, least in needed if number < least)


def _flat(arms: Sequence[Amounts], error: Floats, how: Variation, degrees: int) -> bool:
    """Whether one error for all arms does as well as the curve, by F; with the variances that one error would have."""
    constant = np.full_like(error, error.mean())
    problem = Problem(*_amounts(arms), error, how.covariance(constant))
    least = problem.profile(CONSTANT, finer=False).least
    extra, rest = CONSTANT.parameters - 1, len(arms) - CONSTANT.parameters
    gain = (problem.flat() - least) / extra / max(1.0, least / rest)
    return float(scipy.special.fdtrc(extra, degrees, max(gain, 0.0))) > ALPHA


def _open_ends(low: float | None, high: float | None) -> tuple[Reason, ...]:
    above = (Reason(OPEN_ABOVE, {"largest": MOST_VALUE}),) if high is None else ()
    return (*above, *((Reason(OPEN_BELOW),) if low is None else ()))


# --- forms of the law --------------------------------------------------------------------------------


def _forms(problem: Problem, constant: Profile, inflation: float, n: int) -> tuple[Form, ...]:
    """Every form of the law with what speaks for it; the smallest AICc is the best."""
    profiles = [(shape, constant if shape is CONSTANT else problem.profile(shape, finer=False)) for shape in SHAPES]
    return tuple(
        Form(shape.name, shape.parameters, fitted.least, _aicc(shape, fitted.least / inflation, n), fitted.law)
        for shape, fitted in profiles
    )


def _aicc(shape: Shape, misfit: float, n: int) -> float | None:
    """Akaike's criterion with the correction for few observations, the misfit already divided by the inflation.

    Hurvich, C. M., Tsai, C.-L. (1989). Regression and time series model selection in small samples. Biometrika 76(2),
    297-307.
    """
    p = shape.parameters
    return misfit + 2 * p + 2 * p * (p + 1) / (n - p - 1) if n - p - 1 > 0 else None


def _better(forms: tuple[Form, ...]) -> str | None:
    """Return the form that fits clearly better than one exchange rate; None where none does."""
    aicc = {form.name: form.aicc for form in forms if form.aicc is not None}
    best = min(aicc, key=aicc.__getitem__, default=CONSTANT.name)
    constant = aicc.get(CONSTANT.name, -math.inf)
    return best if best != CONSTANT.name and aicc[best] <= constant - CLEARLY_BETTER else None


def _along(problem: Problem, n: int, degrees: int, confidence: float) -> tuple[Value, ...]:
    """Return the value of one synthetic image at each number of them, by the form in which it changes."""
    rest = n - CHANGING.parameters
    if rest < 1:
        return ()
    quantile = float(scipy.special.fdtri(1, degrees, confidence))
    values = []
    for amount in sorted({float(n) for n in problem.n_synthetic if n > 0}):
        profile = problem.profile(CHANGING, unit=amount)
        interval = profile.interval(quantile * max(1.0, profile.least / rest))
        values.append(Value(amount, profile.law.value, *interval))
    return tuple(values)
