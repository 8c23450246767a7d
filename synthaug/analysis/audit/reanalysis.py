"""What a published table of accuracies can and cannot show, computed from nothing but the table.

As a rule only accuracies are published, not the answers behind them. That is enough to see whether a figure can be a
count of so many test images, how far another draw of test images would move it, and what the best pairing of the
unseen answers could make of a difference. Every number of the audit comes from here; `audit_text` puts it in words.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, product

from synthaug.analysis.audit.published import Published, PublishedArm, Reading
from synthaug.analysis.inference.hypothesis_tests import (
    Trend,
    fisher,
    holm,
    kendall,
    mcnemar,
    mcnemar_at_best,
    most_opposed,
    two_proportion_z,
)
from synthaug.analysis.inference.intervals import Estimate, wilson
from synthaug.analysis.inference.sample_size import (
    fisher_power,
    mcnemar_power,
    paired_images,
    paired_power,
    smallest_difference,
    unpaired_images,
    unpaired_power,
)

MOST_SIZE = 10_000  # of a test set that is looked for behind figures that are no counts
MOST_RUNS = 10  # of a mean that is looked for behind a figure that is no count
MOST_EXACT = 2000  # images up to which exact power is computed; beyond, the z test says nearly the same
POINT = 0.01
# Shares `real` and `synthetic` → the mix of this program that has them (conf/mix).
MIXES = {
    (1, 0): "real",
    (0.8, 0.2): "28",
    (0.7, 0.3): "37",
    (0.6, 0.4): "46",
    (0.5, 0.5): "55",
    (0.4, 0.6): "64",
    (0.3, 0.7): "73",
    (0.2, 0.8): "82",
    (1, 0.5): "add50",
    (1, 1): "add100",
    (0, 1): "synthetic",
    (0, 10): "synthetic1000",
    (0.5, 0): "real50",
    (0.4, 0): "real40",
    (0.3, 0): "real30",
    (0.2, 0): "real20",
}
AS_NAMED = 0.001  # largest distance of a share from that of a named mix: counts and percentages are rounded


@dataclass(frozen=True)
class Attainable:
    """Which numbers of right answers are printed as a figure.

    `rule`: "rounded"; "half up" or "half to even" where only one way of rounding a tie gives it; "cut off" where no
    rounding gives it, but leaving digits out does; "" where nothing does. `counts` is then empty.
    """

    n: int  # answers: test images times runs
    counts: range
    rule: str
    below: int  # the largest count that is not above the figure
    above: int  # the smallest that is not below it
    nearest: int
    informative: bool  # whether there are figures with as many decimals that are no count of n


@dataclass(frozen=True)
class Figure:
    """One published accuracy."""

    arm: PublishedArm
    attainable: Attainable
    right: int  # of n_test: the count that tests are made with, the nearest one to the figure
    accuracy: Estimate
    runs: int | None  # the fewest runs, up to MOST_RUNS, whose mean would be printed so; None: not looked for, or none

    @property
    def several(self) -> bool:
        """Whether it is stated to be the mean of several runs."""
        return (self.arm.seeds or 1) > 1


@dataclass(frozen=True)
class Tests:
    """P values of one pair of arms; None where no pairing of answers can be thought of."""

    fisher: float
    z: float
    best: float | None  # McNemar's exact test, if all disagreements went one way
    worst: float | None  # ... if the arms disagreed wherever they could
    extreme: float | None  # `best` with the most favourable counts beside figures that are no count


@dataclass(frozen=True)
class Pair:
    """Two arms. `difference` is second minus first as printed, in points."""

    first: Figure
    second: Figure
    difference: Decimal
    tests: Tests
    corrected: Tests | None  # by Holm, over all comparisons with the baseline; None for the other pairs
    opposed: int | None  # images that may go against the difference before McNemar's exact test loses it
    extremes: tuple[int, int] | None  # the counts of `Tests.extreme`

    @property
    def unpaired_because(self) -> str:
        """Why no pairing can be thought of; empty where one can."""
        if self.first.arm.n_test != self.second.arm.n_test:
            return "not the same test images"
        return "a mean of several runs" if self.first.several or self.second.several else ""


@dataclass(frozen=True)
class Detectable:
    """What a test can find from `accuracy` (paired: with `discordant`) with 80 % power at 5 %, two-sided."""

    test: str
    accuracy: float | None
    discordant: float | None
    difference: float | None  # None: not even the largest possible one
    images: float | None  # for one point; None: not computed, or no such point


@dataclass(frozen=True)
class ReadingAudit:
    """What a table says if its arms' names are read in one way; one entry per arm in `mixes` and `real`."""

    reading: Reading
    mixes: tuple[str, ...]
    trend: Trend | None  # of accuracy over synthetic share; None: constant
    mixed_trend: Trend | None  # the same without the arms that have no synthetic image
    real: tuple[int | None, ...]  # real training images, where n_train is known
    uncontrolled: tuple[str, ...]  # arms with fewer real images than the baseline and no control


@dataclass(frozen=True)
class Audit:
    """Everything that a published table was asked."""

    published: Published
    figures: tuple[Figure, ...]
    baseline: Figure
    against_baseline: tuple[Pair, ...]
    others: tuple[Pair, ...]
    detectable: tuple[Detectable, ...]
    readings: tuple[ReadingAudit, ...]
    common_size: int | None  # the smallest test set of which all figures are counts; None: not looked for, or none


def audit(published: Published) -> Audit:
    """Ask a published table everything that it can answer."""
    figures = tuple(_figure(arm) for arm in published.arms)
    baseline = next(figure for figure in figures if figure.arm.name == published.baseline)
    rest = [figure for figure in figures if figure is not baseline]
    return Audit(
        published,
        figures,
        baseline,
        _corrected([_pair(baseline, figure) for figure in rest]),
        tuple(_pair(first, second) for first, second in combinations(rest, 2)),
        _detectable(baseline, [share / 100 for share in published.expected_discordant]),
        tuple(_reading(reading, published) for reading in published.readings),
        None if all(figure.attainable.counts for figure in figures) else _common_size(published.arms),
    )


# --- figures -----------------------------------------------------------------------------------------


def attainable(figure: Decimal, n: int) -> Attainable:
    """Which counts of n are printed as `figure`, a percentage with as many decimals as are to be believed.

    100 k/n is compared exactly, as a fraction, with the limits between which rounding gives the figure; a tie is
    rounded up or to the even digit, whichever fits. The idea is the GRIM test's: Brown, N. J. L., Heathers, J. A. J.
    (2017). The GRIM test: a simple technique detects numerous anomalies in the reporting of results in psychology.
    Social Psychological and Personality Science 8(4), 363-369.
    """
    value, step = Fraction(figure), Fraction(last_digit(figure))
    up, even, cut = _printed_as(figure, n)
    both = range(min(up.start, even.start), max(up.stop, even.stop)) if up and even else range(0)
    ways = {"rounded": both, "half up": up, "half to even": even, "cut off": cut, "": range(0)}
    rule, counts = next((rule, counts) for rule, counts in ways.items() if counts or not rule)
    below = math.floor(value * n / 100)
    above = math.ceil(value * n / 100)
    near = (counts[0], counts[-1]) if rule == "cut off" else (below, above)
    nearest = min(near, key=lambda count: abs(Fraction(100 * count, n) - value))
    return Attainable(n, counts, rule, below, above, nearest, informative=step * n < 100)


def last_digit(figure: Decimal) -> Decimal:
    """One unit of the last printed digit: 0.01 of 94.20."""
    exponent = figure.as_tuple().exponent
    assert isinstance(exponent, int), "a number, as the reader of the YAML sees to"
    return Decimal(1).scaleb(exponent)


def _printed_as(figure: Decimal, n: int) -> tuple[range, range, range]:
    """Counts of n that are printed as a percentage when ties are rounded up, to even, and when digits are cut off."""
    value, step = Fraction(figure), Fraction(last_digit(figure))
    is_even = (value / step) % 2 == 0
    low, high = value - step / 2, value + step / 2
    return (
        _between(low, high, n, (True, False)),
        _between(low, high, n, (is_even, is_even)),
        _between(value, value + step, n, (True, False)),
    )


def _between(low: Fraction, high: Fraction, n: int, included: tuple[bool, bool]) -> range:
    """Counts k of n with 100 k/n between two percentages, each of which is included or not."""
    first, last = math.ceil(low * n / 100), math.floor(high * n / 100)
    first += not included[0] and first == low * n / 100
    last -= not included[1] and last == high * n / 100
    return range(max(first, 0), max(min(last, n) + 1, first, 0))


def _figure(arm: PublishedArm) -> Figure:
    seeds = arm.seeds or 1
    found = attainable(arm.accuracy, arm.n_test * seeds)
    # Several runs answer the same images: for a test against another arm they are worth no more images than one.
    right = found.nearest if seeds == 1 else attainable(arm.accuracy, arm.n_test).nearest
    runs = None
    if not found.counts and seeds == 1:
        runs = next((m for m in range(2, MOST_RUNS + 1) if any(_printed_as(arm.accuracy, m * arm.n_test)[:2])), None)
    share = float(Fraction(arm.accuracy) / 100)
    return Figure(arm, found, right, wilson(min(share * arm.n_test, arm.n_test), arm.n_test), runs)


def _common_size(arms: Sequence[PublishedArm]) -> int | None:
    """The smallest number of test images of which all figures are counts, up to MOST_SIZE."""
    figures = {arm.accuracy for arm in arms}
    sizes = range(1, MOST_SIZE + 1)
    return next((n for n in sizes if all(any(_printed_as(figure, n)[:2]) for figure in figures)), None)


# --- pairs -------------------------------------------------------------------------------------------


def _pair(first: Figure, second: Figure) -> Pair:
    n1, n2 = first.arm.n_test, second.arm.n_test
    difference = second.arm.accuracy - first.arm.accuracy
    exact = fisher(first.right, n1, second.right, n2)
    tests = Tests(exact, two_proportion_z(first.right, n1, second.right, n2), None, None, None)
    pair = Pair(first, second, difference, tests, None, None, None)
    if pair.unpaired_because:
        return pair
    gap = second.right - first.right
    best = mcnemar_at_best(gap)
    # As many images as can go against the difference: wrong in the better arm and right in the worse.
    against = min(first.right, second.right, n1 - first.right, n1 - second.right)
    worst = mcnemar(abs(gap) + against, against)
    opposed = most_opposed(gap)
    extremes = max(product(_candidates(first), _candidates(second)), key=lambda counts: abs(counts[1] - counts[0]))
    return replace(
        pair,
        tests=replace(tests, best=best, worst=worst, extreme=mcnemar_at_best(extremes[1] - extremes[0])),
        opposed=None if opposed is None else min(opposed, against),
        extremes=extremes,
    )


def _candidates(figure: Figure) -> tuple[int, ...]:
    """The counts that a figure may mean: where it is none, the one on either side, since nobody knows which."""
    found = figure.attainable
    return (found.counts[0], found.counts[-1]) if found.counts else (found.below, found.above)


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The comparisons with the baseline, each p value also corrected for their number."""

    def over_all(values: Sequence[float | None]) -> list[float | None]:
        # A comparison without a p value still counts as one.
        adjusted = holm([1.0 if value is None else value for value in values])
        return [None if value is None else p for value, p in zip(values, adjusted, strict=True)]

    exact = holm([pair.tests.fisher for pair in pairs])
    z = holm([pair.tests.z for pair in pairs])
    best = over_all([pair.tests.best for pair in pairs])
    worst = over_all([pair.tests.worst for pair in pairs])
    extreme = over_all([pair.tests.extreme for pair in pairs])
    return tuple(
        replace(pair, corrected=Tests(*values))
        for pair, *values in zip(pairs, exact, z, best, worst, extreme, strict=True)
    )


# --- power -------------------------------------------------------------------------------------------


def _detectable(baseline: Figure, discordant: Sequence[float]) -> tuple[Detectable, ...]:
    """At the baseline's accuracy in whole percent and as printed; paired, with each expected share of disagreements."""
    published = float(Fraction(baseline.arm.accuracy) / 100)
    accuracies = list(dict.fromkeys([round(published, 2), published]))
    n = baseline.arm.n_test
    found = [_unpaired(accuracy, n) for accuracy in accuracies]
    if n <= MOST_EXACT:
        found += [_unpaired_exact(accuracy, n) for accuracy in accuracies]
    for share in discordant:
        found += _paired(share, n)
    return tuple(found)


def _unpaired(p: float, n: int) -> Detectable:
    # Below the baseline, where a worse arm would be; above it where there is no room for a point.
    images = unpaired_images(p, p - POINT if p >= POINT else p + POINT)
    return Detectable("z", p, None, _smallest(lambda other: unpaired_power(p, other, n), p), images)


def _unpaired_exact(p: float, n: int) -> Detectable:
    return Detectable("Fisher", p, None, _smallest(lambda other: fisher_power(p, other, n), p), None)


def _smallest(power_against: Callable[[float], float], p: float) -> float | None:
    """The smallest difference from p that is found, below it or else above it."""
    below = smallest_difference(lambda size: power_against(max(0.0, p - size)), p)
    return below or smallest_difference(lambda size: power_against(min(1.0, p + size)), 1 - p)


def _paired(discordant: float, n: int) -> list[Detectable]:
    difference = smallest_difference(lambda size: paired_power(discordant, size, n), discordant)
    images = paired_images(discordant, POINT) if discordant >= POINT else None
    found = [Detectable("McNemar", None, discordant, difference, images)]
    if n <= MOST_EXACT:
        exact = smallest_difference(lambda size: mcnemar_power(discordant, size, n), discordant)
        found.append(Detectable("McNemar, exact", None, discordant, exact, None))
    return found


# --- readings ----------------------------------------------------------------------------------------


def mix_of(share: float, size: float = 1.0) -> str:
    """What to type for the mix with a synthetic share (percent), `size` times as large as the real training set."""
    real, synthetic = size * (100 - share) / 100, size * share / 100
    for named, name in MIXES.items():
        if max(abs(real - named[0]), abs(synthetic - named[1])) <= AS_NAMED:
            return name
    return f"mix.real={real:.6g} mix.synthetic={synthetic:.6g}"


def _sizes(published: Published, real: Sequence[int | None]) -> list[float]:
    """Each arm's images over those of the baseline, or of the arm with the most real ones; 1 where that is not known.

    A mix keeps at most all real images, so the most that any arm has must be there.
    """
    baseline = next(arm for arm in published.arms if arm.name == published.baseline)
    if baseline.n_train is None:
        return [1.0 for _ in real]
    whole = max(baseline.n_train, *(count for count in real if count is not None))
    return [1.0 if arm.n_train is None else arm.n_train / whole for arm in published.arms]


def _reading(reading: Reading, published: Published) -> ReadingAudit:
    arms = published.arms
    shares = [reading.synthetic[arm.name] for arm in arms]
    mixed = [(share, float(arm.accuracy)) for share, arm in zip(shares, arms, strict=True) if share > 0]
    real = tuple(
        None if arm.n_train is None else round(arm.n_train * (100 - share) / 100)
        for share, arm in zip(shares, arms, strict=True)
    )
    return ReadingAudit(
        reading,
        tuple(map(mix_of, shares, _sizes(published, real))),
        kendall(shares, [float(arm.accuracy) for arm in arms]),
        kendall(*zip(*mixed, strict=True)) if mixed else None,
        real,
        _uncontrolled(published, shares, real),
    )


def _uncontrolled(published: Published, shares: Sequence[float], real: Sequence[int | None]) -> tuple[str, ...]:
    """Arms with synthetic images and fewer real ones than the baseline, and no arm of as many real images alone.

    As many: within one percent, since shares are kept per class and rounded.
    """
    names = [arm.name for arm in published.arms]
    everything = real[names.index(published.baseline)]
    controls = [count for share, count in zip(shares, real, strict=True) if share == 0 and count is not None]
    return tuple(
        name
        for name, share, count in zip(names, shares, real, strict=True)
        if count is not None and everything is not None and share > 0 and count < everything
        if not any(abs(control - count) <= max(1, count / 100) for control in controls)
    )
