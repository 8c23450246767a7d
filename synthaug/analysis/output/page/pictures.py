"""Training images on the page: pictures as data URIs, and where the files of a run are found."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.training_images import listed_images, locator, with_most
from synthaug.data.pixels import decode
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.errors import UserError
from synthaug.runs.contents import MixRow
from synthaug.runs.discovery import Run

MAX_PICTURE_CLASSES = 20
PICTURES_PER_CLASS = 6
MAX_TRIES = 24  # files looked for per class and origin, so that a vanished folder costs no minutes
THUMBNAIL = 96  # pixels
SMALL = 64  # up to here a picture is kept exactly and its pixels are shown as squares


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
    runs = [item.run for item in group.runs if item.compared]
    names = group.class_names[:MAX_PICTURE_CLASSES]
    notes: list[str] = []
    grids = {}
    for origin in (REAL, SYNTHETIC):
        rows, problem = _mix_rows(runs, origin)
        grids[origin], lost = _thumbnails(comparison.folder, rows, names)
        notes += [problem, *_lost_note(origin, lost)]
    found = [PictureRow(name, grids[REAL][name], grids[SYNTHETIC][name]) for name in names]
    shown = [row for row in found if row.real or row.synthetic]
    notes = [note for note in notes if note]
    return {"rows": shown, "notes": notes, "limit": MAX_PICTURE_CLASSES} if shown or notes else None


def _lost_note(origin: str, lost: Sequence[str]) -> list[str]:
    if not lost:
        return []
    files = "file is" if len(lost) == 1 else "files are"
    return [f"{len(lost)} of the {origin} image {files} gone or unreadable by now, e.g. {lost[0]}."]


def _mix_rows(runs: Sequence[Run], origin: str) -> tuple[list[MixRow], str]:
    """Images of one origin from the run that has most of them, of real ones the real arm's; or why there are none."""
    pure = [run for run in runs if run.real == 1 and run.synthetic == 0] if origin == REAL else []
    run = with_most(pure, origin) or with_most(runs, origin)
    if run is None:
        return [], f"No finished run was trained on {origin} images." if runs else ""
    try:
        return listed_images(run, origin), ""
    except UserError as error:
        return [], f"{error}."


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
