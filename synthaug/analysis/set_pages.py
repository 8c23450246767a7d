"""The pages of the synthetic sets that the arms of a study train on, where `generate` or `report set` wrote one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.synthetic.set_record import NUMBERS, PAGE
from synthaug.analysis.training_images import listed_images, locator, set_folder
from synthaug.data.samples import SYNTHETIC
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.runs import identity
from synthaug.runs.discovery import Run


@dataclass(frozen=True)
class SetPage:
    """The page of a synthetic set.

    Attributes:
        name: of the set.
        file: the page.
        arms: names of the arms that train on its images.
        numbers: of `quality.json`; empty where that is gone, damaged, or of another screening than the arms'.
    """

    name: str
    file: Path
    arms: Sequence[str]
    numbers: Mapping[str, Any]


def set_pages(group: Group, study: Path) -> list[SetPage]:
    """Return the pages of a group's synthetic sets, in the order of its arms.

    Args:
        group: of a study.
        study: its folder.
    """
    arms: dict[tuple[Path, str], list[str]] = {}
    for run, candidates in _first_runs(group, study):
        page = next((path for path in candidates if path.is_file()), None)
        if page is not None:
            arms.setdefault((page, _screening(run)), []).append(run.arm)
    return [
        SetPage(page.resolve().parent.name, page, names, _numbers(page.parent, screening))
        for (page, screening), names in arms.items()
    ]


def page_files(group: Group, study: Path) -> Iterator[Path]:
    """Yield every file that `set_pages` reads, or would if it were there.

    Args:
        group: of a study.
        study: its folder.
    """
    for _, candidates in _first_runs(group, study):
        for page in candidates:
            yield from (page, page.parent / NUMBERS)


def _first_runs(group: Group, study: Path) -> Iterator[tuple[Run, list[Path]]]:
    """Yield a run of each arm with synthetic images, and where the page of its set may be."""
    locate = locator(study)
    for arm in group.arms:
        runs = [item.run for item in group.runs if item.compared and item.run.arm == arm.name]
        run = next((run for run in runs if run.has_synthetic), None)
        if run is not None:
            yield run, _candidates(run, study, locate)


def _candidates(run: Run, study: Path, locate: Callable[[str], Path]) -> list[Path]:
    """Return where: beside its images, or of a pool beside the other sets."""
    settings = (run.result or {}).get("settings", {})
    beside = study.resolve().parent / "synthetic" / run.key.dataset / identity.synthetic_set_name(settings) / PAGE
    try:
        rows = listed_images(run, SYNTHETIC)
    except UserError:
        return [beside]
    return [*({locate(str(PurePath(set_folder(row), PAGE))) for row in rows[:1]}), beside]


def _screening(run: Run) -> str:
    """Return the name of the folder of a run's verdicts; empty where its images were not screened."""
    screening = (run.result or {}).get("data", {}).get("screening")
    return PurePath(screening["file"]).parent.name if screening else ""


def _numbers(folder: Path, screening: str) -> Mapping[str, Any]:
    try:
        numbers = read_json(folder / NUMBERS)
    except UserError:
        return {}
    return numbers if numbers.get("screening", "") == screening else {}
