"""The groups of a study's test images, as they were when its runs were requested: <study>/<dataset>/groups.csv."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from synthaug.checked_rows import read_checked_rows, write_checked_rows
from synthaug.errors import UserError
from synthaug.runs.layout import GROUPS

_HEADER = ("path", "group")


def write_groups(study: Path, dataset: str, groups: Mapping[Path, str]) -> None:
    """Record the groups of a dataset's test images, in the place of earlier ones.

    Args:
        study: its folder.
        dataset: its name.
        groups: path of each test image → its group.
    """
    file = study / dataset / GROUPS
    rows = sorted([path.as_posix(), group] for path, group in groups.items())
    if not file.is_file() or read_checked_rows(file, _HEADER) != (rows, []):  # reports depend on its time of change
        write_checked_rows(file, _HEADER, rows)


def read_groups(study: Path, dataset: str, paths: Sequence[str]) -> list[str | None]:
    """Return the group of each test image; None for those that no group is recorded of.

    Args:
        study: its folder.
        dataset: its name.
        paths: of the test images, as predictions have them. The same files may be reached by another way, e.g. from
            another working directory: where no path is recorded, those of class and file are compared.

    Raises:
        UserError: the record is damaged.
    """
    file = study / dataset / GROUPS
    if not file.is_file():
        return [None] * len(paths)
    rows, damaged = read_checked_rows(file, _HEADER)
    if damaged:
        raise UserError(
            f"{file} is damaged (line {damaged[0]}): remove it, and give dataset.groups=<file> again to record it anew."
        )
    groups = {row[0]: row[1] for row in rows}
    if groups.keys().isdisjoint(paths):
        groups = {_tail(path): group for path, group in groups.items()}
        return [groups.get(_tail(path)) for path in paths]
    return [groups.get(path) for path in paths]


def _tail(path: str) -> str:
    return "/".join(PurePath(path).parts[-2:])


def names_of(groups: Iterable[str | None]) -> list[str]:
    """Return the groups that there are, sorted by name."""
    return sorted({group for group in groups if group is not None})
