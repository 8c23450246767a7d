"""A published table of accuracies, typed into a YAML, checked as a whole; experiments/paper/README.md has the keys.

Numbers are read as they were typed, never as floats: trailing zeros say how a figure was rounded, and YAML itself would
read an arm called 5:5 as 305.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from synthaug.errors import UserError, raise_all
from synthaug.messages import suggest

MOST_IMAGES = 10_000_000  # of a count; beyond, exact tests would take minutes
MOST_DECIMALS = 12
EXAMPLE = "experiments/paper/published.yaml"

_COUNTS = ("n_test", "n_train", "seeds")
_NEEDED = {
    "n_test": "give the number of test images behind each accuracy",
    "baseline": "name the arm that the others are compared with",
    "arms": "list every arm as <name>: <accuracy>",
}
_KEYS = ("title", "source", *_COUNTS, "unit", "baseline", "expected_discordant", "arms", "readings")
_UNITS = {"percent": 0, "fraction": 2}  # places to move the point for percent


@dataclass(frozen=True)
class PublishedArm:
    """One row of a table.

    Attributes:
        name: of the arm.
        accuracy: in percent, with the decimals that were printed.
        n_test: test images.
        seeds: runs that the accuracy is the mean of; None where that is not stated.
        n_train: training images, real and synthetic; None where that is not stated.
    """

    name: str
    accuracy: Decimal
    n_test: int
    seeds: int | None
    n_train: int | None


@dataclass(frozen=True)
class Reading:
    """One way of reading the names of the arms: name → synthetic share in percent."""

    name: str
    says: str
    synthetic: Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """A table as it was printed; `expected_discordant` in percent, rising."""

    title: str
    source: str
    baseline: str
    arms: tuple[PublishedArm, ...]
    readings: tuple[Reading, ...]
    expected_discordant: tuple[float, ...]


def read_published(path: Path) -> Published:
    """Read and check a published table.

    Raises:
        UserError: the file is missing or no YAML, or everything that is wrong with it, each with its line and key.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {EXAMPLE} is an example.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not YAML ({reason}); {EXAMPLE} is an example.") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} holds no table of keys such as n_test: and arms:; {EXAMPLE} is an example.")
    reader = _Reader(root)
    published = reader.table(path.stem)
    raise_all(f"{path} cannot be used:", reader.problems())
    return published


class _Reader:
    """The content of a YAML as text with the line of every key; gathers all that is wrong."""

    def __init__(self, root: yaml.MappingNode) -> None:
        self._lines: dict[str, int] = {}  # dotted key → line
        self._problems: list[tuple[int, str]] = []
        self._content = self._plain(root, "")
        self._places = 0

    def problems(self) -> list[str]:
        """Return everything that is wrong, from top to bottom, and then what is missing."""
        placed = [f"line {line}, {text}" for line, text in sorted(self._problems) if line]
        return placed + [text for line, text in self._problems if not line]

    def table(self, stem: str) -> Published:
        """Return the whole table; without meaning where there are problems."""
        content = self._content
        self._check_keys("", content, _KEYS)
        if (unit := self._text("unit", content) or "percent") not in _UNITS:
            self._complain("unit", f"must be {' or '.join(_UNITS)}", unit)
        self._places = _UNITS.get(unit, 0)
        counts = {key: self._count(key, content[key]) for key in _COUNTS if key in content}
        arms, readings = self._lines_of("arms", 2), self._lines_of("readings", 1)
        sized = bool(arms) and all(isinstance(arm, dict) and "n_test" in arm for arm in arms.values())
        missing = [key for key in _NEEDED if key not in content and not (sized and key == "n_test")]
        self._problems += [(0, f"{key}: is missing; {_NEEDED[key]}") for key in missing]
        baseline = self._text("baseline", content)
        if baseline and arms and baseline not in arms:
            self._complain("baseline", f"is no arm; {_existing(baseline, arms)}", baseline)
        return Published(
            self._text("title", content) or stem,
            self._text("source", content),
            baseline,
            tuple(arm for name, value in arms.items() if (arm := self._arm(name, value, counts))),
            tuple(self._reading(name, value, list(arms)) for name, value in readings.items()),
            self._discordant(),
        )

    def _arm(self, name: str, value: Any, counts: Mapping[str, int | None]) -> PublishedArm | None:
        path = f"arms.{name}"
        settings: dict[str, Any] = value if isinstance(value, dict) else {}
        self._check_keys(path, settings, ("accuracy", *_COUNTS))
        if isinstance(value, dict) and "accuracy" not in value:
            self._complain(path, "has no accuracy")
            return None
        accuracy = self._number(f"{path}.accuracy", settings["accuracy"]) if settings else self._number(path, value)
        n_test, n_train, seeds = (
            self._count(f"{path}.{key}", settings[key]) if key in settings else counts.get(key) for key in _COUNTS
        )
        return None if accuracy is None or n_test is None else PublishedArm(name, accuracy, n_test, seeds, n_train)

    def _reading(self, name: str, value: Any, names: list[str]) -> Reading:
        path = f"readings.{name}"
        settings = value if isinstance(value, dict) else {}
        self._check_keys(path, settings, ("says", "synthetic"))
        shares = settings.get("synthetic")
        if not isinstance(shares, dict):
            self._complain(path, "needs synthetic: {<arm>: <share>, ...} with a share for every arm")
            return Reading(name, "", {})
        self._check_keys(f"{path}.synthetic", shares, names, "is no arm")
        if missing := [arm for arm in names if arm not in shares]:
            self._complain(f"{path}.synthetic", f"has no share for {', '.join(missing)}")
        read = {arm: self._number(f"{path}.synthetic.{arm}", share) for arm, share in shares.items() if arm in names}
        says = self._text("says", settings, f"{path}.")
        return Reading(name, says, {arm: float(share) for arm, share in read.items() if share is not None})

    def _discordant(self) -> tuple[float, ...]:
        key = "expected_discordant"
        values = self._content.get(key, [])
        shares = [self._number(key, value) for value in (values if isinstance(values, list) else [values])]
        if 0 in shares:
            self._complain(key, "must be above 0: arms that never disagree do not differ", "0")
        return tuple(sorted({float(share) for share in shares if share is not None}))

    # --- values --------------------------------------------------------------------------------------

    def _plain(self, node: yaml.Node, path: str) -> Any:
        """Text, a list or a mapping of what a node holds; of two equal keys the first."""
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, path) for item in node.value]
        if not isinstance(node, yaml.MappingNode):
            return node.value
        content: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            inner, line = f"{path}.{name}".lstrip("."), key.start_mark.line + 1
            if not name:
                self._problems.append((line, f"{path or 'the table'}: every key needs a name of one word or in quotes"))
            elif name in content:
                self._problems.append((line, f"{inner}: this key is there twice, first in line {self._lines[inner]}"))
            else:
                self._lines[inner] = line
                content[name] = self._plain(value, inner)
        return content

    def _check_keys(
        self, path: str, content: Mapping[str, Any], allowed: Iterable[str], what: str = "unknown key"
    ) -> None:
        for key in content:
            if key not in allowed:
                self._complain(f"{path}.{key}".lstrip("."), f"{what}; {_existing(key, allowed)}")

    def _lines_of(self, key: str, fewest: int) -> dict[str, Any]:
        """Return what is below arms: or readings:."""
        lines = self._content.get(key)
        if key in self._content and (not isinstance(lines, dict) or len(lines) < fewest):
            self._complain(key, f"must be lines <name>: ..., each without a dash, at least {fewest}")
        return lines if isinstance(lines, dict) else {}

    def _text(self, key: str, content: Mapping[str, Any], prefix: str = "") -> str:
        value = content.get(key, "")
        if isinstance(value, str):
            return " ".join(value.split())
        self._complain(f"{prefix}{key}", "must be text; put it in quotes")
        return ""

    def _count(self, path: str, value: Any) -> int | None:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) and 1 <= int(value) <= MOST_IMAGES:
            return int(value)
        self._complain(path, f"must be a whole number from 1 to {MOST_IMAGES}, digits only", value)
        return None

    def _number(self, path: str, value: Any) -> Decimal | None:
        """Return a percentage between 0 and 100 with its decimals; `places` moves the point of a fraction."""
        text = value.strip() if isinstance(value, str) else ""
        digits = text if self._places else text.removesuffix("%").rstrip()
        most, example = (1, "0.9420, or unit: percent") if self._places else (100, "94.20")
        if re.fullmatch(rf"[0-9]{{1,9}}(\.[0-9]{{0,{MOST_DECIMALS}}})?", digits) and Decimal(digits) <= most:
            return Decimal(digits).scaleb(self._places)
        self._complain(path, f"must be a number from 0 to {most}, such as {example}", text)
        return None

    def _complain(self, path: str, problem: str, value: Any = "") -> None:
        typed = f"={value!r}" if value and isinstance(value, str) else ""
        self._problems.append((self._lines[path], f"{path}{typed}: {problem}"))


def _existing(name: str, names: Iterable[str]) -> str:
    """Return the close matches, or all names."""
    return suggest(name, names) or f"there is {', '.join(names)}"
