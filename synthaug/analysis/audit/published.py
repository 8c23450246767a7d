"""A published table of accuracies, typed into a YAML, checked as a whole; experiments/paper/README.md has the keys.

Numbers are read as they were typed, never as floats: trailing zeros say how a figure was rounded, and YAML itself would
read an arm called 5:5 as 305.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import yaml

from synthaug.errors import UserError, raise_all
from synthaug.messages import join_words, suggest

MOST_IMAGES = 10_000_000  # of a count; beyond, exact tests would take minutes
EXAMPLE, KEYS = "experiments/paper/published.yaml", "experiments/paper/README.md"

_COUNTS = ("n_test", "n_train", "seeds")
_TEXTS = ("title", "source", "baseline", "unit")
_UNITS = {"percent": 0, "fraction": 2}  # places to move the point for percent


@dataclass(frozen=True)
class PublishedArm:
    """One row of a table.

    Attributes:
        accuracy: in percent, with the decimals that were printed.
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
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as YAML ({reason}); {EXAMPLE} is an example.") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} holds no table of keys such as n_test: and arms:; {EXAMPLE} is an example.")
    reader = _Reader()
    published = reader.table(_Entry("", 0, root), path.stem)
    problems = [f"line {line}, {text}" if line else text for line, text in sorted(reader.problems)]
    raise_all(f"{path} cannot be used:", problems)
    return published


@dataclass(frozen=True)
class _Entry:
    """A value of the YAML with its dotted key and the key's line."""

    path: str
    line: int
    node: yaml.Node

    @property
    def text(self) -> str:
        """What was typed; empty for a list or a mapping."""
        return " ".join(self.node.value.split()) if isinstance(self.node, yaml.ScalarNode) else ""


class _Reader:
    """Reads a table and gathers all that is wrong as (line, problem); where there are problems, values mean nothing."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self._places = 0

    def table(self, root: _Entry, stem: str) -> Published:
        keys = self._below(root, (*_TEXTS, *_COUNTS, "expected_discordant", "arms", "readings"))
        title, source, baseline, unit = (self._text(keys.get(key)) for key in _TEXTS)
        if unit and unit not in _UNITS:
            self._complain(keys["unit"], f"must be {' or '.join(_UNITS)}")
        self._places = _UNITS.get(unit, 0)
        counts = {key: self._count(keys[key]) for key in _COUNTS if key in keys}
        arms, readings = (self._below(keys[key]) if key in keys else {} for key in ("arms", "readings"))
        for key, entries, fewest in (("arms", arms, 2), ("readings", readings, 1)):
            if key in keys and len(entries) < fewest:
                self._complain(keys[key], f"must be lines <name>: ..., each without a dash, at least {fewest}")
        published_arms = tuple(self._arm(name, entry, counts) for name, entry in arms.items())
        if published_arms and not unit and not self.problems and all(arm.accuracy <= 1 for arm in published_arms):
            text = "unit: is missing, and every accuracy is at most 1; write unit: fraction or unit: percent"
            self.problems.append((0, text))
        sized = ["n_test"] if published_arms and all(arm.n_test for arm in published_arms) else []
        missing = {"n_test", "baseline", "arms"}.difference(keys, sized)
        self.problems += [(0, f"{key}: is missing; {KEYS} explains the keys") for key in missing]
        if baseline and arms and baseline not in arms:
            self._complain(keys["baseline"], f"is not an arm; {_existing(baseline, arms)}")
        return Published(
            title or stem,
            source,
            baseline,
            published_arms,
            tuple(self._reading(name, entry, arms) for name, entry in readings.items()),
            self._discordant(keys["expected_discordant"]) if "expected_discordant" in keys else (),
        )

    def _arm(self, name: str, entry: _Entry, counts: Mapping[str, int]) -> PublishedArm:
        keys = self._below(entry, ("accuracy", *_COUNTS))
        n_test, n_train, seeds = (self._count(keys[key]) if key in keys else counts.get(key) for key in _COUNTS)
        if isinstance(entry.node, yaml.MappingNode):
            entry = keys.get("accuracy", replace(entry, path=f"{entry.path}.accuracy"))
        return PublishedArm(name, self._number(entry), n_test or 0, seeds, n_train)

    def _reading(self, name: str, entry: _Entry, arms: Collection[str]) -> Reading:
        keys = self._below(entry, ("says", "synthetic"))
        shares = self._below(keys["synthetic"], arms, "is not an arm") if "synthetic" in keys else {}
        if missing := [arm for arm in arms if arm not in shares]:
            self._complain(entry, f"needs synthetic: {{<arm>: <share>, ...}}, with a share for {join_words(missing)}")
        numbers = {arm: float(self._number(share)) for arm, share in shares.items()}
        return Reading(name, self._text(keys.get("says")), numbers)

    def _discordant(self, entry: _Entry) -> tuple[float, ...]:
        nodes = entry.node.value if isinstance(entry.node, yaml.SequenceNode) else [entry.node]
        shares = {self._number(replace(entry, node=node)) for node in nodes}
        if 0 in shares:
            self._complain(entry, "must be above 0: arms that never disagree do not differ")
        return tuple(sorted(map(float, shares)))

    def _below(
        self, entry: _Entry, allowed: Collection[str] | None = None, unknown: str = "unknown key"
    ) -> dict[str, _Entry]:
        """Return what a mapping holds by its keys, the first of two equal ones; nothing of anything else."""
        entries: dict[str, _Entry] = {}
        for key, node in entry.node.value if isinstance(entry.node, yaml.MappingNode) else ():
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            inner = _Entry(f"{entry.path}.{name}".lstrip("."), key.start_mark.line + 1, node)
            if not name:
                at = replace(inner, path=entry.path or "the table", node=key)
                self._complain(at, "every key needs a name of one word or in quotes")
            elif name in entries:
                self._complain(inner, f"this key is there twice, first in line {entries[name].line}")
            elif allowed is not None and name not in allowed:
                self._complain(inner, f"{unknown}; {_existing(name, allowed)}")
            else:
                entries[name] = inner
        return entries

    def _text(self, entry: _Entry | None) -> str:
        if entry and not isinstance(entry.node, yaml.ScalarNode):
            self._complain(entry, "must be text; put it in quotes")
        return entry.text if entry else ""

    def _count(self, entry: _Entry) -> int:
        if re.fullmatch(r"[0-9]{1,9}", entry.text) and 1 <= int(entry.text) <= MOST_IMAGES:
            return int(entry.text)
        self._complain(entry, f"must be a whole number from 1 to {MOST_IMAGES}, digits only")
        return 0

    def _number(self, entry: _Entry) -> Decimal:
        """Return a percentage between 0 and 100 with its decimals; `_places` moves the point of a fraction."""
        digits = entry.text if self._places else entry.text.removesuffix("%").rstrip()
        most, example = (1, "0.9420, or unit: percent") if self._places else (100, "94.20")
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,12})?", digits) and Decimal(digits) <= most:
            return Decimal(digits).scaleb(self._places)
        self._complain(entry, f"must be a number from 0 to {most}, such as {example}")
        return Decimal(-1)

    def _complain(self, entry: _Entry, problem: str) -> None:
        typed = f"={entry.text!r}" if entry.text else ""
        self.problems.append((entry.line, f"{entry.path}{typed}: {problem}"))


def _existing(name: str, names: Collection[str]) -> str:
    """Return the close matches, or all names."""
    return suggest(name, names) or f"there is {', '.join(names)}"
