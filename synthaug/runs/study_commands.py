"""The command lines of a study, with which `report status` shows how to resume it."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthaug import locks
from synthaug.environment import hidden
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.runs.layout import COMMANDS, RunKey


@dataclass(frozen=True)
class StudyCommand:
    """A command line that requested runs of a study.

    Attributes:
        line: to be typed.
        directory: in which it was typed.
        runs: paths of the runs below the study's folder.
    """

    line: str
    directory: str
    runs: tuple[str, ...]


def record(study: Path, line: str, keys: Iterable[RunKey]) -> None:
    """Record a command line that requests runs.

    Args:
        study: its folder.
        line: to be typed once more.
        keys: of the runs.
    """
    line = hidden(line)
    command = StudyCommand(line, str(Path.cwd()), tuple(sorted(str(key.folder) for key in keys)))
    with locks.exclusive(study / ".commands.lock", f"writes the commands of {study}"):
        earlier = [item for item in read(study) if item.line != line or item.directory != command.directory]
        write_json(study / COMMANDS, {"commands": [asdict(item) for item in (*earlier, command)]})


def read(study: Path) -> list[StudyCommand]:
    """Return the commands of a study, the latest last; none if their file is missing or damaged."""
    with contextlib.suppress(UserError, LookupError, TypeError, ValueError):
        if (study / COMMANDS).is_file():
            return [_parse(item) for item in read_json(study / COMMANDS)["commands"]]
    return []


def covering(commands: Sequence[StudyCommand], runs: Iterable[str]) -> list[StudyCommand]:
    """Return the latest commands that together request some runs.

    Args:
        commands: the latest last.
        runs: their paths below the study's folder.
    """
    left, needed = set(runs), list[StudyCommand]()
    for command in reversed(commands):
        if left & set(command.runs):
            needed.append(command)
            left -= set(command.runs)
    return needed


def _parse(item: dict[str, Any]) -> StudyCommand:
    return StudyCommand(str(item["line"]), str(item["directory"]), tuple(map(str, item["runs"])))
