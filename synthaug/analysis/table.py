"""How numbers are said, in cells and in sentences, and the table for the console."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthaug.analysis.statistics import Estimate
from synthaug.analysis.study import NOT_COMPARABLE, Arm, Comparison, Group
from synthaug.results import PLANNED

HEADERS = (
    "arm",
    "real",
    "synthetic",
    "synthetic\nshare",
    "accuracy %\n[95 % interval]",
    "difference from real,\npoints [95 % interval]",
    "seeds",
)
NONE = "-"
MINUS, TIMES = "\u2212", "\u00d7"  # the signs, not hyphen and x
PIPE_WIDTH = 120  # columns where the output is no terminal, so that no cell is folded
FEW_IMAGES = 100  # below, a second decimal of a percentage would be invented


# --- cells -------------------------------------------------------------------------------------------


def percent(value: float, n: int) -> str:
    """A fraction as a percentage, without the sign: 0.9613 -> "96.13"."""
    return f"{100 * value:.{_decimals(n)}f}"


def points(value: float, n: int) -> str:
    """A difference of fractions in percentage points, signed: 0.0052 -> "+0.52"."""
    text = f"{100 * value:+.{_decimals(n)}f}"
    # "-0.00" would claim a direction that the digits do not show.
    return text.replace("-", MINUS) if text.strip("+-0.") else text.lstrip("+-")


def share(arm: Arm) -> str:
    """The synthetic share: "60 %"."""
    return f"{100 * arm.synthetic_fraction:.3g} %"


def counts(arm: Arm) -> tuple[str, str]:
    """Real and synthetic training images; before the first finished run, the multiples asked for."""
    if arm.n_real is None or arm.n_synthetic is None:
        return f"{arm.real:g} {TIMES}", f"{arm.synthetic:g} {TIMES}"
    return f"{arm.n_real:,}", f"{arm.n_synthetic:,}"


def accuracy(estimate: Estimate | None, n: int) -> str:
    """Accuracy in percent with its interval."""
    if estimate is None:
        return NONE
    return f"{percent(estimate.value, n)} [{percent(estimate.low, n)}, {percent(estimate.high, n)}]"


def difference(estimate: Estimate | None, n: int) -> str:
    """Difference in points with its interval."""
    if estimate is None:
        return NONE
    return f"{points(estimate.value, n)} [{points(estimate.low, n)}, {points(estimate.high, n)}]"


def cells(arm: Arm, group: Group) -> tuple[str, ...]:
    """One row of the table, under `HEADERS`."""
    seeds = " ".join(map(str, arm.seeds)) or NONE
    return (
        arm.name,
        *counts(arm),
        share(arm),
        accuracy(arm.accuracy, group.n_test),
        difference(arm.difference, group.n_test),
        seeds,
    )


def _decimals(n: int) -> int:
    return 2 if n >= FEW_IMAGES else 1


# --- sentences ---------------------------------------------------------------------------------------


def mix(arm: Arm) -> str:
    """What a name such as "64" stands for."""
    real, synthetic = counts(arm)
    return f"{share(arm)} synthetic: {real} real + {synthetic} synthetic images"


def answer(arm: Arm, group: Group) -> str:
    """What is known about an arm, to follow its name and mix."""
    n = group.n_test
    images = f"{n:,} test images" if n != 1 else "one test image"
    if arm.accuracy is None:
        return "no finished run that can be compared"
    if arm.baseline or arm.difference is None:
        low, high = percent(arm.accuracy.low, n), percent(arm.accuracy.high, n)
        return f"{percent(arm.accuracy.value, n)} % of {images} right, 95 % interval {low} to {high} %"
    found = arm.difference
    if found.contains_zero:
        which = "these" if n != 1 else "this"
        return (
            f"cannot be told apart from real with {which} {images} ({points(found.value, n)} points, "
            f"95 % interval {points(found.low, n)} to {points(found.high, n)})"
        )
    word = "below" if found.value < 0 else "above"
    near, far = sorted((abs(found.low), abs(found.high)))
    return (
        f"{percent(abs(found.value), n)} points {word} real, "
        f"95 % interval {percent(near, n)} to {percent(far, n)} {word}"
    )


def headline(group: Group) -> str:
    """All arms in one sentence."""
    found = [arm.difference for arm in group.arms if arm.difference is not None]
    if not found:
        return "No arm can be compared with real yet."
    below = sum(item.high < 0 for item in found)
    above = sum(item.low > 0 for item in found)
    parts = [
        (below, "below real"),
        (above, "above real"),
        (len(found) - below - above, "not told apart from real"),
    ]
    said = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{len(found)} {'arm' if len(found) == 1 else 'arms'} against real: {said}."


def caption(group: Group) -> list[str]:
    """What the intervals cover and what they do not."""
    intervals = (
        "Intervals cover the draw of test images, not the draw of seeds: accuracy by Wilson, the difference "
        "paired by test image (Bonett and Price). Each stands alone, uncorrected for the number of arms."
    )
    said = [intervals]
    if all(len(arm.seeds) <= 1 for arm in group.arms):
        said.append("One seed per arm: the spread from run to run is not measured.")
    elif any(len(arm.seeds) == 1 for arm in group.arms):
        alone = ", ".join(arm.name for arm in group.arms if len(arm.seeds) == 1)
        said.append(f"One seed only, so that the spread from run to run is not measured: {alone}.")
    if any(len(arm.seeds) > 1 and arm.synthetic > 0 and arm.one_draw for arm in group.arms):
        said.append("The seeds of an arm share its synthetic images: the draw of those is in no interval either.")
    return said


def way_out(comparison: Comparison, group: Group) -> str:
    """What to do about a run that will never finish; empty where there is none."""
    if all(item.state == NOT_COMPARABLE for item in group.left_out):
        return ""
    return f"To drop a run that is no longer wanted, delete its entry in {comparison.folder / PLANNED}."


def title(group: Group) -> str:
    """What the group is about, in one line."""
    return f"{group.dataset} · {group.generator} · {group.model}"


# --- console -----------------------------------------------------------------------------------------


def print_table(comparison: Comparison, console: Console | None = None) -> None:
    """Print one table per group; beneath it what it covers, the notes, and every run that is not in it."""
    if console is None:
        console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    for group in comparison.groups:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
        table.title = Text(f"{comparison.study}: {title(group)} ({group.n_test:,} test images)")
        for header in HEADERS:
            # Folded, not cut: names of arms may differ in their last letters.
            table.add_column(header, justify="left" if header in ("arm", "seeds") else "right", overflow="fold")
        for arm in group.arms:
            # Text, since a name such as "[red]" is markup in a plain string.
            table.add_row(*(Text(cell) for cell in cells(arm, group)))
        console.print(table)
        for line in caption(group):
            console.print(Text(line, style="dim"))
        for note in group.notes:
            console.print(Text(f"Note: {note}"))
        if group.left_out:
            console.print(Text("Runs that are not in the table:", style="bold"))
        for item in group.left_out:
            key = item.run.key
            console.print(Text(f"  {key.arm}  seed {key.seed}  {item.state}: {item.reason}"))
        if hint := way_out(comparison, group):
            console.print(Text(hint))
