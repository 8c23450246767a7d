"""The images that a run was trained on: where the files are by now, whether they are the same, who made them."""

import csv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from synthaug import files
from synthaug.data.samples import SYNTHETIC
from synthaug.errors import UserError
from synthaug.generation.synthetic_set import MANIFEST, ManifestRow, read_manifest
from synthaug.runs import layout
from synthaug.runs.contents import MixRow
from synthaug.runs.discovery import Run

SAME, CHANGED, GONE = "the same", "changed", "gone"


@dataclass(frozen=True)
class TrainingImage:
    """An image of a run's `mix.csv`.

    Attributes:
        row: as the run wrote it down.
        file: where the image is looked for now.
        state: "the same" bytes as were trained on, "changed" or "gone".
        made: how it was made; None for a real image, and where no manifest lists it with these bytes.
    """

    row: MixRow
    file: Path
    state: str
    made: ManifestRow | None


def listed_images(run: Run, origin: str) -> list[MixRow]:
    """The training images of one origin that a run wrote down.

    Raises:
        UserError: `mix.csv` cannot be read.
    """
    try:
        return [row for row in run.mix if row.origin == origin]
    except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
        raise UserError(f"{layout.MIX} of {run.key.label} cannot be read ({error})") from error


def with_most(runs: Sequence[Run], origin: str) -> Run | None:
    """Of finished runs the one that was trained on most images of an origin; the first of several, None for none."""
    run = max(runs, key=lambda run: _count(run, origin), default=None)
    return run if run and _count(run, origin) else None


def _count(run: Run, origin: str) -> int:
    return int((run.result or {})["counts"][origin])


def locator(study: Path) -> Callable[[str], Path]:
    """Finds files by the paths that a run wrote: relative to where it ran, which is here or above the study."""
    bases = [Path(), *study.resolve().parents]

    def locate(path: str) -> Path:
        return next((base / path for base in bases if (base / path).is_file()), Path(path))

    return locate


def training_images(rows: Sequence[MixRow], locate: Callable[[str], Path]) -> tuple[list[TrainingImage], list[str]]:
    """Every image of a mix as it is now, and what is wrong with the manifests that should say how it was made.

    Every file is read once.
    """
    listed, problems = manifests(rows, locate)

    def found(row: MixRow) -> TrainingImage:
        file = locate(row.path)
        made = listed.get(set_folder(row), {}).get(place(row))
        return TrainingImage(row, file, state(file, row.sha256), made if made and made.sha256 == row.sha256 else None)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(found, rows)), problems


def state(file: Path, sha256: str) -> str:
    """Whether a file still has the bytes with this hash."""
    try:
        return SAME if files.sha256(file) == sha256 else CHANGED
    except OSError:
        return GONE


def set_folder(row: MixRow) -> str:
    """Folder of the synthetic set that an image lies in, as the run wrote it."""
    return str(PurePath(row.path).parent.parent)


def place(row: MixRow) -> tuple[str, str]:
    """What a manifest lists an image by: its class, and the name of its file without the ending."""
    path = PurePath(row.path)
    return path.parent.name, path.stem


Manifest = dict[tuple[str, str], ManifestRow]


def manifests(rows: Sequence[MixRow], locate: Callable[[str], Path]) -> tuple[dict[str, Manifest], list[str]]:
    """Folder of a synthetic set → what its manifest lists, by `place`, and the manifests that are damaged.

    A pool made elsewhere has none.
    """
    found: dict[str, Manifest] = {}
    problems = []
    for folder in sorted({set_folder(row) for row in rows if row.origin == SYNTHETIC}):
        try:
            listed = read_manifest(locate(str(PurePath(folder, MANIFEST))).parent)
        except UserError as error:
            listed = []
            problems.append(str(error))
        found[folder] = {(row.class_name, f"{row.index:06d}"): row for row in listed}
    return found, problems
