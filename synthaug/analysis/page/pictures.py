"""Training images on the page: pictures as data URIs, and where the files of a run are found."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug import results
from synthaug.analysis.findings import Findings
from synthaug.analysis.images import locator
from synthaug.analysis.study import ComparedRun, Comparison, Group
from synthaug.data.pixels import decode
from synthaug.results import MixRow

MAX_PICTURE_CLASSES = 20
PICTURES_PER_CLASS = 6
MAX_TRIES = 24  # files looked for per class and origin, so that a vanished folder costs no minutes
THUMBNAIL = 96  # pixels
SMALL = 64  # up to here a picture is kept exactly and its pixels are shown as squares
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


def images(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Real training images of the real arm beside synthetic ones of the run that has most of them."""
    runs = [run for run in group.runs if run.compared]
    names = group.class_names[:MAX_PICTURE_CLASSES]
    notes: list[str] = []
    grids = {}
    for origin in ("real", "synthetic"):
        rows, problem = _mix_rows(runs, origin)
        grids[origin], lost = _thumbnails(comparison.folder, rows, names)
        notes += [problem, *_lost_note(origin, lost)]
    found = [PictureRow(name, grids["real"][name], grids["synthetic"][name]) for name in names]
    shown = [row for row in found if row.real or row.synthetic]
    notes = [note for note in notes if note]
    return {"rows": shown, "notes": notes, "limit": MAX_PICTURE_CLASSES} if shown or notes else None


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
    locate = locator(study)
    for name, members in by_class.items():
        # Ordered by content: a choice that no eye has made and that stays the same.
        for row in sorted(members, key=lambda row: row.sha256)[:MAX_TRIES]:
            if len(found[name]) == PICTURES_PER_CLASS:
                break
            picture = thumbnail(locate(row.path))
            if picture is None:
                lost.append(row.path)
            else:
                found[name].append(picture)
    return found, lost


def thumbnail(path: Path) -> Thumbnail | None:
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
