"""The manifest of a synthetic set: provenance of each image, in append-only logs with one writer each.

    <set>/manifest.csv            by commands that make the whole set
    <set>/manifest-3-of-8.csv     by commands that make shard 3 of 8

Rows are appended as images are made, in any order, and never changed; together the logs are the manifest. An image that
is made again after its file was lost has its new row alone: what is lost is dropped before.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.errors import UserError
from synthaug.generation.shard import Shard
from synthaug.row_log import DamagedLogError, logged_rows

MANIFEST = "manifest.csv"
SETTINGS = "set.json"
_PART = "manifest-*-of-*.csv"


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One line of the manifest. `rejected` is empty for an accepted image; a rejected one has no file."""

    class_name: str
    index: int
    rejected: str
    sha256: str  # of its file
    prompt: str
    negative_prompt: str
    seed: int
    model: str
    revision: str
    scheduler: str
    steps: str
    guidance: str
    diffusers: str
    transformers: str
    torch: str
    python: str
    weights: str
    dtype: str
    seconds: str  # of sampling, the image's share of its batch
    source: str = ""  # the real image that guided the generator, below the dataset's folder
    source_sha256: str = ""
    payload: str = ""  # SHA-256 of its file without the metadata: of the image alone
    size: int = 0  # bytes of its file
    member: str = ""  # where it is in a tar file, below the set's folder; empty for a file of its own

    def sample(self, path: Path, label: int) -> Sample:
        """Return the image to train on.

        Args:
            path: of its file.
            label: index of its class.
        """
        return Sample(path, label, self.class_name, SYNTHETIC, self.sha256, self.index, self.payload)

    def file(self, folder: Path, suffix: str) -> Path:
        """Return its file, or where it would be if the image were not rejected.

        Args:
            folder: of the set.
            suffix: of a file of its own.
        """
        return folder / (self.member or f"{self.class_name}/{self.index:06d}{suffix}")

    @property
    def place(self) -> tuple[str, int]:
        """Class and number of the image."""
        return self.class_name, self.index


COLUMNS = tuple(field.name for field in fields(ManifestRow))
_NUMBERS = [number for number, name in enumerate(COLUMNS) if name in ("index", "seed", "size")]
_REPEATED = [
    number
    for number, name in enumerate(COLUMNS)
    if name not in ("index", "sha256", "seed", "seconds", "source_sha256", "payload", "size", "member")
]


def part_file(folder: Path, shard: Shard) -> Path:
    """Return the log of a writer.

    Args:
        folder: of the set.
        shard: that it makes.
    """
    return folder / (MANIFEST if shard.is_whole else f"manifest-{shard}.csv")


def part_files(folder: Path) -> list[Path]:
    """Return the existing logs of a set."""
    whole = folder / MANIFEST
    return [*([whole] if whole.is_file() else []), *sorted(folder.glob(_PART))]


def part_cells(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each row of one log, in the order of `COLUMNS`.

    Raises:
        UserError: the log is damaged.
    """
    try:
        yield from logged_rows(path, COLUMNS)
    except DamagedLogError as error:
        raise damaged(path, str(error), error.line) from None


def damaged(path: Path, problem: str, line: int = 1) -> UserError:
    """Return the error for a damaged log.

    Args:
        path: of the log.
        problem: what is wrong with it.
        line: that is damaged; of the first, nothing is left of the log without it.
    """
    cut = f"delete line {line} and all behind it (their images are made again)" if line > 1 else ""
    return UserError(
        f"{path} is damaged ({problem}): restore an earlier copy, {cut + ', ' if cut else ''}or move {path.parent} "
        "away to generate its images again."
    )


def parse_row(cells: Sequence[str]) -> ManifestRow:
    """Return a row with its strings interned, since many rows share them.

    Args:
        cells: in the order of `COLUMNS`.
    """
    values: list[Any] = list(cells)
    for number in _REPEATED:
        values[number] = sys.intern(values[number])
    for number in _NUMBERS:
        values[number] = int(values[number])
    return ManifestRow(*values)


def read_manifest(folder: Path) -> list[ManifestRow]:
    """Return every row of a set's manifest by class and index, deleted images included; empty without a manifest.

    Raises:
        UserError: a log is damaged.
    """
    rows: dict[tuple[str, int], ManifestRow] = {}
    for path in part_files(folder):
        of_part = [parse_row(cells) for cells in part_cells(path)]
        by_place = {row.place: row for row in of_part}
        if len(by_place) < len(of_part):
            raise damaged(path, f"{len(of_part) - len(by_place)} of its images are listed twice")
        rows |= by_place  # two shards make the same image where their number was changed meanwhile
    return [rows[place] for place in sorted(rows)]
