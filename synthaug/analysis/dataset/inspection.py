"""The files of a dataset, each read in full once: its hash, its pixels' fingerprint and what its header says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from synthaug import files
from synthaug.data import fingerprints
from synthaug.data.decoding import open_image, try_decode
from synthaug.data.fingerprints import SHORT_SIDE, Fingerprint
from synthaug.data.folders import class_files, class_folders, is_litter
from synthaug.data.layouts import existing_folders, layout_problems
from synthaug.errors import UserError

NO_SPLIT = ""  # of images that are still to be split


@dataclass(frozen=True)
class DatasetFile:
    """A file in the folder of a class.

    Attributes:
        path: relative to the dataset's root; bytes that are not Unicode are escaped.
        file: where it is.
        split: "train", "val", "test" or `NO_SPLIT`.
        class_name: of its folder; "" for a file beside the classes.
    """

    path: str
    file: Path
    split: str
    class_name: str


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        format: Pillow's name of it.
        mode: of the pixels, Pillow's name.
        width, height: in pixels, before it is turned upright.
        frames: more than one in an animation.
        transparent: whether pixels may be.
    """

    format: str
    mode: str
    width: int
    height: int
    frames: int
    transparent: bool


@dataclass(frozen=True)
class Inspected:
    """A file that was read.

    Attributes:
        listed: where it is.
        sha256: of its bytes; None where they cannot be read.
        reason: why it is not a whole image; empty for one.
        header: of an image.
        fingerprint: of an image.
        deviation: standard deviation of its values, 0 to 127.5, in the channel where it is largest.
    """

    listed: DatasetFile
    sha256: str | None
    reason: str = ""
    header: Header | None = None
    fingerprint: Fingerprint | None = None
    deviation: float = 0.0


@dataclass(frozen=True)
class Listing:
    """The files of a dataset.

    Attributes:
        files: in the folders of classes.
        strays: image files beside the classes, which no run uses.
        classes: split → its classes.
    """

    files: list[DatasetFile]
    strays: list[DatasetFile]
    classes: dict[str, list[str]]


def list_files(root: Path, split_folders: Mapping[str, str]) -> Listing:
    """List a dataset that is split by hand, in part, or not at all.

    Args:
        root: the dataset's folder.
        split_folders: split → folder name below `root`.

    Raises:
        UserError: no dataset.
    """
    if not root.is_dir():
        raise UserError(f"{root} {'is a file' if root.is_file() else 'does not exist'}: give the folder of a dataset.")
    problems = layout_problems(root, split_folders, can_split=True)
    if problems:
        raise UserError("\n  - ".join([f"The dataset folder {root} cannot be used:", *problems]))
    names = existing_folders(root, split_folders)
    folders = {NO_SPLIT if len(names) == 1 else split: root / name for split, name in names.items()}
    classes = {split: class_folders(folder) for split, folder in folders.items()}
    if not any(classes.values()):
        raise UserError(f"{root} has no folders of classes: give one with a folder of images per class.")
    listed = [
        DatasetFile(_relative(path, root), path, split, name)
        for split, folder in folders.items()
        for name in classes[split]
        for path in class_files(folder, name)
    ]
    strays = [DatasetFile(_relative(path, root), path, NO_SPLIT, "") for path in _strays({root, *folders.values()})]
    return Listing(listed, strays, classes)


def _strays(folders: set[Path]) -> Iterator[Path]:
    """Yield files with the suffix of an image that lie beside the classes."""
    suffixes = Image.registered_extensions()
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in suffixes and path.is_file() and not is_litter(path, folder):
                yield path


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix().encode(errors="backslashreplace").decode()


def inspect(listed: DatasetFile) -> Inspected:
    """Read a file."""
    try:
        sha256 = files.sha256(listed.file) if listed.file.is_file() else None
    except OSError:
        sha256 = None
    pixels = try_decode(None, listed.file, SHORT_SIDE)
    if isinstance(pixels, str):
        return Inspected(listed, sha256, pixels)
    deviation = float(pixels.reshape(-1, 3).std(axis=0).max())
    return Inspected(listed, sha256, "", _header(listed.file), fingerprints.fingerprint(pixels), deviation)


def _header(path: Path) -> Header:
    with path.open("rb") as stream, open_image(stream) as image:
        frames = int(getattr(image, "n_frames", 1))
        kind = image.format or ""
        return Header(kind, image.mode, image.width, image.height, frames, image.has_transparency_data)
