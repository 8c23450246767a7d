"""Where the files of a study and of a run are, and how a run is marked as finished."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from synthaug.errors import UserError
from synthaug.files import remove_unfinished, sha256, sync_entries, write_json
from synthaug.messages import join_words
from synthaug.terminal import printable

FORMAT = 3  # of `planned.json`, `result.json` and `predictions.csv` or `.npz`

# Of a study; all others are of a run.
PLANNED, PAGE = "planned.json", "report.html"
LOOKS = "looks.json"  # numbers of seeds at which a study was reported
COMMANDS = "commands.json"  # that requested its runs
GROUPS = "groups.csv"  # of the test images of a dataset, in its folder
RESULTS_CSV, RESULTS_JSON = "results.csv", "results.json"
RESULTS_MARKDOWN, RESULTS_LATEX = "results.md", "results.tex"
FIGURES = "figures"  # of the page, as vector files
REPORT = (RESULTS_CSV, RESULTS_JSON, RESULTS_MARKDOWN, RESULTS_LATEX, PAGE)
RESULT, FAILED, CONFIG, MIX = "result.json", "failed.json", "config.yaml", "mix.csv"
PREDICTIONS, HISTORY, CHECKPOINT = "predictions.csv", "history.csv", "best.ckpt"
PREDICTION_ARRAYS = "predictions.npz"  # in the place of the former, see `prediction_files`
MIX_ROWS = "mix.npz"  # in the place of `MIX`, see `image_lists`
IMAGE_LISTS = "image_lists"  # folder of a study
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # to resume from; the second where the first is damaged
SHIFTS = "shifts"
FEEDBACK = "feedback.json"  # rounds of feedback that are finished
DEBUG_SUFFIX = "-debug"  # of the names of studies that debug=true makes, and of no others
_FILES = "files"  # key of `result.json`
STUDY_DEPTH = 3  # folders from a study to a run


@dataclass(frozen=True, order=True)
class RunKey:
    """What tells one run of a study from another; the folder below the study is made of it.

    Attributes:
        dataset: its name.
        arm: folder of the arm, see `identity.arm_folder`.
        seed: of the run.
        fold: whose images are its test images, where the study deals all images into folds.
    """

    dataset: str
    arm: str
    seed: int
    fold: int | None = None

    @classmethod
    def of(cls, names: Mapping[str, Any]) -> Self:
        """Return the key with these names, as files have them.

        Raises:
            LookupError: some are missing.
            ValueError: a name cannot be that of a folder, or seed or fold is not a number.
        """
        key = cls(names["dataset"], names["arm"], names["seed"], names.get("fold"))
        for name in (key.dataset, key.arm):
            if not isinstance(name, str) or name in ("", "..") or name != Path(name).name or name != printable(name):
                raise ValueError(f"{name!r} cannot be the name of a folder")
        if type(key.seed) is not int:
            raise ValueError(f"seed is {key.seed!r}")
        if key.fold is not None and (type(key.fold) is not int or key.fold < 0):
            raise ValueError(f"fold is {key.fold!r}")
        return key

    @property
    def names(self) -> dict[str, str | int]:
        """The key as files have it; without a fold where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def folder(self) -> Path:
        """Path of the run below its study's folder."""
        return Path(self.dataset, self.arm, self.place)

    @property
    def place(self) -> str:
        """What tells the run from others of its arm, and is the name of its folder: seed0, seed0-fold3."""
        return f"seed{self.seed}" if self.fold is None else f"seed{self.seed}-fold{self.fold}"


def require_number(value: Any, name: str) -> None:
    """Raise ValueError unless a value of a file is a number of 0 or more.

    Args:
        value: as it was read.
        name: of the value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}")


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


def predictions_file(folder: Path) -> Path:
    """Return where the predictions of a run, or of one of its shift sets, are: a table, or arrays where that is large.

    Args:
        folder: of the run, or of the shift set.
    """
    arrays = folder / PREDICTION_ARRAYS
    return arrays if arrays.exists() else folder / PREDICTIONS


def mix_file(folder: Path) -> Path:
    """Return where the training images of a run are listed: in a table, or by the rows of lists where that is large.

    Args:
        folder: of the run.
    """
    rows = folder / MIX_ROWS
    return rows if rows.exists() else folder / MIX


def finish(folder: Path, result: Mapping[str, Any], written: Sequence[str]) -> None:
    """Mark a run as finished: write `result.json` last and remove what only served a resume or a failure.

    Args:
        folder: of the run, or of one of its shift sets.
        result: content of `result.json`, which gets the hashes of the files that it comes from.
        written: names of these files.

    Raises:
        UserError: some of them are gone.
    """
    missing = [name for name in written if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} has lost {join_words(missing)} while the run was working: move it away and run the same command "
            "again."
        )
    result = {**result, _FILES: {name: sha256(folder / name) for name in written}}
    sync_entries(folder)
    write_json(folder / RESULT, result)
    sync_entries(folder)  # or a power cut may take the result and leave it no checkpoint
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what a finished run needs no more; a process may have been killed before it did."""
    remove_unfinished(folder)
    for name in (FAILED, LAST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def recorded_hash(result: Mapping[str, Any] | None, name: str) -> str | None:
    """Return the hash that a result has of a file that it comes from; None where it has none.

    Args:
        result: content of `result.json`; None for a run that is not finished.
        name: of the file.
    """
    recorded = (result or {}).get(_FILES)
    return str(recorded[name]) if isinstance(recorded, Mapping) and name in recorded else None


def require_as_written(folder: Path, name: str, result: Mapping[str, Any] | None) -> None:
    """Check that a file is the one that the run wrote.

    Args:
        folder: of the run.
        name: of the file.
        result: content of its `result.json`.

    Raises:
        UserError: its bytes have changed since.
    """
    if recorded_hash(result, name) not in (None, sha256(folder / name)):
        raise UserError(
            f"{folder / name} is damaged, or of another run: bring it back from a copy, or train the run again with "
            "overwrite=true."
        )


def set_aside(folder: Path) -> Path:
    """Move the files of a run's folder into `earlier<n>` below it, and return that; nothing is deleted."""
    number = next(n for n in itertools.count(1) if not (folder / f"earlier{n}").exists())
    aside = folder / f"earlier{number}"
    aside.mkdir()
    for path in list(folder.iterdir()):
        if not path.name.startswith(("earlier", ".")):
            path.rename(aside / path.name)
    return aside
