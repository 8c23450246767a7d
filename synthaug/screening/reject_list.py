"""Images that a person rejected: a file of paths or hashes."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from synthaug.errors import UserError
from synthaug.messages import bullets, plural
from synthaug.screening.criterion import Candidate, Criterion, Finding
from synthaug.screening.verdicts import LISTED

_COLUMNS = ("sha256", "path", "image", "file")
_HASH = re.compile(r"[0-9a-fA-F]{64}")


class RejectList(Criterion):
    """Rejects the images that a file names, by path or by the SHA-256 of their bytes.

    A path may be whole, or its end from the class on: `cat/000012.png` names image 12 of the cats.

    Args:
        file: of one path or hash per line, `#` begins a comment; or CSV with one in a column of such a name.

    Raises:
        UserError: the file cannot be read, or names nothing.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.entries = read_entries(file)
        self._hashes = {entry.lower() for entry in self.entries if _HASH.fullmatch(entry)}
        self._paths = {_path(entry): entry for entry in self.entries if not _HASH.fullmatch(entry)}
        self.used: set[str] = set()

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return which images are on the list."""
        return [Finding(LISTED) if self.names(candidate) else None for candidate in candidates]

    def names(self, candidate: Candidate) -> bool:
        """Return whether an image is on the list, and remember its entry."""
        sha256, parts = candidate.sample.sha256, candidate.sample.path.absolute().parts
        ends = {PurePosixPath(*parts[-length:]).as_posix() for length in range(2, len(parts) + 1)}
        ends |= {candidate.image, candidate.sample.path.absolute().as_posix()}
        entries = {self._paths[end] for end in ends & self._paths.keys()}
        if sha256 in self._hashes:
            entries |= {entry for entry in self.entries if entry.lower() == sha256}
        self.used |= entries
        return bool(entries)

    def unknown(self) -> list[str]:
        """Return the entries that no image judged so far answers to."""
        return [entry for entry in self.entries if entry not in self.used]


def read_entries(file: Path) -> list[str]:
    """Read the paths and hashes of a reject list.

    Raises:
        UserError: there is no such file, it is not text, or it has no entries.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"screening.reject_list={file} cannot be read ({error.strerror}): name another file.") from None
    except UnicodeDecodeError:
        raise UserError(f"screening.reject_list={file} is not UTF-8 text: write one path or SHA-256 a line.") from None
    header = next(csv.reader(lines[:1]), [])
    column = next((header.index(name) for name in _COLUMNS if name in header), None)
    if column is not None:
        entries = [row[column].strip() for row in csv.reader(lines[1:]) if len(row) > column]
    else:
        entries = [line.partition("#")[0].strip() for line in lines]
    entries = list(dict.fromkeys(filter(None, entries)))
    if not entries:
        raise UserError(f"screening.reject_list={file} names no image: write one path or SHA-256 a line.")
    return entries


def describe_unknown(reject_list: RejectList) -> str:
    """Return which entries of a list name no image of the set; empty where all do."""
    unknown = reject_list.unknown()
    if not unknown:
        return ""
    what = plural(len(unknown), "entry names", "entries name")
    return (
        f"screening.reject_list={reject_list.file}: {what} no image of the set:\n{bullets(unknown)}\n"
        "Write the SHA-256 of a file, or its path from the class on, as in cat/000012.png; or delete such lines."
    )


def _path(entry: str) -> str:
    return PurePosixPath(entry.replace("\\", "/").removeprefix("./")).as_posix()
