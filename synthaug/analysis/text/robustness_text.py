"""How robustness and calibration are said: tables, and the findings in plain words."""

from collections.abc import Iterable, Iterator

from synthaug.analysis.inference.intervals import ALPHA, Estimate
from synthaug.analysis.robustness.shift_effects import ArmOnSet, JudgedSet, Robustness
from synthaug.analysis.text.document import Block, Heading, Points, Rows, Sentences
from synthaug.analysis.text.format import NONE, accuracy, difference, percent, points

_EXPLAINED = (
    "Every arm answers the same images of a set. The difference is from the baseline on that set. The extra is what an "
    "arm gains from the runs' own test to the set, less what the baseline gains: below 0, the shift costs it more. "
    "Intervals are 95 %, over images and seeds, each alone."
)
_ELSEWHERE = "Each corruption, and how sure the arms were of their answers: report.html and results.json."
_CONFIDENCE = (
    "Confidence is the mean probability of the answer given, overconfidence that minus the accuracy, the error the "
    "expected calibration error in 15 bins, all in points."
)


def summary(found: Robustness) -> list[Block]:
    """What a console has room for: corruptions by their mean, every other set by itself, the rest by where it is."""
    said = findings(found)
    shown = [one for one in _sets(found) if found.pooled is None or one is found.pooled or not one.paired]
    return [
        Heading("Further test sets"),
        *([Points(said)] if said else []),
        _table(shown),
        Sentences(f"{_EXPLAINED} {_ELSEWHERE}"),
        *_noted(found),
    ]


def document(found: Robustness) -> list[Block]:
    """Everything about a group's further test sets, to be printed or made into Markdown."""
    said = findings(found)
    return [
        Heading("Further test sets"),
        *([Points(said)] if said else []),
        shifted(found),
        Sentences(_EXPLAINED),
        Heading("Calibration and confidence by origin"),
        by_origin(found),
        Sentences(_CONFIDENCE),
        *_noted(found),
    ]


def _noted(found: Robustness) -> list[Block]:
    return [Points([f"Note: {note}" for note in found.notes])] if found.notes else []


def shifted(found: Robustness) -> Rows:
    """One row per further test set and arm, the mean over corruptions first."""
    return _table(_sets(found))


def _sets(found: Robustness) -> list[JudgedSet]:
    return [*([found.pooled] if found.pooled else []), *found.sets]


def _table(sets: Iterable[JudgedSet]) -> Rows:
    headers = ("test set", "images", "arm", "accuracy %", "difference from real", "extra", "seeds")
    return Rows(headers, [_row(one, arm) for one in sets for arm in one.arms], left=(0, 2, 6))


def _row(one: JudgedSet, arm: ArmOnSet) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.n:,}",
        arm.arm,
        accuracy(arm.accuracy, one.n),
        difference(arm.difference, one.n),
        difference(arm.extra, one.n),
        " ".join(map(str, arm.seeds)),
    )


def by_origin(found: Robustness) -> Rows:
    """One row per test set and arm: the runs' own test, then further sets, those of synthetic images last."""
    sets = sorted([found.test, *found.sets], key=lambda one: one.origin != "real")
    headers = ("test set", "origin", "arm", "accuracy %", "confidence %", "overconfidence", "calibration error")
    rows = [_sure(one, arm) for one in sets for arm in one.arms]
    return Rows(headers, rows, left=(0, 1, 2))


def _sure(one: JudgedSet, arm: ArmOnSet) -> tuple[str, ...]:
    found = arm.calibration
    return (
        one.name,
        one.origin,
        arm.arm,
        percent(arm.accuracy.value, one.n),
        accuracy(found.confidence, one.n) if found else NONE,
        difference(found.overconfidence, one.n) if found else NONE,
        accuracy(found.error, one.n) if found else NONE,
    )


def findings(found: Robustness) -> list[str]:
    """What corruption costs each arm beside the baseline; then each set that stands out after Holm's correction."""
    return [*_pooled(found), *_single(found)]


def _pooled(found: Robustness) -> Iterator[str]:
    if found.pooled is None:
        return
    of = f"{sum(one.paired for one in found.sets)} corrupted test sets together"
    for arm in found.pooled.arms:
        if arm.extra is not None:
            yield f"{arm.arm}, {of}: {_cost(arm.extra, found.pooled.n)}."


def _single(found: Robustness) -> Iterator[str]:
    for one in found.sets:
        for arm in one.arms:
            if arm.extra is not None and arm.extra.adjusted_p is not None and arm.extra.adjusted_p <= ALPHA:
                yield f"{arm.arm}, {one.name}: {_cost(arm.extra, one.n)}, p {_p(arm.extra.adjusted_p)} by Holm."


def _cost(extra: Estimate, n: int) -> str:
    """What a shift costs an arm more or less than the baseline."""
    if extra.contains_zero:
        return (
            f"the loss cannot be told apart from that of real ({points(extra.value, n)} points, "
            f"95 % interval {points(extra.low, n)} to {points(extra.high, n)})"
        )
    near, far = sorted((abs(extra.low), abs(extra.high)))
    word = "more" if extra.value < 0 else "less"
    return (
        f"loses {percent(abs(extra.value), n)} points {word} than real does, 95 % interval {percent(near, n)} to "
        f"{percent(far, n)} {word}"
    )


def _p(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"
