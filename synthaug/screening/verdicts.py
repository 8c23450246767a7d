"""The verdicts on the images of a synthetic set, in files that people can read and arms obey.

    <set>/screening-<name>-<hash>/criteria.json     the settings, the real images compared with, the thresholds
    <set>/screening-<name>-<hash>/verdicts.csv      one row per image, kept or rejected

The hash is of the settings and of the real images, so that a changed criterion has a file of its own. A verdict
depends on the images before it in its class and on nothing behind it: the file is extended, not computed again.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.checked_rows import append_checked_rows, checked_rows, write_checked_rows
from synthaug.errors import UserError
from synthaug.files import read_json, write_json

VERDICTS, CRITERIA = "verdicts.csv", "criteria.json"
# Reasons, as they stand in the file.
TEST_COPY, VAL_COPY, TRAIN_COPY = "copy of a test image", "copy of a validation image", "copy of a training image"
COPIES = (TEST_COPY, VAL_COPY, TRAIN_COPY)
DUPLICATE, UNREADABLE, LISTED = "near duplicate in its class", "not a whole image", "reject list"
CLIP, TEACHER, FAR = "CLIP score", "teacher", "far from real images"
GENERATOR = "generator"  # flat frames and such, which are never candidates


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided on one image.

    Attributes:
        class_name: class of the image.
        image: path below the set, with its class.
        sha256: of its file; empty where it has none.
        kept: whether it may be trained on.
        reason: why it is rejected, or what a kept one is a copy of.
        score: what the criterion measured; None where it measures nothing.
        match: path of the image that it is a copy of, or what else explains the reason.
    """

    class_name: str
    image: str
    sha256: str
    kept: bool
    reason: str = ""
    score: float | None = None
    match: str = ""


_COLUMNS = tuple(field.name for field in fields(Verdict))


class VerdictFile:
    """The verdicts by one choice of criteria.

    Args:
        folder: of the files; created when they are written.
        criteria: the settings that decide.
        references: role of the real images compared with → digest.
    """

    def __init__(self, folder: Path, criteria: Mapping[str, Any], references: Mapping[str, str]) -> None:
        self.folder = folder
        self.path = folder / VERDICTS
        self._settings = {"criteria": dict(criteria), "references": dict(references)}
        self._thresholds: dict[str, float] = {}  # as they were last written

    def read(self) -> tuple[list[Verdict], list[int]]:
        """Return the verdicts that are as they were written, and the numbers of the lines that are not.

        Raises:
            UserError: the files are of other criteria, which their hash rules out unless somebody changed them.
        """
        if not self.path.is_file():
            return [], []
        recorded = read_json(self.folder / CRITERIA) if (self.folder / CRITERIA).is_file() else {}
        if {key: recorded.get(key) for key in self._settings} != self._settings:
            raise UserError(
                f"{self.folder / CRITERIA} does not belong to the verdicts beside it (it is gone, or was changed): "
                f"move {self.folder} away, and its images are screened again."
            )
        damaged: list[int] = []
        return list(map(_parse, checked_rows(self.path, _COLUMNS, damaged))), damaged

    def write(self, verdicts: Iterable[Verdict], thresholds: Mapping[str, float]) -> None:
        """Write all verdicts.

        Args:
            verdicts: in the order of the file.
            thresholds: what scores were compared with, by criterion and class.
        """
        self._write_thresholds(thresholds)
        write_checked_rows(self.path, _COLUMNS, map(_cells, verdicts))

    def append(self, verdicts: Iterable[Verdict], thresholds: Mapping[str, float]) -> None:
        """Append verdicts to a file that was written.

        Args:
            verdicts: in their order.
            thresholds: of all verdicts.
        """
        if thresholds != self._thresholds:
            self._write_thresholds(thresholds)
        append_checked_rows(self.path, _COLUMNS, map(_cells, verdicts))

    def _write_thresholds(self, thresholds: Mapping[str, float]) -> None:
        write_json(self.folder / CRITERIA, {**self._settings, "thresholds": dict(thresholds)})
        self._thresholds = dict(thresholds)

    def thresholds(self) -> dict[str, float]:
        """Return what scores were compared with, by criterion and class."""
        path = self.folder / CRITERIA
        recorded: dict[str, float] = read_json(path)["thresholds"] if path.is_file() else {}
        return recorded


def read_verdicts(path: Path) -> list[Verdict]:
    """Return the verdicts of a file, whatever the criteria, less those that are not as they were written."""
    return list(map(_parse, checked_rows(path, _COLUMNS, [])))


def _cells(verdict: Verdict) -> list[str]:
    kept = "yes" if verdict.kept else "no"
    score = "" if verdict.score is None else f"{verdict.score:.4f}"
    return [*astuple(verdict)[:3], kept, verdict.reason, score, verdict.match]


def _parse(cells: Sequence[str]) -> Verdict:
    class_name, image, sha256, kept, reason, score, match = cells
    shared = sys.intern(class_name), sys.intern(reason)
    return Verdict(shared[0], image, sha256, kept == "yes", shared[1], float(score) if score else None, match)


def counted(verdicts: Iterable[Verdict]) -> dict[str, dict[str, Any]]:
    """Return class → {"kept": n, "rejected": {reason: n}, "copies": n of kept copies of training images}."""
    counts: dict[str, dict[str, Any]] = {}
    for verdict in verdicts:
        of_class = counts.setdefault(verdict.class_name, {"kept": 0, "copies": 0, "rejected": Counter()})
        if verdict.kept:
            of_class["kept"] += 1
            of_class["copies"] += bool(verdict.reason)
        else:
            of_class["rejected"][verdict.reason] += 1
    return {name: {**count, "rejected": dict(count["rejected"].most_common())} for name, count in counts.items()}


def examples(verdicts: Iterable[Verdict], limit: int = 6) -> list[Verdict]:
    """Return the first rejected images of each reason, and the first kept ones that are copies of training images.

    Args:
        verdicts: of any images.
        limit: most of a reason.
    """
    shown: dict[tuple[str, bool], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.reason:
            shown.setdefault((verdict.reason, verdict.kept), []).append(verdict)
    return [verdict for listed in shown.values() for verdict in listed[:limit]]
