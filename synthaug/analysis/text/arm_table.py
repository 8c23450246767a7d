"""The table of the arms: its columns and cells, the same on the console, on the page and in the files."""

from synthaug.analysis.comparison.model import Group
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
    headers, n = list(HEADERS), group.n_test
    rows = [
        [
            arm.name,
            f"{arm.real:g} {format.TIMES}" if arm.n_real is None else f"{arm.n_real:,}",
            f"{arm.synthetic:g} {format.TIMES}" if arm.n_synthetic is None else f"{arm.n_synthetic:,}",
            format.share(arm.synthetic_fraction),
            format.accuracy(arm.accuracy, n),
            format.difference(arm.difference, n),
            format.p_value(arm.difference.adjusted_p if arm.difference else None),
            format.NONE if arm.steps is None else f"{arm.steps:,}",
            " ".join(map(str, arm.seeds)) or format.NONE,
        ]
        for arm in group.arms
    ]
    if not any(arm.difference and arm.difference.adjusted_p is not None for arm in group.arms):
        for row in (headers, *rows):
            del row[HEADERS.index(P_VALUE)]
    return headers, rows
