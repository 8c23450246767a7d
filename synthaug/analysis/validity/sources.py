"""Which images of a study are looked at for threats to its validity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.training_images import listed_images, with_most
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.errors import UserError
from synthaug.runs.contents import MixRow
from synthaug.runs.discovery import Run


@dataclass(frozen=True)
class Sources:
    """The lists of images that are looked at, each of the run that stands for its origin.

    Attributes:
        real, synthetic: training images; of the real arm, and of the arm that has most synthetic ones.
        test: paths and classes of the test images.
        test_digest: of all of them, as the runs wrote it down.
        problems: why a list is empty.
    """

    real: tuple[MixRow, ...]
    synthetic: tuple[MixRow, ...]
    test: tuple[tuple[str, str], ...]
    test_digest: str | None
    problems: tuple[str, ...]


def sources(group: Group) -> Sources:
    """Which images of a group are looked at."""
    runs = [item.run for item in group.runs if item.compared]
    problems: list[str] = []
    real = _rows(runs, REAL, problems)
    synthetic = _rows(runs, SYNTHETIC, problems)
    test = tuple(zip(group.paths, (group.class_names[label] for label in group.labels), strict=True))
    return Sources(real, synthetic, test, group.test_digest, tuple(problems))


def _rows(runs: Sequence[Run], origin: str, problems: list[str]) -> tuple[MixRow, ...]:
    """The images of one origin that the run with most of them was trained on; of several such runs, the first."""
    run = with_most(runs, origin)
    if run is None:
        problems.append(f"no finished run was trained on {origin} images")
        return ()
    try:
        return tuple(listed_images(run, origin))
    except UserError as error:
        problems.append(str(error))
        return ()


def state_of_files(images: Sources, locate: Callable[[str], Path]) -> list[str]:
    """What the findings depend on: every listed image by content, and the files that are there now."""
    rows = [
        f"{row.label}\0{row.origin}\0{row.sha256}\0{_here(locate(row.path))}"
        for row in (*images.real, *images.synthetic)
    ]
    tests = [f"{label}\0{path}\0{_here(locate(path))}" for path, label in images.test]
    return [*rows, *tests, str(images.test_digest), *images.problems]


def _here(file: Path) -> str:
    """Size and time of change: a file that somebody replaced is looked at again."""
    try:
        found = file.stat()
    except OSError:
        return "gone"
    return f"{found.st_size} {found.st_mtime_ns}"
