"""The page: one HTML file that needs nothing else; numbers from `comparison`, words from `table`."""

import base64
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from synthaug import results
from synthaug.analysis import figures, table
from synthaug.analysis.answers import identity
from synthaug.analysis.comparison import MAX_CONFUSION_CLASSES
from synthaug.analysis.study import ComparedRun, Comparison, Group
from synthaug.data.pixels import decode
from synthaug.files import write_text
from synthaug.results import MixRow

MAX_CLASS_ROWS = 30
MAX_PICTURE_CLASSES = 20
PICTURES_PER_CLASS = 6
MAX_TRIES = 24  # files looked for per class and origin, so that a vanished folder costs no minutes
THUMBNAIL = 96  # pixels
SMALL = 64  # up to here a picture is kept exactly and its pixels are shown as squares
CLASS_NOTE = (
    "Shown are the {limit} of {n} classes that differ most in any arm; "
    "picked for their size, these differences overstate it."
)
UNREADABLE = (OSError, ValueError, LookupError, csv.Error)


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI."""

    source: str
    small: bool


@dataclass(frozen=True)
class PictureRow:
    """Pictures of one class."""

    name: str
    real: list[Thumbnail]
    synthetic: list[Thumbnail]


@dataclass(frozen=True)
class Pictures:
    """The grid of training images and what must be said about it."""

    rows: list[PictureRow]
    notes: list[str]


def write_page(comparison: Comparison) -> Path:
    """Write `report.html` into the study's folder and return its path."""
    path = comparison.folder / "report.html"
    write_text(path, render(comparison))
    return path


def render(comparison: Comparison) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(table=table, headers=table.HEADERS)
    groups = [_group_context(comparison, group) for group in comparison.groups]
    return environment.get_template("page.html.j2").render(comparison=comparison, groups=groups)


def _group_context(comparison: Comparison, group: Group) -> dict[str, Any]:
    finished = [run for run in group.runs if run.compared]
    colour = figures.colours(group.arms)
    return {
        "group": group,
        "colour": colour,
        "main_figures": _main_figures(group),
        "marker_legend": figures.marker_legend(group.arms),
        "class_figures": _class_figures(group, colour),
        "class_note": _limit_note(group, MAX_CLASS_ROWS, CLASS_NOTE),
        "confusions": _confusions(group),
        "dense": len(group.class_names) > figures.MAX_CELL_TEXT,
        "confusion_note": _limit_note(group, MAX_CONFUSION_CLASSES, "Not drawn for {n} classes, only up to {limit}."),
        "curves": _curves(finished, colour),
        "pictures": _pictures(comparison.folder, group, finished),
        "protocol": _protocol(group, finished),
        "provenance": _provenance(finished),
    }


def _limit_note(group: Group, limit: int, text: str) -> str:
    n = len(group.class_names)
    return text.format(limit=limit, n=f"{n:,}") if n > limit else ""


# --- figures ---------------------------------------------------------------------------------------


def _main_figures(group: Group) -> list[Markup]:
    # Markup here and below: the figures have escaped their text themselves.
    drawn = []
    if any(arm.accuracy for arm in group.arms):
        drawn.append(Markup(figures.accuracy_by_share(group.arms)))
    if any(arm.difference for arm in group.arms):
        drawn.append(Markup(figures.arm_differences(group.arms)))
    return drawn


def _class_figures(group: Group, colour: dict[str, str]) -> list[tuple[str, Markup]]:
    arms = [arm for arm in group.arms if arm.difference is not None]
    shown = figures.most_changed(arms, MAX_CLASS_ROWS)
    reach = figures.reach(arm.classes[index].difference for arm in arms for index in shown)
    return [(arm.name, Markup(figures.class_differences(arm, shown, reach, colour[arm.name]))) for arm in arms]


def _confusions(group: Group) -> list[tuple[str, Markup]]:
    return [
        (arm.name, Markup(figures.confusion(arm.name, arm.confusion, group.class_names)))
        for arm in group.arms
        if arm.confusion is not None
    ]


def _curves(runs: Sequence[ComparedRun], colour: dict[str, str]) -> dict[str, Any]:
    """Figures of what was logged, and the runs whose log cannot be read."""
    wanted = (("val/accuracy", "validation accuracy (%)", 100.0), ("train/loss", "training loss", 1.0))
    lines: dict[str, list[figures.Curve]] = {column: [] for column, _, _ in wanted}
    unread = []
    for item in runs:
        try:
            history = results.read_history(item.run.folder)
            for column in lines:
                lines[column].append(figures.Curve(item.run.key.arm, history["epoch"], history[column]))
        except UNREADABLE:
            unread.append(item.run.key.label)
    drawn = [
        Markup(figures.curves(lines[column], label, colour, scale)) for column, label, scale in wanted if lines[column]
    ]
    return {"figures": drawn, "unread": unread}


# --- pictures --------------------------------------------------------------------------------------


def _pictures(study: Path, group: Group, runs: Sequence[ComparedRun]) -> Pictures:
    """Real training images of the real arm beside synthetic ones of the run that has most of them."""
    names = group.class_names[:MAX_PICTURE_CLASSES]
    notes = [_limit_note(group, MAX_PICTURE_CLASSES, "Shown are the first {limit} of {n} classes.")]
    grids = {}
    for origin in ("real", "synthetic"):
        rows, problem = _mix_rows(runs, origin)
        grids[origin], lost = _thumbnails(study, rows, names)
        notes += [problem, *_lost_note(origin, lost)]
    rows_shown = [PictureRow(name, grids["real"][name], grids["synthetic"][name]) for name in names]
    shown = [row for row in rows_shown if row.real or row.synthetic]
    return Pictures(shown, [note for note in notes if note])


def _lost_note(origin: str, lost: Sequence[str]) -> list[str]:
    if not lost:
        return []
    files = "file is" if len(lost) == 1 else "files are"
    return [f"{len(lost)} of the {origin} image {files} gone or unreadable by now, e.g. {lost[0]}."]


def _mix_rows(runs: Sequence[ComparedRun], origin: str) -> tuple[list[MixRow], str]:
    """Images of one origin from the run that has most of them; or why there are none."""

    def amount(item: ComparedRun) -> tuple[bool, int]:
        pure = item.run.real == 1 and item.run.synthetic == 0
        return origin == "real" and pure, (item.run.result or {})["counts"][origin]

    candidates = [item for item in runs if amount(item)[1] > 0]
    if not candidates:
        return [], f"No finished run was trained on {origin} images." if runs else ""
    run = max(candidates, key=amount).run
    try:
        return [row for row in results.read_mix(run.folder) if row.origin == origin], ""
    except (*UNREADABLE, TypeError):
        return [], f"The list of training images (mix.csv) of {run.key.label} cannot be read."


def _thumbnails(
    study: Path, rows: Iterable[MixRow], names: Sequence[str]
) -> tuple[dict[str, list[Thumbnail]], list[str]]:
    """A few pictures per class, and the files that were looked for in vain."""
    by_class: dict[str, list[MixRow]] = {name: [] for name in names}
    for row in rows:
        if row.label in by_class:
            by_class[row.label].append(row)
    found: dict[str, list[Thumbnail]] = {name: [] for name in names}
    lost = []
    locate = _locator(study)
    for name, members in by_class.items():
        # Ordered by content: a choice that no eye has made and that stays the same.
        for row in sorted(members, key=lambda row: row.sha256)[:MAX_TRIES]:
            if len(found[name]) == PICTURES_PER_CLASS:
                break
            thumbnail = _thumbnail(locate(row.path))
            if thumbnail is None:
                lost.append(row.path)
            else:
                found[name].append(thumbnail)
    return found, lost


def _locator(study: Path) -> Callable[[str], Path]:
    """Paths in mix.csv are relative to where the training ran: here, or a folder above the study."""
    bases = [Path(), *study.resolve().parents]

    def locate(path: str) -> Path:
        return next((base / path for base in bases if (base / path).is_file()), Path(path))

    return locate


def _thumbnail(path: Path) -> Thumbnail | None:
    """The picture as training sees it, small enough for a page; None where there is none."""
    try:
        pixels = decode(path, THUMBNAIL)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    small = max(image.size) <= SMALL
    stream = io.BytesIO()
    # Photographs as PNG would make the page ten times as large.
    image.save(stream, format="PNG" if small else "JPEG", quality=85, optimize=True)
    kind = "png" if small else "jpeg"
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}", small)


# --- protocol and provenance -----------------------------------------------------------------------


def _protocol(group: Group, runs: Sequence[ComparedRun]) -> list[dict[str, str]]:
    """How each arm was trained: one row per arm, a range where its runs differ."""
    rows = []
    for arm in group.arms:
        own = [item for item in runs if identity(item.run) == (arm.name, arm.real, arm.synthetic, arm.augment)]
        found = [item.run.result for item in own if item.run.result is not None]
        if not found:
            continue
        spread = NO_SPREAD if arm.seed_deviation is None else f"{100 * arm.seed_deviation:.2f}"
        rows.append(
            {
                "arm": arm.name,
                "epochs": _range(item["training"]["epochs"] for item in found),
                "steps": _range(item["training"]["steps"] for item in found),
                "batch": _range(item["training"]["batch_size"] for item in found),
                "checkpoint": _range(item["val"]["epoch"] + 1 for item in found),
                "validation": _range(item["counts"]["val"] for item in found),
                "seconds": _range(round(item["training"]["seconds"]) for item in found),
                "macro_f1": f"{100 * arm.macro_f1:.2f}" if arm.macro_f1 is not None else table.NONE,
                "calibration": f"{100 * arm.calibration_error:.2f}" if arm.calibration_error is not None else "",
                "spread": spread,
            }
        )
    return rows


NO_SPREAD = "not measured"


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _provenance(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str]]]:
    """What and where: every value that occurs in any run, so that a study from two machines shows."""
    found = [item.run.result for item in runs if item.run.result is not None]
    if not found:
        return []
    facts: dict[str, dict[str, None]] = {}
    for item in found:
        for part in ("versions", "machine"):
            for name, value in item[part].items():
                facts.setdefault(name.replace("_", " "), {})[str(value)] = None
    digests = {
        f"{part} images (digest)": sorted({item["data"][name][:16] for item in found})
        for part, name in (("test", "test"), ("validation", "val"))
    }
    first = min(datetime.fromisoformat(item["started"]) for item in found)
    last = max(datetime.fromisoformat(item["finished"]) for item in found)
    dates = [f"{first:%Y-%m-%d %H:%M %Z} to {last:%Y-%m-%d %H:%M %Z}"]
    return [("trained", dates), *digests.items(), *((name, list(values)) for name, values in facts.items())]
