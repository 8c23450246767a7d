"""What a published table of accuracies can and cannot show, computed from the table alone, without the predictions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, product

from synthaug.analysis.audit.published import Published, PublishedArm, Reading
from synthaug.analysis.inference import hypothesis_tests
from synthaug.analysis.inference.hypothesis_tests import Trend, kendall, mcnemar, mcnemar_at_best
from synthaug.analysis.inference.intervals import ALPHA, Estimate, wilson
from synthaug.analysis.inference.power_analysis import POINT, Assumptions, PowerOfTest, paired, unpaired

# Of a difference from the baseline, after Holm's correction: by McNemar's exact test; by Fisher's of unpaired arms.
SIGNIFICANT, DEPENDS, NOT_SIGNIFICANT = "significant", "possibly significant", "not significant"
MOST_SIZE = 10_000  # of a test set that is looked for behind figures that are not counts
MOST_RUNS = 10  # of a mean that is looked for behind a figure that is not a count
# Shares `real` and `synthetic` → the mix of this program that has them (conf/mix).
MIXES = {(1.0, 0.0): "real", (1, 0.5): "add50", (1, 1): "add100", (0, 1): "synthetic", (0, 10): "synthetic1000"}
MIXES |= {((10 - tenths) / 10, tenths / 10): f"{tenths}{10 - tenths}" for tenths in range(2, 9)}
MIXES |= {(percent / 100, 0): f"real{percent}" for percent in (20, 30, 40, 50)}
MIX_TOLERANCE = 0.001  # largest distance of a share from that of a named mix: counts and percentages are rounded


@dataclass(frozen=True)
class GrimResult:
    """Which numbers of correct predictions are printed as a figure.

    Attributes:
        n: predictions: test images times runs.
        counts: those that are; empty where `rule` is.
        rule: "rounded"; "cut off" where only leaving digits out gives the figure; "" where neither does.
        neighbours: the counts next to the figure, below or equal and above or equal.
        nearest: the count closest to it.
    """

    n: int
    counts: range
    rule: str
    neighbours: tuple[int, int]
    nearest: int


@dataclass(frozen=True)
class ArmAudit:
    """One published accuracy.

    Attributes:
        correct: of n_test images, the count nearest to the figure: tests are made with it.
        accuracy: of the figure, with Wilson's interval over n_test images.
        runs: the fewest runs, up to `MOST_RUNS`, whose mean would be printed so; None: not looked for, or none.
    """

    arm: PublishedArm
    grim: GrimResult
    correct: int
    accuracy: Estimate
    runs: int | None


@dataclass(frozen=True)
class PairAudit:
    """Two arms.

    Attributes:
        unpaired_because: why no pairing of the predictions can be thought of; empty where one can.
        extremes: the counts furthest apart that the figures may mean.
        opposed: images that may go against the difference before McNemar's exact test loses it; None: it never has it.
        tests: p values: "fisher" (exact), "z" (of two proportions) and, of paired arms, of McNemar's exact test: "best"
            if all disagreements went one way, "worst" if the arms disagreed wherever they could, "extreme" the best
            case of `extremes`.
        corrected: the same by Holm, over all comparisons with the baseline; empty for pairs without it.
    """

    first: ArmAudit
    second: ArmAudit
    unpaired_because: str
    extremes: tuple[int, int]
    opposed: int | None
    tests: Mapping[str, float]
    corrected: Mapping[str, float] = field(default_factory=dict)

    @property
    def difference(self) -> Decimal:
        """Second minus first as printed, in points."""
        return self.second.arm.accuracy - self.first.arm.accuracy

    @property
    def verdict(self) -> str:
        """What can be said of a difference from the baseline."""
        best, worst = ("fisher", "fisher") if self.unpaired_because else ("best", "worst")
        if self.corrected[best] > ALPHA:
            return NOT_SIGNIFICANT
        return SIGNIFICANT if self.corrected[worst] <= ALPHA else DEPENDS


@dataclass(frozen=True)
class ReadingAudit:
    """What a table says if its arms' names are read in one way.

    Attributes:
        mixes: per arm, the override that trains it.
        trend: of accuracy over synthetic share; None where one of them is constant.
        mixed_trend: the same of the arms with synthetic images.
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
        detectable: the power of each test, for a baseline of the accuracy beside it.
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


def grim(figure: Decimal, n: int) -> GrimResult:
    """Compute which counts of n are printed as a figure: the GRIM test, in exact fractions.

    Brown, N. J. L., Heathers, J. A. J. (2017). The GRIM test: a simple technique detects numerous anomalies in the
    reporting of results in psychology. Social Psychological and Personality Science 8(4), 363-369.

    Args:
        figure: a percentage with as many decimals as are to be believed.
        n: predictions behind it.
    """
    exact = Fraction(figure) * n / 100
    rounded, cut_off = _printed_as(figure, n)
    counts = rounded or cut_off
    neighbours = math.floor(exact), math.ceil(exact)
    near = [count for count in neighbours if count in counts] or neighbours
    rule = "rounded" if rounded else "cut off" if cut_off else ""
    return GrimResult(n, counts, rule, neighbours, min(near, key=lambda count: abs(count - exact)))


def _printed_as(figure: Decimal, n: int) -> tuple[range, range]:
    """Return the counts of n that give a percentage if rounded, ties up or to the even digit, and if digits are cut."""
    unit = Fraction(Decimal(1).scaleb(int(figure.as_tuple().exponent)))  # of the last digit: 0.01 of 94.20
    low, exact, high, next_figure = ((Fraction(figure) + part * unit / 2) * n / 100 for part in (-1, 0, 1, 2))
    stop = math.floor(high) + 1 if Fraction(figure) / unit % 2 == 0 else math.ceil(high)
    return range(max(math.ceil(low), 0), min(stop, n + 1)), range(math.ceil(exact), min(math.ceil(next_figure), n + 1))


def _audit_arm(arm: PublishedArm) -> ArmAudit:
    seeds = arm.seeds or 1
    result = grim(arm.accuracy, arm.n_test * seeds)
    # Several runs predict the same images: for a test against another arm they are worth no more images than one.
    correct = grim(arm.accuracy, arm.n_test).nearest
    runs = None
    if not result.counts and seeds == 1:
        runs = next((m for m in range(2, MOST_RUNS + 1) if _printed_as(arm.accuracy, m * arm.n_test)[0]), None)
    share = float(Fraction(arm.accuracy) / 100)
    return ArmAudit(arm, result, correct, wilson(min(share * arm.n_test, arm.n_test), arm.n_test), runs)


def _common_size(arms: Sequence[PublishedArm]) -> int | None:
    """Return the smallest number of test images of which all figures are counts, up to MOST_SIZE."""
    figures = {arm.accuracy for arm in arms}
    return next((n for n in range(1, MOST_SIZE + 1) if all(_printed_as(figure, n)[0] for figure in figures)), None)


def _audit_pair(first: ArmAudit, second: ArmAudit) -> PairAudit:
    n, few, many = first.arm.n_test, *sorted((first.correct, second.correct))
    counts = first.correct, n, second.correct, second.arm.n_test
    tests = {"fisher": hypothesis_tests.fisher(*counts), "z": hypothesis_tests.two_proportion_z(*counts)}
    averaged = any((item.arm.seeds or 1) > 1 for item in (first, second))
    reason = "not the same test images" if second.arm.n_test != n else "a mean of several runs" if averaged else ""
    grims = first.grim, second.grim
    ends = [(item.counts[0], item.counts[-1]) if item.counts else item.neighbours for item in grims]
    extremes = max(product(ends[0], ends[1]), key=lambda pair: abs(pair[1] - pair[0]))
    gap = many - few
    against = min(few, n - many)  # the most images that can be wrong in the better arm and right in the worse
    if not reason:
        tests["best"], tests["worst"] = mcnemar_at_best(gap), mcnemar(gap + against, against)
        tests["extreme"] = mcnemar_at_best(extremes[1] - extremes[0])
    most = hypothesis_tests.most_opposed(gap)
    return PairAudit(first, second, reason, extremes, None if most is None else min(most, against), tests)


def _holm_corrected(pairs: Sequence[PairAudit]) -> tuple[PairAudit, ...]:
    """Return the comparisons with the baseline, corrected for their number; one without a p value counts, too."""
    tests = {test for pair in pairs for test in pair.tests}
    adjusted = {test: hypothesis_tests.holm([pair.tests.get(test, 1.0) for pair in pairs]) for test in tests}
    corrected = [{test: adjusted[test][row] for test in pair.tests} for row, pair in enumerate(pairs)]
    return tuple(replace(pair, corrected=values) for pair, values in zip(pairs, corrected, strict=True))


def _detectable(baseline: PublishedArm, discordant: Sequence[float]) -> tuple[tuple[float, PowerOfTest], ...]:
    """At the baseline's accuracy in whole percent and as printed; paired, with each expected share of discordance."""
    published, n = float(Fraction(baseline.accuracy) / 100), baseline.n_test
    accuracies = dict.fromkeys([round(published, 2), published])
    assumed = Assumptions(published, n)
    same_images = product(discordant, ("McNemar", "McNemar, exact"))
    return (
        *((accuracy, test) for accuracy in accuracies for test in unpaired(accuracy, n, POINT)),
        *((published, paired(assumed, share, test)) for share, test in same_images),
    )


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
    arms, shares = published.arms, reading.synthetic
    real = {arm.name: arm.n_train and round(arm.n_train * (100 - shares[arm.name]) / 100) for arm in arms}
    pairs = [(shares[arm.name], float(arm.accuracy)) for arm in arms]
    mixed = [pair for pair in pairs if pair[0] > 0]
    baseline = next(arm for arm in arms if arm.name == published.baseline)
    # A mix keeps at most all real images, so the most that any arm has must exist.
    whole = max(baseline.n_train or 0, *(count or 0 for count in real.values()))
    sizes = [arm.n_train / whole if baseline.n_train and arm.n_train else 1.0 for arm in arms]
    controls = [count for name, count in real.items() if shares[name] == 0 and count is not None]
    # As many real images as a control: within one percent, since shares are kept per class and rounded.
    uncontrolled = [
        name
        for name, count in real.items()
        if count is not None
        and count < (real[baseline.name] or 0)
        and all(abs(control - count) > max(1, count / 100) for control in controls)
    ]
    return ReadingAudit(
        reading,
        tuple(mix_override(shares[arm.name], size) for arm, size in zip(arms, sizes, strict=True)),
        kendall(*zip(*pairs, strict=True)),
        kendall(*zip(*mixed, strict=True)) if mixed else None,
        tuple(real.values()),
        tuple(uncontrolled),
    )
