"""What the report of a study was made from, so that it is not made again where nothing has changed.

Imports nothing that computes or draws: an unchanged study needs no more than this.
"""

import functools
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import file_state, read_json, sha256, write_json
from synthaug.runs import layout
from synthaug.terminal import printable

FORMAT = 1
CACHE = "report_cache.json"
FIGURE_FILES = "figure_files"
_MOST_HASHED = 2**20  # bytes of a file: a thousand runs take half a second
_READ = (
    layout.RESULT, layout.FAILED, layout.CONFIG, layout.MIX, layout.MIX_ROWS, layout.HISTORY,
    layout.PREDICTIONS, layout.PREDICTION_ARRAYS, f"{layout.SHIFTS}/*/{layout.RESULT}",
    f"{layout.SHIFTS}/*/{layout.PREDICTIONS}", f"{layout.SHIFTS}/*/{layout.PREDICTION_ARRAYS}",
)  # fmt: skip


@dataclass(frozen=True)
class StoredReport:
    """What is needed to show a report again.

    Attributes:
        text: what was printed.
        complete: whether every planned run was finished.
    """

    text: str
    complete: bool


def inputs(study: Path) -> dict[str, Any]:
    """Return what a report depends on besides images, as it is now."""
    return {"format": FORMAT, "terminal": _terminal(), "program": _program(), "runs": _runs(study)}


def store(
    study: Path,
    report: StoredReport,
    inputs: Mapping[str, Any],
    images: Iterable[Path],
    figure_files: Sequence[str] = (),
) -> None:
    """Keep a report with the states of all files that it depends on.

    Args:
        study: its folder.
        report: to be kept.
        inputs: as they were before the report was made, or it would not see a run that finished meanwhile.
        images: images and manifests that were read.
        figure_files: that were written, their paths below the study.
    """
    written = (study / name for name in (*layout.REPORT, *figure_files))
    others = {str(path): file_state(path) for path in (*images, *written)}
    write_json(study / CACHE, {**inputs, "files": others, FIGURE_FILES: figure_files, "report": asdict(report)})


def figure_files(study: Path) -> frozenset[str]:
    """Return the figures that the last report wrote, their paths below the study; none where it is not known."""
    try:
        return frozenset(read_json(study / CACHE).get(FIGURE_FILES, ()))
    except (OSError, UserError):
        return frozenset()


def load(study: Path) -> StoredReport | None:
    """Return the last report of a study; None if making it again could give another one."""
    try:
        content = read_json(study / CACHE)
    except (OSError, UserError):
        return None
    if any(content.get(name) != value for name, value in inputs(study).items()):
        return None
    if any(file_state(Path(path)) != state for path, state in content["files"].items()):
        return None
    return StoredReport(**content["report"])


def show(study: Path, text: str) -> None:
    """Print a report and the path of its page.

    Args:
        study: its folder.
        text: what was printed to begin with.
    """
    print(text, end="")
    print(printable(str(study / layout.PAGE)))


def _runs(study: Path) -> dict[str, str]:
    """Return the state of each file below the study that a report reads, by its path."""
    paths = [
        study / layout.PLANNED,
        *study.glob(f"*/{layout.GROUPS}"),
        *(path for name in _READ for path in study.glob(f"*/*/seed*/{name}")),
    ]
    return {path.relative_to(study).as_posix(): _content_state(path) for path in paths}


def _content_state(path: Path) -> str:
    """Return the state of a file; of all but large ones with its hash, since a disk that loses bits changes no time."""
    state = file_state(path)
    try:
        return f"{state} {sha256(path)}" if path.stat().st_size <= _MOST_HASHED else state
    except OSError:
        return state


def _terminal() -> str:
    """Return what the text depends on besides its content."""
    if not sys.stdout.isatty():
        return "none"
    variables = [os.environ.get(name, "") for name in ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR")]
    return f"{shutil.get_terminal_size().columns} columns {' '.join(variables)}"


@functools.cache
def _program() -> dict[str, str]:
    """Return the state of each source file of this package, so that a changed template shows."""
    package = Path(__file__).parents[2]
    sources = [path for path in package.rglob("*.*") if path.suffix != ".pyc"]
    return {path.relative_to(package).as_posix(): file_state(path) for path in sources}
