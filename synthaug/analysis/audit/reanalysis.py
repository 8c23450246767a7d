"""What a published table of accuracies can and cannot show, computed from nothing but the table.

As a rule only accuracies are published, not the predictions behind them. That is enough to see whether a figure can be
a count of so many test images, how far another draw of test images would move it, and what the best pairing of the
unseen predictions could make of a difference.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

HALF = Fraction(1, 2)
MOST_SIZE = 10_000  # of a test set that is looked for behind figures that are no counts
MOST_RUNS = 10  # of a mean that is looked for behind a figure that is no count
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
        neighbours: the largest count that is not above the figure, and the smallest that is not below it.
        nearest: the count next to the figure.
    """

    n: int
    counts: range
    rule: str
    neighbours: tuple[int, int]
    nearest: int

    @property
    def candidates(self) -> tuple[int, int]:
        """The counts at both ends that the figure may mean; where it is none, its neighbours."""
        return (self.counts[0], self.counts[-1]) if self.counts else self.neighbours


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


class Verdict(StrEnum):
    """What can be said of a difference from the baseline, after Holm's correction.

    By McNemar's exact test: significant for all, some or no pairings of the predictions; by Fisher's test where the
    arms cannot be paired.
    """

    SIGNIFICANT = "significant"
    DEPENDS = "depends on the pairing"
    NOT_SIGNIFICANT = "not significant"


@dataclass(frozen=True)
class PairAudit:
    """Two arms.

    Attributes:
        first: the baseline, or the arm that is listed first.
        second: the other arm.
        tests: uncorrected p values: "fisher" (exact), "z" (of two proportions), and, unless `unpaired_because` says why
            not, of McNemar's exact test: "best" if all disagreements went one way, "worst" if the arms disagreed
            wherever they could, "extreme" the best case of the most favourable counts that the figures may mean.
        corrected: the same by Holm, over all comparisons with the baseline; empty for pairs without it.
    """

    first: ArmAudit
    second: ArmAudit
    tests: Mapping[str, float]
    corrected: Mapping[str, float] = field(default_factory=dict)

    @property
    def difference(self) -> Decimal:
        """Second minus first as printed, in points."""
        return self.second.arm.accuracy - self.first.arm.accuracy

    @property
    def gap(self) -> int:
        """Images by which the arms differ."""
        return abs(self.second.correct - self.first.correct)

    @property
    def against(self) -> int:
        """The most images that can go against the difference: wrong in the better arm and right in the worse."""
        correct, n = (self.first.correct, self.second.correct), self.first.arm.n_test
        return min(*correct, n - max(correct))

    @property
    def opposed(self) -> int | None:
        """Images that may go against the difference before McNemar's exact test loses it; None: it never has it."""
        most = most_opposed(self.gap)
        return None if most is None else min(most, self.against)

    @property
    def extremes(self) -> tuple[int, int]:
        """The counts furthest apart that the figures may mean."""
        pairs = product(self.first.grim.candidates, self.second.grim.candidates)
        return max(pairs, key=lambda pair: abs(pair[1] - pair[0]))

    @property
    def unpaired_because(self) -> str:
        """Why no pairing can be thought of; empty where one can."""
        if self.first.arm.n_test != self.second.arm.n_test:
            return "not the same test images"
        return "a mean of several runs" if self.first.averaged or self.second.averaged else ""

    @property
    def verdict(self) -> Verdict:
        """What can be said of a difference from the baseline."""
        best, worst = ("fisher", "fisher") if self.unpaired_because else ("best", "worst")
        if self.corrected[best] > ALPHA:
            return Verdict.NOT_SIGNIFICANT
        return Verdict.SIGNIFICANT if self.corrected[worst] <= ALPHA else Verdict.DEPENDS


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
        _detectable(baseline.arm, [share / 100 for share in published.expected_discordant]),
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
    neighbours = math.floor(value * n / 100), math.ceil(value * n / 100)
    near = (counts[0], counts[-1]) if rule == "cut off" else neighbours
    nearest = min(near, key=lambda count: abs(Fraction(100 * count, n) - value))
    return GrimResult(n, counts, rule, neighbours, nearest)


def _printed_as(figure: Decimal, n: int) -> list[range]:
    """Return the counts of n that print as a percentage, with ties rounded up, to even, or digits cut off."""
    step = Fraction(Decimal(1).scaleb(int(figure.as_tuple().exponent)))  # one unit of the last digit: 0.01 of 94.20
    low, value, high = ((Fraction(figure) + part * step) * n / 100 for part in (-HALF, 0, HALF))
    # Half open, in images: from each limit on to the next one; a tie at a limit belongs to the even of its two figures.
    is_even = Fraction(figure) / step % 2 == 0
    even = (math.ceil(low), math.floor(high) + 1) if is_even else (math.floor(low) + 1, math.ceil(high))
    limits = (math.ceil(low), math.ceil(high)), even, (math.ceil(value), math.ceil(value + step * n / 100))
    return [range(max(first, 0), min(stop, n + 1)) for first, stop in limits]


def _audit_arm(arm: PublishedArm) -> ArmAudit:
    seeds = arm.seeds or 1
    result = grim(arm.accuracy, arm.n_test * seeds)
    # Several runs predict the same images: for a test against another arm they are worth no more images than one.
    correct = grim(arm.accuracy, arm.n_test).nearest
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
    counts = first.correct, first.arm.n_test, second.correct, second.arm.n_test
    tests = {"fisher": fisher(*counts), "z": two_proportion_z(*counts)}
    pair = PairAudit(first, second, tests)
    if not pair.unpaired_because:
        low, high = sorted(pair.extremes)
        tests["best"] = mcnemar_at_best(pair.gap)
        tests["worst"] = mcnemar(pair.gap + pair.against, pair.against)
        tests["extreme"] = mcnemar_at_best(high - low)
    return pair


def _holm_corrected(pairs: Sequence[PairAudit]) -> tuple[PairAudit, ...]:
    """Return the comparisons with the baseline, each p value also corrected for their number."""
    # A comparison without a p value still counts as one.
    tests = {test for pair in pairs for test in pair.tests}
    adjusted = {test: holm([pair.tests.get(test, 1.0) for pair in pairs]) for test in tests}
    return tuple(
        replace(pair, corrected={test: adjusted[test][row] for test in pair.tests}) for row, pair in enumerate(pairs)
    )


# --- power -------------------------------------------------------------------------------------------


def _detectable(baseline: PublishedArm, discordant: Sequence[float]) -> tuple[tuple[float, PowerOfTest], ...]:
    """At the baseline's accuracy in whole percent and as printed; paired, with each expected share of disagreements."""
    published, n = float(Fraction(baseline.accuracy) / 100), baseline.n_test
    accuracies = dict.fromkeys([round(published, 2), published])
    assumed = Assumptions(published, n)
    return (
        *((accuracy, test) for accuracy in accuracies for test in unpaired(accuracy, n, POINT)),
        *((published, paired(assumed, share, test)) for share in discordant for test in ("McNemar", "McNemar, exact")),
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


def _audit_reading(reading: Reading, published: Published) -> ReadingAudit:
    arms = published.arms
    shares = [reading.synthetic[arm.name] for arm in arms]
    real = tuple(
        None if arm.n_train is None else round(arm.n_train * (100 - share) / 100)
        for share, arm in zip(shares, arms, strict=True)
    )
    pairs = [(share, float(arm.accuracy)) for share, arm in zip(shares, arms, strict=True)]
    mixed = [(share, accuracy) for share, accuracy in pairs if share > 0]
    baseline = [arm.name for arm in arms].index(published.baseline)
    # A mix keeps at most all real images, so the most that any arm has must exist.
    whole = max(arms[baseline].n_train or 0, *(count or 0 for count in real))
    sizes = [arm.n_train / whole if arms[baseline].n_train and arm.n_train else 1.0 for arm in arms]
    return ReadingAudit(
        reading,
        tuple(map(mix_override, shares, sizes)),
        kendall(*zip(*pairs, strict=True)),
        kendall(*zip(*mixed, strict=True)) if mixed else None,
        real,
        tuple(arms[row].name for row in _uncontrolled(shares, real, baseline)),
    )


def _uncontrolled(shares: Sequence[float], real: Sequence[int | None], baseline: int) -> Iterator[int]:
    """Arms with synthetic images and fewer real ones than the baseline, and no arm of as many real images alone.

    As many: within one percent, since shares are kept per class and rounded.
    """
    controls = [count for share, count in zip(shares, real, strict=True) if share == 0 and count is not None]
    for row, count in enumerate(real):
        if count is None or count >= (real[baseline] or 0):
            continue
        if all(abs(control - count) > max(1, count / 100) for control in controls):
            yield row
