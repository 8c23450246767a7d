"""The table of the arms: its columns and cells, the same on the console, on the page and in the files."""

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.text import format

P_VALUE = "adjusted\np"
REFERENCE = "compared\nwith"
SEEDS, ONE_SEED = "seeds", "seed"
HEADERS = (
    "arm",
    "real",
    "synthetic",
    "synthetic\nshare",
    "accuracy %\n[95 % CI]",
    "difference from real,\npoints [95 % CI]",
    REFERENCE,
    P_VALUE,
    "steps",
    SEEDS,
)


def labels(group: Group) -> dict[str, str]:
    """Return how each arm is called, by its name: by its numbers of images in a grid, else by its name."""
    names = {arm.name: arm.name for arm in group.arms}
    grid = grid_of(group)
    return names | ({arm.name: format.amounts(*cell) for cell, arm in grid.arms.items()} if grid else {})


def grid_labels(group: Group) -> dict[str, str]:
    """Return the labels of the arms of a grid by name, but of its baseline: "real" is also an origin of images."""
    baselines = {arm.name for arm in group.arms if arm.baseline}
    return {name: label for name, label in labels(group).items() if label != name and name not in baselines}


def ordered(group: Group) -> list[Arm]:
    """Return the arms in the order of the rows: in a grid by real images, the most first, then by synthetic ones."""
    if grid_of(group) is None:
        return list(group.arms)
    return sorted(group.arms, key=lambda arm: (-(arm.n_real or 0), arm.n_synthetic or 0))


def table(group: Group) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows, in the order of `ordered`.

    There is no column of p values where nothing is tested, as with one seed, none of references where all arms have
    one, and none of images where arms are called by them.
    """
    arm_labels, n = labels(group), group.n_test
    rows = [
        [
            arm_labels[arm.name],
            _images(arm.n_real, arm.real, arm),
            _images(arm.n_synthetic, arm.synthetic, arm),
            format.share(arm.synthetic_fraction),
            format.accuracy(arm.accuracy, n),
            format.difference(arm.difference, n),
            arm.reference or format.NONE,
            format.p_value(arm.difference.adjusted_p if arm.difference else None),
            format.NONE if arm.steps is None else f"{arm.steps:,}",
            " ".join(map(str, arm.seeds)) or format.NONE,
        ]
        for arm in ordered(group)
    ]
    tested = any(arm.difference and arm.difference.adjusted_p is not None for arm in group.arms)
    references = {arm.reference for arm in group.arms if arm.reference}
    dropped = [
        *([] if tested else [P_VALUE]),
        *([REFERENCE] if len(references) < 2 else []),
        *(["real", "synthetic"] if grid_of(group) is not None else []),
    ]
    kept = [column for column, header in enumerate(HEADERS) if header not in dropped]
    headers, *rows = ([row[column] for column in kept] for row in (HEADERS, *rows))
    if all(len(arm.seeds) <= 1 for arm in group.arms):  # or 0 reads as the number of them
        headers[-1] = ONE_SEED
    return headers, rows


def _images(number: int | None, multiple: float, arm: Arm) -> str:
    """Format a number of images; until it is known, the multiple of the real training set."""
    if number is None:
        return format.NONE if arm.is_in_numbers else f"{multiple:g} {format.TIMES}"
    return f"{number:,}"
