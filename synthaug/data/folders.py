"""Folders of classes as people have them: their images listed in a fixed order, without what systems leave behind.

Listed is whatever lies below a class, through links as well; what leads nowhere or may not be read is listed too, so
that decoding names it. A name may be written in several Unicode forms (macOS decomposes accents): they are one class.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from synthaug.errors import UserError
from synthaug.messages import plural

Hash = Callable[[Path], str]  # a file's SHA-256, `files.sha256` or that of a `HashCache`

CONTACT_SHEETS = "contact_sheets"  # pictures of a synthetic set, beside its classes
# Left by operating systems, file servers and archivers in any folder that they opened; never meant as an image.
_LITTER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "zbthumbnail.info", "sha256sums"}
_LITTER_FOLDERS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler"),
    *("__macosx", "__pycache__", "system volume information", "lost+found", "network trash folder", "temporary items"),
    CONTACT_SHEETS,
}
_LITTER = _LITTER_FILES | _LITTER_FOLDERS  # joined once, and not for each of a million names
# Windows marks where a file came from in a stream of this name; other systems make a file of it, some without colon.
# Editors keep a copy (~), cameras and photo programs what was changed in an image, beside it.
_LITTER_SUFFIXES = ("zone.identifier", ":mshield", ":sec.endpointdlp", "~", ".aae", ".xmp", ".thm")


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders that are classes, composed (NFC) and sorted.

    Raises:
        UserError: the folder cannot be listed.
    """
    return sorted({unicodedata.normalize("NFC", entry.name) for entry in _folders(folder)})


def class_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a class, sorted. All but litter count: decoding finds what is not an image.

    Args:
        folder: of a split.
        name: of the class, composed.
    """
    return [path for _, paths in files_of_classes(folder, [name]) for path in paths]


def files_of_classes(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, Iterator[Path]]]:
    """Yield the name of each class and its files, as `class_files` has them; no list of them is held.

    Args:
        folder: of a split.
        names: of the classes, composed.
    """
    by_name: dict[str, list[Path]] = {}
    for entry in _folders(folder):
        by_name.setdefault(unicodedata.normalize("NFC", entry.name), []).append(Path(entry.path))
    for name in names:
        same = sorted(by_name.get(name, ()))
        yield name, chain.from_iterable(_files_below(class_folder, folder) for class_folder in same)


def files_below(folder: Path, root: Path) -> list[Path]:
    """Return all files in a folder and its folders but litter, sorted.

    Args:
        folder: to be listed.
        root: itself or a folder above it; hidden folders from there on are left out.
    """
    return list(_files_below(folder, root))


def _files_below(folder: Path, root: Path) -> Iterator[Path]:
    return iter(()) if is_litter(folder, root) else _walk(folder, (folder.resolve(),))


def is_litter(path: Path, folder: Path) -> bool:
    """Whether a file is hidden, in a hidden folder (.ipynb_checkpoints holds copies of images), or the system's.

    Args:
        path: of the file.
        folder: above it, whose own path may have hidden parts.
    """
    return any(_is_litter(part) for part in path.relative_to(folder).parts)


def file_hash(path: Path, sha256: Hash) -> str:
    """Return a file's SHA-256, or a stand-in for one that cannot be read, which decoding will name.

    Args:
        path: of the file.
        sha256: of a file.
    """
    try:
        if path.is_file():
            return sha256(path)
    except OSError:
        pass
    return hashlib.sha256(b"unreadable\0" + os.fsencode(path)).hexdigest()


def folder_of_class(name: str) -> str:
    """Return the name of a class as that of a folder, which leads nowhere else; empty where nothing is left of it."""
    return re.sub(r"[/\\\x00-\x1f\x7f]", "-", name).lstrip(". ").strip()


def name_problems(folder: Path, paths: Iterable[Path]) -> list[str]:
    """Return one problem where names of files are not valid Unicode, which no run could write down.

    Args:
        folder: with the files.
        paths: of the files.
    """
    unwritable = [path for path in paths if not is_text(path)]
    if not unwritable:
        return []
    first = str(unwritable[0]).encode(errors="backslashreplace").decode()
    what = plural(len(unwritable), "file")
    return [f"{folder} has {what} with names that are not valid Unicode, such as {first}; rename them"]


def _folders(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if _is_folder(entry) and not _is_litter(entry.name)]
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}): give yourself the right to read it.") from None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield what is not a folder, sorted; a link to a folder that holds the present one is not followed."""
    folders: dict[str, bool] = {}  # name → whether it is a link
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if _is_folder(entry):
                    folders[entry.name] = entry.is_symlink()
    except OSError:
        yield folder  # to be named by decoding
        return
    names.sort()
    for name in names:
        if _is_litter(name):
            continue
        path = folder / name
        if name not in folders:
            yield path
            continue
        target = path.resolve() if folders[name] else above[-1] / name
        if not (folders[name] and any(present.is_relative_to(target) for present in above)):
            yield from _walk(path, (*above, target))


def _is_litter(name: str) -> bool:
    lower = name.lower()
    return name.startswith((".", "~$")) or lower in _LITTER or lower.endswith(_LITTER_SUFFIXES)


def is_text(path: Path) -> bool:
    """Whether the name can be written into the run's files; Linux allows any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
