"""How the time of a report grows with arms, seeds, test images and classes.

    python -m benchmarks.growth                          # growth.json and growth.png: ten minutes of one core
    python -m benchmarks.growth --program <checkout>     # the same of another version, beside it
    python -m benchmarks.growth --table                  # the table, from growth.json

Studies are made up by the factories of the tests, through the writers of real ones. Processor time, user and system, of
a whole `python -m synthaug.report` that has to compute everything; memory is its peak.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cost

FILE = Path(__file__).with_suffix(".json")
USUAL = {"arms": 5, "seeds": 3, "images": 1500, "classes": 10}
GRID = {
    "arms": (5, 20, 80, 200),
    "seeds": (1, 3, 10, 20),
    "images": (1500, 5000, 20000),
    "classes": (10, 100, 1000),
}
Row = Mapping[str, Any]


def make(folder: Path, size: Mapping[str, int]) -> None:
    """Make up a study: five mixes of each of several recipes.

    Args:
        folder: of the study.
        size: arms, seeds, images and classes.
    """
    from tests.factories.studies import MadeUp, make_study

    for recipe in range(size["arms"] // 5):
        content = MadeUp(
            seeds=range(size["seeds"]),
            classes=[f"class {number}" for number in range(size["classes"])],
            n_test=size["images"],
            images=4 if size["classes"] <= 10 else 1,
            settings={"model.lr": round(0.001 * (recipe + 1), 4)},
        )
        make_study(folder, content)


def measure(size: Mapping[str, int], program: Path, repeats: int) -> Row:
    """Return processor seconds, peak memory and size of the page of a report.

    Args:
        size: of the study.
        program: checkout that makes the study and reports it.
        repeats: reports, each of a study that was not reported before.
    """
    seconds, rows = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            study = Path(folder, "study")
            for arguments in (
                [__file__, "--make", str(study), json.dumps(size)],
                ["-m", "synthaug.report", str(study)],
            ):
                used = cost.measure([sys.executable, *arguments], program, program, {"OMP_NUM_THREADS": "1"})
            seconds.append(used.processor)
            predictions = next(path for path in study.glob("*/*/seed0/predictions.*"))
            page = study / "report.html"
            rows.append((used.peak_mb, page.stat().st_size / 1e6, predictions.stat().st_size / 1e6))
    peak, page_size, of_run = (statistics.median(column) for column in zip(*rows, strict=True))
    return {"seconds": statistics.median(seconds), "peak_mb": peak, "page_mb": page_size, "predictions_mb": of_run}


def sizes() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield what grows, and the size of the study; at least eight test images of each class."""
    for axis, values in GRID.items():
        for value in values:
            size = {**USUAL, axis: value}
            yield axis, {**size, "images": max(size["images"], 8 * size["classes"])}


def commit(program: Path) -> str:
    """Return the commit of a checkout."""
    command = ["git", "-C", str(program), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, the versions beside each other."""
    versions = list(dict.fromkeys(row["commit"] for row in rows))
    head = ["study", *(f"{version}: seconds, peak, page, predictions of a run" for version in versions)]
    lines = [head, ["---", *("---:" for _ in versions)]]
    cells = {(row["axis"], row["size"][row["axis"]], row["commit"]): row for row in rows}
    for axis, value in dict.fromkeys(key[:2] for key in cells):
        of_versions = [cells.get((axis, value, version)) for version in versions]
        lines.append([f"{value:,} {axis}", *map(_cell, of_versions)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row['seconds']:.1f} s, {row['peak_mb']:,.0f} MB, {row['page_mb']:.2f} MB, {row['predictions_mb']:.2f} MB"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw seconds against each size, on logarithmic axes.

    Args:
        rows: of one or several versions.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), dpi=90, layout="constrained")
    names = [axis for axis in GRID if any(row["axis"] == axis for row in rows)]
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for place, axis in zip(axes, names, strict=True):
        for version in dict.fromkeys(row["commit"] for row in rows):
            of_axis = [row for row in rows if (row["axis"], row["commit"]) == (axis, version)]
            points = [(row["size"][axis], row["seconds"]) for row in of_axis]
            place.loglog(*zip(*points, strict=True), "o-", label=version)
        place.set_xlabel({"images": "test images"}.get(axis, axis))
        place.set_xticks(GRID[axis], [f"{value:,}" for value in GRID[axis]])
        place.minorticks_off()
        place.grid(alpha=0.3)
    axes[0].set_ylabel("processor seconds")
    axes[0].legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--program", type=Path, default=cost.ROOT, help="checkout to be measured")
    parser.add_argument("--repeats", type=int, default=3, help="reports of each study")
    parser.add_argument("--table", action="store_true")
    parsed = parser.parse_args()
    if parsed.make:
        make(Path(parsed.make[0]), json.loads(parsed.make[1]))
        return
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []
    if not parsed.table:
        version = commit(parsed.program)
        rows = [row for row in rows if row["commit"] != version]
        for axis, size in sizes():
            measured = measure(size, parsed.program.resolve(), parsed.repeats)
            rows.append({"commit": version, "axis": axis, "size": size, **measured})
            print(f"{size[axis]:,} {axis}: {_cell(rows[-1])}", flush=True)
        FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        draw(rows, FILE.with_suffix(".png"))
    print(table(rows))


if __name__ == "__main__":
    main()
