"""The images that a run was trained on: where the files are by now, whether they are the same, who made them."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from synthaug import files
from synthaug.data.samples import SYNTHETIC, Sample, Samples
from synthaug.errors import UserError
from synthaug.generation.manifest import MANIFEST, SETTINGS, ManifestRow, read_manifest
from synthaug.image_files import Member, is_image_file
from synthaug.runs import layout
from synthaug.runs.contents import UnreadableFileError
from synthaug.runs.discovery import Run

SAME, CHANGED, GONE = "the same", "changed", "gone"


@dataclass(frozen=True)
class TrainingImage:
    """An image that a run was trained on.

    Attributes:
        row: as the run wrote it down.
        file: where the image is looked for now.
        state: "the same" bytes as were trained on, "changed" or "gone".
        made: how it was made; None for a real image, and where no manifest lists it with these bytes.
    """

    row: Sample
    file: Path
    state: str
    made: ManifestRow | None


def listed_images(run: Run, origin: str) -> Samples:
    """Return the training images of one origin that a run recorded.

    Args:
        run: with a list of its images.
        origin: "real" or "synthetic".

    Raises:
        UserError: the list cannot be read.
    """
    try:
        return run.mix.of_origin(origin)
    except UnreadableFileError as error:
        raise UserError(f"{layout.mix_file(run.folder).name} of {run.label} cannot be read ({error.reason})") from error


def with_most(runs: Sequence[Run], origin: str) -> Run | None:
    """Return the finished run that was trained on most images of an origin, the first of several; None for none.

    Args:
        runs: to choose from.
        origin: "real" or "synthetic".
    """
    run = max(runs, key=lambda run: _count(run, origin), default=None)
    return run if run and _count(run, origin) else None


def _count(run: Run, origin: str) -> int:
    return int((run.result or {})["counts"][origin])


def locator(study: Path) -> Callable[[str], Path]:
    """Return a function that finds files by recorded paths: relative to the working folder or above the study.

    What is there and no regular file is not opened: a pipe would be waited for, and a device has no end.
    """
    bases = [Path(), *study.resolve().parents]

    def locate(path: str) -> Path:
        return next((base / path for base in bases if is_image_file(base / path)), Path(path))

    return locate


def training_images(rows: Sequence[Sample], locate: Callable[[str], Path]) -> tuple[list[TrainingImage], list[str]]:
    """Return every image of a mix as it is now, and what is wrong with the manifests; every file is read once.

    Args:
        rows: listed images.
        locate: see `locator`.
    """
    listed, problems = manifests(rows, locate)

    def current(row: Sample) -> TrainingImage:
        file = locate(row.file)
        entry = listed.get(set_folder(row), {}).get(place(row))
        same = entry is not None and entry.sha256 == row.sha256
        return TrainingImage(row, file, state(file, row.sha256), entry if same else None)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(current, rows)), problems


def state(file: Path, sha256: str) -> str:
    """Return whether a file still has the bytes with this hash: `SAME`, `CHANGED` or `GONE`.

    Args:
        file: its path.
        sha256: hexadecimal.
    """
    try:
        if is_image_file(file):
            return SAME if files.sha256(file) == sha256 else CHANGED
    except OSError:
        pass
    return GONE


def set_folder(row: Sample) -> str:
    """Return the folder of the synthetic set that an image lies in, as the run wrote it."""
    member = Member.of(row.file)
    return str(PurePath(member.tar).parent if member else PurePath(row.file).parent.parent)


def place(row: Sample) -> tuple[str, str]:
    """Return what a manifest lists an image by: its class, and the name of its file without the ending."""
    member = Member.of(row.file)
    path = PurePath(member.name if member else row.file)
    return path.parent.name, path.name if member else path.stem


Manifest = dict[tuple[str, str], ManifestRow]


def set_folders(rows: Iterable[Sample], locate: Callable[[str], Path]) -> dict[str, Path]:
    """Return the folders of the synthetic sets in a mix, as the run wrote them, and where each is now.

    Args:
        rows: listed images.
        locate: see `locator`.
    """
    folders = sorted(set(map(set_folder, Samples.of(rows).of_origin(SYNTHETIC).of_folders)))
    places = {folder: [locate(str(PurePath(folder, name))) for name in (SETTINGS, MANIFEST)] for folder in folders}
    return {folder: next(filter(Path.is_file, files), files[0]).parent for folder, files in places.items()}


def manifests(rows: Sequence[Sample], locate: Callable[[str], Path]) -> tuple[dict[str, Manifest], list[str]]:
    """Read the manifests of the synthetic sets: folder → rows by `place`; and what is wrong with damaged ones.

    A pool from elsewhere has none.

    Args:
        rows: listed images.
        locate: see `locator`.
    """
    by_folder: dict[str, Manifest] = {}
    problems = []
    for folder, current in set_folders(rows, locate).items():
        try:
            listed = read_manifest(current)
        except UserError as error:
            listed = []
            problems.append(str(error))
        by_folder[folder] = {(row.class_name, f"{row.index:06d}"): row for row in listed}
    return by_folder, problems
