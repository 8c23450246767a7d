"""Where the files of a study and of a run are, and how a run is marked as finished."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.files import remove_unfinished, write_json

FORMAT = 2  # of `planned.json`, `result.json` and `predictions.csv`

# Of a study; all others are of a run.
PLANNED, PAGE = "planned.json", "report.html"
LOOKS = "looks.json"  # numbers of seeds at which a study was reported
RESULTS_CSV, RESULTS_JSON = "results.csv", "results.json"
RESULTS_MARKDOWN, RESULTS_LATEX = "results.md", "results.tex"
FIGURES = "figures"  # of the page, as vector files
REPORT = (RESULTS_CSV, RESULTS_JSON, RESULTS_MARKDOWN, RESULTS_LATEX, PAGE)
RESULT, FAILED, CONFIG, MIX = "result.json", "failed.json", "config.yaml", "mix.csv"
PREDICTIONS, HISTORY, CHECKPOINT, LAST = "predictions.csv", "history.csv", "best.ckpt", "last.ckpt"
SHIFTS = "shifts"
DEBUG_SUFFIX = "-debug"  # of the names of studies that debug=true makes, and of no others
STUDY_DEPTH = 5  # folders from a study to a run


@dataclass(frozen=True, order=True)
class RunKey:
    """What tells one run of a study from another; the folder below the study is made of it."""

    dataset: str
    generator: str
    model: str
    arm: str
    seed: int

    @property
    def folder(self) -> Path:
        """Path of the run below its study's folder."""
        return Path(self.dataset, self.generator, self.model, self.arm, f"seed{self.seed}")

    @property
    def label(self) -> str:
        """Name of the run in logs and in W&B."""
        return f"{self.arm}-seed{self.seed}"


def study_name(experiment: str, debug: bool) -> str:
    """Return the name of a study's folder.

    Args:
        experiment: as configured.
        debug: whether this is a smoke test, whose runs must not lie among those of the study.
    """
    return f"{experiment}{DEBUG_SUFFIX}" if debug else experiment


def is_debug(study: Path) -> bool:
    """Return whether the study in a folder is a smoke test."""
    return study.name.endswith(DEBUG_SUFFIX)


def shift_folder(run: Path, name: str) -> Path:
    """Return the folder of a run's predictions on a shift set.

    Args:
        run: the run's folder.
        name: of the shift set.
    """
    return run / SHIFTS / name


def finish(folder: Path, result: Mapping[str, Any]) -> None:
    """Mark a run as finished: write `result.json` last and remove what only served a resume or a failure.

    Args:
        folder: of the run.
        result: content of `result.json`.
    """
    write_json(folder / RESULT, result)
    remove_unfinished(folder)
    (folder / FAILED).unlink(missing_ok=True)
    (folder / LAST).unlink(missing_ok=True)


def set_aside(folder: Path) -> Path:
    """Move the files of a run's folder into `earlier<n>` below it, and return that; nothing is deleted."""
    number = next(n for n in itertools.count(1) if not (folder / f"earlier{n}").exists())
    aside = folder / f"earlier{number}"
    aside.mkdir()
    for path in list(folder.iterdir()):
        if not path.name.startswith(("earlier", ".")):
            path.rename(aside / path.name)
    return aside
