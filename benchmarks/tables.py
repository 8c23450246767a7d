"""The results of the simulation as Markdown, as they stand in benchmarks/README.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
ACCEPTED = (0.93, 0.97)  # range of a coverage that should be 95 %


def tables(results: Mapping[str, Any]) -> str:
    """Return all tables of the results, each with a heading."""
    rows = [
        {name: value for name, value in zip(part["columns"], values, strict=True) if value is not None}
        for part in results.values()
        for values in part["rows"]
    ]
    grid = [row for row in rows if row["question"] == "difference"]
    rest = [row for row in rows if row["question"] != "difference"]
    parts = [
        ("Coverage of 95 % intervals of a difference, over all cells", _methods(grid)),
        ("The interval taken, by seeds and test images", _sizes([row for row in grid if row["method"] == "crossed"])),
        ("Its cells farthest off", _worst([row for row in grid if row["method"] == "crossed"])),
        ("Other intervals", _others([row for row in rest if "covered" in row])),
        ("Rejections of true hypotheses", _rejections([row for row in rest if _false_alarm(row)])),
        ("Power, predicted and observed", _power([row for row in rest if "predicted" in row])),
        ("How this was run", _about(results)),
    ]
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in parts if table)


def _false_alarm(row: Row) -> bool:
    return "covered" not in row and "predicted" not in row


def _methods(rows: Sequence[Row]) -> str:
    lines = []
    for seeds in _in_order(row["seeds"] for row in rows):
        for method in _in_order(row["method"] for row in rows):
            of_method = [row for row in rows if (row["seeds"], row["method"]) == (seeds, method)]
            if not of_method:
                continue
            covered = np.array([row["covered"] for row in of_method])
            shown = [_percent(quantile) for quantile in np.quantile(covered, [0, 0.05, 0.5, 0.95, 1])]
            below, above = covered < ACCEPTED[0], covered > ACCEPTED[1]
            shown += [f"{100 * np.mean(share):.0f} %" for share in (below, ~below & ~above)]
            width = 100 * np.mean([row["width"] for row in of_method])
            lines.append([seeds, _bold(method), len(covered), *shown, f"{width:.2f}"])
    head = ["seeds", "method", "cells", "lowest", "5 %", "median", "95 %", "highest", "below 93", "93 to 97", "width"]
    return _table(head, lines)


def _bold(method: str) -> str:
    return f"**{method}**" if method == "crossed" else method


def _sizes(rows: Sequence[Row]) -> str:
    images = _in_order(row["images"] for row in rows)
    lines = []
    for seeds in _in_order(row["seeds"] for row in rows):
        line: list[object] = [seeds]
        for n in images:
            covered = [row["covered"] for row in rows if (row["seeds"], row["images"]) == (seeds, n)]
            line.append(f"{_percent(min(covered))} · {_percent(np.median(covered))} · {_percent(max(covered))}")
        lines.append(line)
    return _table(["seeds", *(f"{n:,} images" for n in images)], lines)


def _worst(rows: Sequence[Row]) -> str:
    ordered = sorted(rows, key=lambda row: row["covered"])
    high = [row for row in ordered if row["covered"] > ACCEPTED[1] and row["images"] >= 500 and row["seeds"] >= 5]
    lines = [
        [which, row["seeds"], row["images"], *_truth(row), _percent(row["covered"]), f"{100 * row['width']:.2f}"]
        for which, some in (("lowest", ordered[:5]), ("highest, of 5 seeds and 500 images or more", high[-3:]))
        for row in some
    ]
    head = ["", "seeds", "images", "accuracy", "difference", "seed deviation", "discordant", "coverage", "width"]
    return _table(head, lines)


def _truth(row: Row) -> list[str]:
    names = ("accuracy", "difference", "seed_deviation", "discordant")
    return [f"{100 * row[name]:.1f}".replace("-", "−") for name in names]


def _others(rows: Sequence[Row]) -> str:
    lines = []
    for question, method in _in_order((row["question"], row["method"]) for row in rows):
        of_method = [row for row in rows if (row["question"], row["method"]) == (question, method)]
        line: list[object] = [question, method]
        for seeds in _in_order(row["seeds"] for row in rows):
            for large in (False, True):
                cells = [row for row in of_method if row["seeds"] == seeds and (row["images"] > 200) == large]
                line.append(" · ".join(_percent(row["covered"]) for row in cells))
        lines.append(line)
    seeds_images = [f"{seeds} × {n}" for seeds in _in_order(row["seeds"] for row in rows) for n in ("162", "1,500")]
    return _table(["question", "method", *seeds_images], lines)


def _rejections(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        allowed = 2.5 if row["question"] == "worse by the margin" else 5
        truth = f"{100 * row['seed_deviation']:.1f}"
        cells = [row["seeds"], f"{row['images']:,}", truth, f"{100 * row['rejected']:.1f} %", f"{allowed} %"]
        lines.append([row["question"], row["method"], *cells])
    return _table(["true hypothesis", "test", "seeds", "images", "seed deviation", "rejected", "allowed"], lines)


def _power(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        rates = [f"{100 * row[name]:.1f} %" for name in ("predicted", "rejected")]
        lines.append([row["method"], row["seeds"], f"{row['images']:,}", *_truth(row), *rates])
    truth = ["accuracy", "difference", "seed deviation", "discordant"]
    return _table(["test", "seeds", "images", *truth, "predicted", "observed"], lines)


def _about(results: Mapping[str, Any]) -> str:
    names = ["date", "commit", "seed", "processor_minutes", "machine"]
    return _table(
        ["part", *names], [[part, *(result["about"][name] for name in names)] for part, result in results.items()]
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    if not lines:
        return ""
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (head, ["---"] * len(head), *lines))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _in_order(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
