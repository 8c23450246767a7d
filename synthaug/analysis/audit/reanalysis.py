"""What a published table of accuracies can and cannot show, computed from nothing but the table.

As a rule only accuracies are published, not the predictions behind them. That is enough to see whether a figure can be
a count of so many test images, how far another draw of test images would move it, and what the best pairing of the
unseen predictions could make of a difference.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from decimal import Decimal
from enum import StrEnum
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
from synthaug.analysis.inference.intervals import ALPHA, Estimate, wilson
from synthaug.analysis.inference.power_analysis import POINT, Assumptions, PowerOfTest, paired, unpaired

MOST_SIZE = 10_000  # of a test set that is looked for behind figures that are no counts
MOST_RUNS = 10  # of a mean that is looked for behind a figure that is no count
PAIRED_TESTS = ("McNemar", "McNemar, exact")
# Shares `real` and `synthetic` → the mix of this program that has them (conf/mix).
MIXES: dict[tuple[float, float], str] = {
    (1, 0): "real",
    (1, 0.5): "add50",
    (1, 1): "add100",
    (0, 1): "synthetic",
    (0, 10): "synthetic1000",
}
MIXES |= {((10 - tenths) / 10, tenths / 10): f"{tenths}{10 - tenths}" for tenths in range(2, 9)}
MIXES |= {(percent / 100, 0): f"real{percent}" for percent in (20, 30, 40, 50)}
MIX_TOLERANCE = 0.001  # largest distance of a share from that of a named mix: counts and percentages are rounded


@dataclass(frozen=True)
class GrimResult:
    """Which numbers of correct predictions are printed as a figure (the GRIM test).

    Attributes:
        n: predictions: test images times runs.
        counts: those that are; empty where `rule` is.
        rule: "rounded"; "half up" or "half to even" where only one way of rounding a tie gives the figure; "cut off"
            where no rounding gives it, but leaving digits out does; "" where nothing does.
        below: the largest count that is not above the figure.
        above: the smallest that is not below it.
        nearest: the one next to the figure.
        informative: whether some figures with as many decimals are no count of n.
    """

    n: int
    counts: range
    rule: str
    below: int
    above: int
    nearest: int
    informative: bool

    @property
    def candidates(self) -> tuple[int, int]:
        """The counts at both ends that the figure may mean; where it is none, the one on either side."""
        return (self.counts[0], self.counts[-1]) if self.counts else (self.below, self.above)


@dataclass(frozen=True)
class ArmAudit:
    """One published accuracy.

    Attributes:
        arm: as published.
        grim: of its figure.
        correct: of n_test images: the count that tests are made with, the nearest one to the figure.
        accuracy: of the figure, with Wilson's interval over n_test images.
        runs: the fewest runs, up to `MOST_RUNS`, whose mean would be printed so; None: not looked for, or none.
    """

    arm: PublishedArm
    grim: GrimResult
    correct: int
    accuracy: Estimate
    runs: int | None

    @property
    def averaged(self) -> bool:
        """Whether it is stated to be the mean of several runs."""
        return (self.arm.seeds or 1) > 1

    @property
    def guessed(self) -> bool:
        """Whether no count of n_test is printed as the figure, or it is a mean of several."""
        return not self.grim.counts or self.averaged

    @property
    def decimals(self) -> int:
        """Digits that were printed after the point."""
        return max(0, -last_digit(self.arm.accuracy).adjusted())

    @property
    def granularity(self) -> tuple[Decimal, int]:
        """One unit of the last printed digit, and the predictions behind the figure."""
        return last_digit(self.arm.accuracy), self.grim.n


@dataclass(frozen=True)
class PValues:
    """Of one pair of arms; None where no pairing of predictions can be thought of.

    Attributes:
        fisher: Fisher's exact test.
        z: the two-proportion z test.
        best: McNemar's exact test, if all disagreements went one way.
        worst: the same, if the arms disagreed wherever they could.
        extreme: `best` with the most favourable counts beside figures that are no count.
    """

    fisher: float
    z: float
    best: float | None = None
    worst: float | None = None
    extreme: float | None = None


class Verdict(StrEnum):
    """What can be said of a difference from the baseline, after Holm's correction.

    With one test set: no pairing of the predictions makes McNemar's test significant; one does, but not after the
    correction; it depends on the predictions; every pairing does. Without one, the same by Fisher's test.
    """

    NEVER = "never"
    NOT_AFTER_HOLM = "not after Holm"
    DEPENDS = "depends on the pairing"
    ALWAYS = "always"
    FISHER_NO = "Fisher: no"
    FISHER_NOT_AFTER_HOLM = "Fisher: not after Holm"
    FISHER_YES = "Fisher: yes"


@dataclass(frozen=True)
class PairAudit:
    """Two arms.

    Attributes:
        first: the baseline, or the arm that is listed first.
        second: the other arm.
        difference: second minus first as printed, in points.
        tests: p values, uncorrected.
        corrected: by Holm, over all comparisons with the baseline; None for pairs without it.
        opposed: images that may go against the difference before McNemar's exact test loses it.
        extremes: the counts of `tests.extreme`.
    """

    first: ArmAudit
    second: ArmAudit
    difference: Decimal
    tests: PValues
    corrected: PValues | None = None
    opposed: int | None = None
    extremes: tuple[int, int] | None = None

    @property
    def gap(self) -> int:
        """Images by which the arms differ."""
        return abs(self.second.correct - self.first.correct)

    @property
    def unpaired_because(self) -> str:
        """Why no pairing can be thought of; empty where one can."""
        if self.first.arm.n_test != self.second.arm.n_test:
            return "not the same test images"
        return "a mean of several runs" if self.first.averaged or self.second.averaged else ""

    @property
    def verdict(self) -> Verdict | None:
        """What can be said of a difference from the baseline; None for another pair."""
        tests, corrected = self.tests, self.corrected
        if corrected is None:
            return None
        if tests.best is None or corrected.best is None or corrected.worst is None:
            if corrected.fisher <= ALPHA:
                return Verdict.FISHER_YES
            return Verdict.FISHER_NOT_AFTER_HOLM if tests.fisher <= ALPHA else Verdict.FISHER_NO
        if tests.best > ALPHA:
            return Verdict.NEVER
        if corrected.best > ALPHA:
            return Verdict.NOT_AFTER_HOLM
        return Verdict.ALWAYS if corrected.worst <= ALPHA else Verdict.DEPENDS


@dataclass(frozen=True)
class ReadingAudit:
    """What a table says if its arms' names are read in one way.

    Attributes:
        reading: the names' meaning.
        mixes: per arm, what to type for it.
        trend: of accuracy over synthetic share; None where one of them is constant.
        mixed_trend: the same without the arms that have no synthetic image.
        real: per arm, real training images; None where n_train is not stated.
        uncontrolled: arms with fewer real images than the baseline and no control.
    """

    reading: Reading
    mixes: tuple[str, ...]
    trend: Trend | None
    mixed_trend: Trend | None
    real: tuple[int | None, ...]
    uncontrolled: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """The overrides that train the arms: one line for all mixes with a name, one for each of the others."""
        named = dict.fromkeys(mix.removeprefix("mix=") for mix in self.mixes if mix.startswith("mix="))
        together = [f"{'-m ' if len(named) > 1 else ''}mix={','.join(named)}"] if named else []
        return together + list(dict.fromkeys(mix for mix in self.mixes if not mix.startswith("mix=")))


@dataclass(frozen=True)
class Audit:
    """Everything that follows from a published table.

    Attributes:
        published: the table.
        arms: in its order.
        baseline: one of them.
        against_baseline: the other arms.
        other_pairs: of arms without the baseline.
        detectable: the power of each test, for a baseline of the accuracy beside it.
        readings: of the arms' names.
        common_size: the smallest test set of which all figures are counts; None: not looked for, or none.
    """

    published: Published
    arms: tuple[ArmAudit, ...]
    baseline: ArmAudit
    against_baseline: tuple[PairAudit, ...]
    other_pairs: tuple[PairAudit, ...]
    detectable: tuple[tuple[float, PowerOfTest], ...]
    readings: tuple[ReadingAudit, ...]
    common_size: int | None

    @property
    def largest_difference(self) -> Decimal:
        """From the baseline as printed, in points, without its sign."""
        return max((abs(pair.difference) for pair in self.against_baseline), default=Decimal(0))

    @property
    def arms_by_verdict(self) -> dict[Verdict, list[str]]:
        """Names of the arms whose difference from the baseline has a verdict."""
        pairs = self.against_baseline
        return {verdict: [pair.second.arm.name for pair in pairs if pair.verdict == verdict] for verdict in Verdict}

    @property
    def other_counts(self) -> list[PairAudit]:
        """Pairs that are not significant, of figures that may mean other counts than the tested ones."""
        tested = [pair for pair in self.against_baseline if pair.verdict in (Verdict.NEVER, Verdict.NOT_AFTER_HOLM)]
        return [pair for pair in tested if pair.extremes != (pair.first.correct, pair.second.correct)]

    @property
    def significant_with_other_counts(self) -> list[str]:
        """Names of arms that are not significant, but could be with other counts that the figures may mean."""
        pairs = [(pair.second.arm.name, pair.corrected.extreme) for pair in self.other_counts if pair.corrected]
        return [name for name, p in pairs if p is not None and p <= ALPHA]

    @property
    def contradictory_arms(self) -> list[str]:
        """Names of the arms whose synthetic share differs between readings."""
        names = [item.arm.name for item in self.arms]
        return [name for name in names if len({item.reading.synthetic[name] for item in self.readings}) > 1]

    @property
    def opposite_trends(self) -> bool:
        """Whether accuracy falls with the synthetic share in one reading and rises in another."""
        taus = [round(item.mixed_trend.tau, 2) for item in self.readings if item.mixed_trend]
        return any(tau < 0 for tau in taus) and any(tau > 0 for tau in taus)


def audit(published: Published) -> Audit:
    """Compute everything that follows from a published table."""
    arms = tuple(_audit_arm(arm) for arm in published.arms)
    baseline = next(item for item in arms if item.arm.name == published.baseline)
    rest = [item for item in arms if item is not baseline]
    return Audit(
        published,
        arms,
        baseline,
        _holm_corrected([_audit_pair(baseline, item) for item in rest]),
        tuple(_audit_pair(first, second) for first, second in combinations(rest, 2)),
        _detectable(baseline, [share / 100 for share in published.expected_discordant]),
        tuple(_audit_reading(reading, published) for reading in published.readings),
        None if all(item.grim.counts for item in arms) else _common_size(published.arms),
    )


# --- figures -----------------------------------------------------------------------------------------


def grim(figure: Decimal, n: int) -> GrimResult:
    """Compute which counts of n are printed as a figure.

    100 k/n is compared exactly, as a fraction, with the limits between which rounding gives the figure; a tie is
    rounded up or to the even digit, whichever fits. The GRIM test: Brown, N. J. L., Heathers, J. A. J. (2017). The GRIM
    test: a simple technique detects numerous anomalies in the reporting of results in psychology. Social Psychological
    and Personality Science 8(4), 363-369.

    Args:
        figure: a percentage with as many decimals as are to be believed.
        n: predictions behind it.
    """
    value = Fraction(figure)
    up, even, cut = _printed_as(figure, n)
    both = range(min(up.start, even.start), max(up.stop, even.stop)) if up and even else range(0)
    ways = {"rounded": both, "half up": up, "half to even": even, "cut off": cut, "": range(0)}
    rule, counts = next((rule, counts) for rule, counts in ways.items() if counts or not rule)
    below, above = math.floor(value * n / 100), math.ceil(value * n / 100)
    near = (counts[0], counts[-1]) if rule == "cut off" else (below, above)
    nearest = min(near, key=lambda count: abs(Fraction(100 * count, n) - value))
    return GrimResult(n, counts, rule, below, above, nearest, _granularity(n) > Fraction(last_digit(figure)))


def _granularity(n: int) -> Fraction:
    """Return the distance of neighbouring counts of n, in points."""
    return Fraction(100, n)


def last_digit(figure: Decimal) -> Decimal:
    """Return one unit of the last printed digit: 0.01 of 94.20."""
    exponent = figure.as_tuple().exponent
    assert isinstance(exponent, int), "a number, as the reader of the YAML sees to"
    return Decimal(1).scaleb(exponent)


def _printed_as(figure: Decimal, n: int) -> tuple[range, range, range]:
    """Return the counts of n that print as a percentage, with ties rounded up, to even, or digits cut off."""
    value, step = Fraction(figure), Fraction(last_digit(figure))
    is_even = (value / step) % 2 == 0
    low, high = value - step / 2, value + step / 2
    return (
        _counts_between(low, high, n, (True, False)),
        _counts_between(low, high, n, (is_even, is_even)),
        _counts_between(value, value + step, n, (True, False)),
    )


def _counts_between(low: Fraction, high: Fraction, n: int, included: tuple[bool, bool]) -> range:
    """Return the counts k of n with 100 k/n between two percentages, each of which is included or not."""
    first, last = math.ceil(low * n / 100), math.floor(high * n / 100)
    first += not included[0] and first == low * n / 100
    last -= not included[1] and last == high * n / 100
    return range(max(first, 0), max(min(last, n) + 1, first, 0))


def _audit_arm(arm: PublishedArm) -> ArmAudit:
    seeds = arm.seeds or 1
    result = grim(arm.accuracy, arm.n_test * seeds)
    # Several runs predict the same images: for a test against another arm they are worth no more images than one.
    correct = result.nearest if seeds == 1 else grim(arm.accuracy, arm.n_test).nearest
    runs = None
    if not result.counts and seeds == 1:
        runs = next((m for m in range(2, MOST_RUNS + 1) if any(_printed_as(arm.accuracy, m * arm.n_test)[:2])), None)
    share = float(Fraction(arm.accuracy) / 100)
    return ArmAudit(arm, result, correct, wilson(min(share * arm.n_test, arm.n_test), arm.n_test), runs)


def _common_size(arms: Sequence[PublishedArm]) -> int | None:
    """Return the smallest number of test images of which all figures are counts, up to MOST_SIZE."""
    figures = {arm.accuracy for arm in arms}
    sizes = range(1, MOST_SIZE + 1)
    return next((n for n in sizes if all(any(_printed_as(figure, n)[:2]) for figure in figures)), None)


# --- pairs -------------------------------------------------------------------------------------------


def _audit_pair(first: ArmAudit, second: ArmAudit) -> PairAudit:
    n1, n2 = first.arm.n_test, second.arm.n_test
    tests = PValues(
        fisher(first.correct, n1, second.correct, n2), two_proportion_z(first.correct, n1, second.correct, n2)
    )
    pair = PairAudit(first, second, second.arm.accuracy - first.arm.accuracy, tests)
    if pair.unpaired_because:
        return pair
    # As many images as can go against the difference: wrong in the better arm and right in the worse.
    against = min(first.correct, second.correct, n1 - first.correct, n1 - second.correct)
    opposed = most_opposed(pair.gap)
    extremes = max(product(first.grim.candidates, second.grim.candidates), key=lambda pair: abs(pair[1] - pair[0]))
    return replace(
        pair,
        tests=replace(
            tests,
            best=mcnemar_at_best(pair.gap),
            worst=mcnemar(pair.gap + against, against),
            extreme=mcnemar_at_best(extremes[1] - extremes[0]),
        ),
        opposed=None if opposed is None else min(opposed, against),
        extremes=extremes,
    )


def _holm_corrected(pairs: Sequence[PairAudit]) -> tuple[PairAudit, ...]:
    """Return the comparisons with the baseline, each p value also corrected for their number."""
    columns = []
    for values in zip(*(astuple(pair.tests) for pair in pairs), strict=True):
        # A comparison without a p value still counts as one.
        adjusted = holm([1.0 if value is None else value for value in values])
        columns.append([None if value is None else p for value, p in zip(values, adjusted, strict=True)])
    return tuple(
        replace(pair, corrected=PValues(*values))
        for pair, values in zip(pairs, zip(*columns, strict=True), strict=True)
    )


# --- power -------------------------------------------------------------------------------------------


def _detectable(baseline: ArmAudit, discordant: Sequence[float]) -> tuple[tuple[float, PowerOfTest], ...]:
    """At the baseline's accuracy in whole percent and as printed; paired, with each expected share of disagreements."""
    published, n = float(Fraction(baseline.arm.accuracy) / 100), baseline.arm.n_test
    accuracies = dict.fromkeys([round(published, 2), published])
    assumed = Assumptions(published, n)
    return (
        *((accuracy, test) for accuracy in accuracies for test in unpaired(accuracy, n, POINT)),
        *((published, paired(assumed, share, test)) for share in discordant for test in PAIRED_TESTS),
    )


# --- readings ----------------------------------------------------------------------------------------


def mix_override(share: float, size: float = 1.0) -> str:
    """Return the override that selects a mix.

    Args:
        share: of synthetic images, in percent.
        size: of the training set, in multiples of the real one.
    """
    real, synthetic = size * (100 - share) / 100, size * share / 100
    for amounts, name in MIXES.items():
        if max(abs(real - amounts[0]), abs(synthetic - amounts[1])) <= MIX_TOLERANCE:
            return f"mix={name}"
    return f"mix.real={real:.6g} mix.synthetic={synthetic:.6g}"


def _sizes(published: Published, real: Sequence[int | None]) -> list[float]:
    """Each arm's images over those of the baseline, or of the arm with the most real ones; 1 where that is unknown.

    A mix keeps at most all real images, so the most that any arm has must exist.
    """
    baseline = next(arm for arm in published.arms if arm.name == published.baseline)
    if baseline.n_train is None:
        return [1.0 for _ in real]
    whole = max(baseline.n_train, *(count for count in real if count is not None))
    return [1.0 if arm.n_train is None else arm.n_train / whole for arm in published.arms]


def _audit_reading(reading: Reading, published: Published) -> ReadingAudit:
    arms = published.arms
    shares = [reading.synthetic[arm.name] for arm in arms]
    mixed = [(share, float(arm.accuracy)) for share, arm in zip(shares, arms, strict=True) if share > 0]
    real = tuple(
        None if arm.n_train is None else round(arm.n_train * (100 - share) / 100)
        for share, arm in zip(shares, arms, strict=True)
    )
    return ReadingAudit(
        reading,
        tuple(map(mix_override, shares, _sizes(published, real))),
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
