"""The images that a run was trained on: where the files are by now, whether they are the same, who made them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from synthaug import files
from synthaug.data.samples import SYNTHETIC
from synthaug.errors import UserError
from synthaug.generation.synthetic_set import MANIFEST, Row, read_manifest
from synthaug.results import MixRow

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
    made: Row | None


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
    manifests, problems = _manifests(rows, locate)

    def found(row: MixRow) -> TrainingImage:
        file = locate(row.path)
        made = manifests.get(str(_set_folder(row)), {}).get((PurePath(row.path).parent.name, PurePath(row.path).stem))
        return TrainingImage(row, file, state(file, row.sha256), made if made and made.sha256 == row.sha256 else None)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(found, rows)), problems


def state(file: Path, sha256: str) -> str:
    """Whether a file still has the bytes with this hash."""
    try:
        return SAME if files.sha256(file) == sha256 else CHANGED
    except OSError:
        return GONE


def _set_folder(row: MixRow) -> PurePath:
    return PurePath(row.path).parent.parent


_Manifest = dict[tuple[str, str], Row]  # (class, name of the file without its ending) → row


def _manifests(rows: Sequence[MixRow], locate: Callable[[str], Path]) -> tuple[dict[str, _Manifest], list[str]]:
    """Folder of a synthetic set → what its manifest lists; a pool made elsewhere has none."""
    found: dict[str, _Manifest] = {}
    problems = []
    for folder in sorted({str(_set_folder(row)) for row in rows if row.origin == SYNTHETIC}):
        try:
            listed = read_manifest(locate(str(PurePath(folder, MANIFEST))).parent)
        except UserError as error:
            listed = []
            problems.append(str(error))
        found[folder] = {(row.class_name, f"{row.index:06d}"): row for row in listed}
    return found, problems
