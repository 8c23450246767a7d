"""Sentences on the arms of a study, and the table for the console."""

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthaug.analysis.comparison.model import NOT_COMPARABLE, Arm, Comparison, Group
from synthaug.analysis.inference.intervals import Difference
from synthaug.analysis.text.format import (
    NONE,
    accuracy,
    counts,
    difference,
    in_points,
    p_value,
    percent,
    points,
    share,
    test_images,
    title,
)
from synthaug.runs.layout import PLANNED

HEADERS = (
    "arm",
    "real",
    "synthetic",
    "synthetic\nshare",
    "accuracy %\n[95 % interval]",
    "difference from real,\npoints [95 % interval]",
    "p after\nHolm",
    "steps",
    "seeds",
)
PIPE_WIDTH = 120  # columns where the output is no terminal, so that no cell is folded


def cells(arm: Arm, group: Group) -> tuple[str, ...]:
    """One row of the table, under `HEADERS`."""
    seeds = " ".join(map(str, arm.seeds)) or NONE
    return (
        arm.name,
        *counts(arm),
        share(arm.synthetic_fraction),
        accuracy(arm.accuracy, group.n_test),
        difference(arm.difference, group.n_test),
        p_value(arm.difference.adjusted_p) if arm.difference else NONE,
        f"{arm.steps:,}" if arm.steps is not None else NONE,
        seeds,
    )


# --- sentences ---------------------------------------------------------------------------------------


def mix(arm: Arm) -> str:
    """What a name such as "64" stands for."""
    real, synthetic = counts(arm)
    return f"{share(arm.synthetic_fraction)} synthetic: {real} real + {synthetic} synthetic images"


def answer(arm: Arm, group: Group) -> str:
    """What is known about an arm, to follow its name and mix."""
    n = group.n_test
    if arm.accuracy is None:
        return "no finished run that can be compared"
    if arm.baseline or arm.difference is None:
        low, high = percent(arm.accuracy.low, n), percent(arm.accuracy.high, n)
        return f"{percent(arm.accuracy.value, n)} % of {test_images(n)} right, 95 % interval {low} to {high} %"
    said = [_from_real(arm.difference, n), _given_back(arm, n), _not_worse(arm, group)]
    return "; ".join(part for part in said if part)


def _from_real(found: Difference, n: int) -> str:
    if found.contains_zero:
        images = f"these {n:,} test images" if n != 1 else "this one test image"
        return (
            f"cannot be told apart from real with {images} ({points(found.value, n)} points, "
            f"95 % interval {points(found.low, n)} to {points(found.high, n)})"
        )
    word = "below" if found.value < 0 else "above"
    near, far = sorted((abs(found.low), abs(found.high)))
    return (
        f"{percent(abs(found.value), n)} points {word} real, "
        f"95 % interval {percent(near, n)} to {percent(far, n)} {word}{_chance(found)}"
    )


def _given_back(arm: Arm, n: int) -> str:
    """What synthetic images give back of what losing real ones costs; empty where there is no control."""
    if arm.gain is None or arm.loss is None:
        return ""
    lost, gain = f"losing {100 * (1 - arm.real):.3g} % of the real images", arm.gain
    interval = f"95 % interval {points(gain.low, n)} to {points(gain.high, n)}"
    if arm.loss.high >= 0:
        what = f"that {lost} costs anything is not shown ({points(arm.loss.value, n)} points)"
        if gain.contains_zero:
            return f"{what}, and synthetic images change it by {points(gain.value, n)} points ({interval})"
        change = "add" if gain.value > 0 else "take away"
        return f"{what}, and synthetic images {change} {percent(abs(gain.value), n)} points ({interval}){_chance(gain)}"
    costs = f"the {percent(-arm.loss.value, n)} points that {lost} costs"
    if gain.contains_zero:
        return f"whether synthetic images give back any of {costs} is open ({points(gain.value, n)}, {interval})"
    if gain.value < 0:
        return f"synthetic images take away {percent(-gain.value, n)} points beside {costs} ({interval}){_chance(gain)}"
    if gain.value > -arm.loss.value:
        more = f"{percent(gain.value + arm.loss.value, n)} more ({percent(gain.value, n)}, {interval})"
        return f"synthetic images give back {costs} and {more}{_chance(gain)}"
    return f"synthetic images give back {percent(gain.value, n)} of {costs} ({interval}){_chance(gain)}"


def _chance(found: Difference) -> str:
    """That an interval without 0 may be one of many; empty where Holm's correction leaves it significant."""
    if found.adjusted_p is None or found.is_shown:
        return ""
    return f", which may be chance among so many arms (p = {p_value(found.adjusted_p)} after Holm)"


def _not_worse(arm: Arm, group: Group) -> str:
    margin = in_points(group.margin)
    if arm.not_worse is None or arm.difference is None:
        return ""
    if arm.not_worse.verdict == "open":
        said = f"that it is not worse by more than {margin} is not shown"
        # Its own interval says that it is: without the reason, the two would contradict each other.
        many = f" among so many arms (one-sided p = {p_value(arm.not_worse.adjusted_p)} after Holm)"
        return f"{said}{many if arm.difference.low > -group.margin else ''}"
    word = "not worse" if arm.not_worse.verdict == "shown" else "worse"
    return f"{word} by more than {margin}"


def trend(group: Group) -> str:
    """How accuracy moves with the synthetic share; empty where there are too few arms to say."""
    if group.trend is None:
        return ""
    found, n = group.trend.slope, group.n_test
    interval = f"95 % interval {points(found.low, n)} to {points(found.high, n)}"
    arms = ", ".join(group.trend.arms)
    if found.contains_zero:
        said = f"No trend over the synthetic share is shown: {points(found.value, n)} points"
    else:
        said = f"Accuracy {'falls' if found.value < 0 else 'rises'} by {percent(abs(found.value), n)} points"
    return f"{said} per 10 % of synthetic share ({interval}; {arms})."


def headline(group: Group) -> str:
    """The answer to what a study asks, in one or two sentences: how much can be replaced, and what the arms say."""
    found = group.questions
    if not found:
        return "No arm can be compared with real yet."
    replaced = [arm for arm in found if arm.synthetic > 0 and arm.differs_in_share_alone]
    alone = "One training each: another seed may say otherwise." if all(len(arm.seeds) <= 1 for arm in found) else ""
    return " ".join(part for part in (_replaced(replaced, group), _counted(found), alone) if part)


def _replaced(arms: Sequence[Arm], group: Group) -> str:
    """Of arms that replace real images by synthetic ones, as many for as many."""
    if not arms:
        return ""
    within = [arm for arm in arms if arm.not_worse and arm.not_worse.verdict == "shown"]
    lost = [arm for arm in arms if arm.difference and arm.difference.is_shown and arm.difference.value < 0]
    margin = in_points(group.margin)
    if within:
        most = max(within, key=lambda arm: arm.synthetic_fraction)
        shown = {arm.name for arm in within}
        less = [arm for arm in arms if arm.synthetic_fraction < most.synthetic_fraction and arm.name not in shown]
        said = f"{share(most.synthetic_fraction)} of the real images can be replaced at a loss of less than {margin}"
        return f"{said}{_although(less, {arm.name for arm in lost}, group.n_test)}."
    if lost:
        least = min(lost, key=lambda arm: arm.synthetic_fraction)
        costs = percent(-least.difference.value, group.n_test) if least.difference else ""
        rest = f"that less costs under {margin} is not shown"
        return f"Replacing {share(least.synthetic_fraction)} of the real images costs {costs} points; {rest}."
    most = max(arms, key=lambda arm: arm.synthetic_fraction)
    said = f"is shown neither to cost anything nor to cost under {margin}"
    return f"Replacing up to {share(most.synthetic_fraction)} of the real images {said}."


def _although(less: Sequence[Arm], lost: set[str], n: int) -> str:
    """What arms that replace fewer images have against it: more cannot well cost less."""
    worse = [arm for arm in less if arm.name in lost]
    if worse:
        costs = ", ".join(
            f"{share(arm.synthetic_fraction)} costs {percent(-arm.difference.value, n)}"
            for arm in worse
            if arm.difference
        )
        return f", although replacing {costs} points: that more costs less may be chance"
    return f"; of {', '.join(share(arm.synthetic_fraction) for arm in less)} alone that is not shown" if less else ""


def _counted(arms: Sequence[Arm]) -> str:
    sure = [arm.difference for arm in arms if arm.difference and arm.difference.is_shown]
    below = sum(item.value < 0 for item in sure)
    above = len(sure) - below
    parts = [(below, "below real"), (above, "above real"), (len(arms) - below - above, "not told apart from real")]
    said = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{len(arms)} {'arm' if len(arms) == 1 else 'arms'} against real: {said}."


def caption(group: Group) -> list[str]:
    """What the intervals cover and what they do not."""
    said = []
    several = [arm for arm in group.arms if len(arm.seeds) > 1]
    if several:
        said.append(
            "Intervals cover the draw of test images and of seeds, the difference paired by both; p values are of the "
            "same two-way table."
        )
    else:
        said.append(
            "Intervals cover the draw of test images, not the draw of seeds: accuracy by Wilson, the difference paired "
            "by test image (Bonett and Price); p values by McNemar's exact test."
        )
    said.append("Each interval stands alone; p values allow for the number of arms (Holm).")
    if not several:
        said.append("One seed per arm: the spread from run to run is not measured.")
    elif any(len(arm.seeds) == 1 for arm in group.arms):
        alone = ", ".join(arm.name for arm in group.arms if len(arm.seeds) == 1)
        said.append(f"One seed only, so that the spread from run to run is not measured: {alone}.")
    if any(len(arm.seeds) > 1 and arm.synthetic > 0 and arm.one_draw for arm in group.arms):
        said.append("The seeds of an arm share its synthetic images: the draw of those is in no interval.")
    return said


def way_out(comparison: Comparison, group: Group) -> str:
    """What to do about a run that will never finish; empty where there is none."""
    if all(item.state == NOT_COMPARABLE for item in group.left_out):
        return ""
    return f"To drop a run that is no longer wanted, delete its entry in {comparison.folder / PLANNED}."


# --- console -----------------------------------------------------------------------------------------


def print_table(comparison: Comparison, notes: Sequence[Sequence[str]], console: Console | None = None) -> None:
    """Print one table per group; beneath it what it covers, the notes, and every run that is not in it.

    Args:
        comparison: of a study.
        notes: those of each group.
        console: standard output by default.
    """
    if console is None:
        console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    for group, of_group in zip(comparison.groups, notes, strict=True):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
        table.title = Text(f"{comparison.study}: {title(group)} ({test_images(group.n_test)})")
        for header in HEADERS:
            # Folded, not cut: names of arms may differ in their last letters.
            table.add_column(header, justify="left" if header in ("arm", "seeds") else "right", overflow="fold")
        for arm in group.arms:
            # Text, since a name such as "[red]" is markup in a plain string.
            table.add_row(*(Text(cell) for cell in cells(arm, group)))
        console.print(table)
        for line in caption(group):
            console.print(Text(line, style="dim"))
        if line := trend(group):
            console.print(Text(line))
        for note in of_group:
            console.print(Text(f"Note: {note}"))
        if group.left_out:
            console.print(Text("Runs that are not in the table:", style="bold"))
        for item in group.left_out:
            key = item.run.key
            console.print(Text(f"  {key.arm}  seed {key.seed}  {item.state}: {item.reason}"))
        if hint := way_out(comparison, group):
            console.print(Text(hint))
