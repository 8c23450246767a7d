"""Groups of images that a user's file names, such as cameras, backgrounds or sources: one for each test image."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from synthaug.data.samples import Sample
from synthaug.errors import UserError, raise_all
from synthaug.files import open_regular
from synthaug.messages import bullets, plural

COLUMNS = ("path", "group")


def groups_of_images(file: Path, root: Path, test: Iterable[Sample]) -> dict[Path, str]:
    """Return path → group of each test image.

    Args:
        file: CSV with the columns `path`, relative to `root`, and `group`; it may name further images of the dataset.
        root: the dataset's folder.
        test: its test images.

    Raises:
        UserError: everything that is wrong with the file: test images without a group or with several, files that there
            are not, fewer than two groups.
    """
    listed = _read(file)
    test_paths = {_relative(sample.path, root): sample.path for sample in test}
    unknown = [path for path in listed if path not in test_paths and not (root / path).is_file()]
    missing = [path for path in test_paths if path not in listed]
    several = [f"{path}: {', '.join(names)}" for path, names in listed.items() if len(names) > 1]
    empty = [path for path, names in listed.items() if "" in names]
    problems = [
        f"{plural(len(paths), *words)}:\n{bullets(paths)}"
        for paths, words in (
            (missing, ("test image has no group", "test images have no group")),
            (unknown, ("path is of no file in the dataset", "paths are of no file in the dataset")),
            (several, ("image is in several groups", "images are in several groups")),
            (empty, ("group is empty", "groups are empty")),
        )
        if paths
    ]
    groups = {path: listed[name][0] for name, path in test_paths.items() if name in listed}
    if not problems and len(set(groups.values())) < 2:
        problems.append(f"all {len(groups)} test images are in one group, {next(iter(groups.values()))}: name others")
    raise_all(f"dataset.groups={file} cannot be used; its paths are relative to {root}:", problems)
    return groups


def _read(file: Path) -> Mapping[str, list[str]]:
    """Return the groups of each path that a file names."""
    try:
        with open_regular(file) as content:
            reader = csv.DictReader(io.StringIO(content.read().decode("utf-8-sig"), newline=""))
            columns, rows = reader.fieldnames or (), list(reader)
    except OSError as error:
        raise UserError(
            f"dataset.groups={file}: {error.strerror}; give a CSV file of {' and '.join(COLUMNS)}."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"dataset.groups={file}: no CSV file in UTF-8 ({error}).") from None
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise UserError(
            f"dataset.groups={file}: has the columns {', '.join(columns) or 'none'} and lacks {' and '.join(lacking)}; "
            "its first line must be path,group."
        )
    listed: dict[str, list[str]] = {}
    for row in rows:
        names = listed.setdefault(Path((row["path"] or "").strip()).as_posix(), [])
        group = (row["group"] or "").strip()
        if group not in names:
            names.append(group)
    return listed


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
