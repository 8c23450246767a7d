"""The table of the arms: its columns and cells, the same on the console, on the page and in the files."""

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.text import format

P_VALUE = "adjusted\np"
HEADERS = (
    "arm",
    "real",
    "synthetic",
    "synthetic\nshare",
    "accuracy %\n[95 % CI]",
    "difference from real,\npoints [95 % CI]",
    P_VALUE,
    "steps",
    "seeds",
)


def table(group: Group) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows; without the column of p values where nothing is tested, as with one seed."""
    headers, *rows = (list(HEADERS), *(list(cells(arm, group)) for arm in group.arms))
    place = headers.index(P_VALUE)
    if all(row[place] == format.NONE for row in rows):
        for row in (headers, *rows):
            del row[place]
    return headers, rows


def cells(arm: Arm, group: Group) -> tuple[str, ...]:
    """Return one row, under `HEADERS`.

    Args:
        arm: of the group.
        group: with the number of test images.
    """
    return (
        arm.name,
        *format.counts(arm),
        format.share(arm.synthetic_fraction),
        format.accuracy(arm.accuracy, group.n_test),
        format.difference(arm.difference, group.n_test),
        format.p_value(arm.difference.adjusted_p if arm.difference else None),
        format.NONE if arm.steps is None else f"{arm.steps:,}",
        " ".join(map(str, arm.seeds)) or format.NONE,
    )
