"""A published table of accuracies, typed into a YAML, checked as a whole.

    title: the paper (KAICTS 2024)      # optional: the file's name
    source: its table of results        # optional: where the figures stand
    n_test: 162                         # test images behind each accuracy
    n_train: 1348                       # optional: training images of each arm, real and synthetic together
    seeds: 1                            # optional: runs that each accuracy is the mean of
    unit: percent                       # optional: percent, or fraction for 0.9815
    baseline: real                      # the arm that the others are compared with
    expected_discordant: [3, 5]         # optional, in the same unit: images that only one of two arms gets right
    arms:
      real: 98.15                       # as printed: "94.20" has two decimals, "94.2" has one
      5:5: {accuracy: 95.06, n_test: 162, n_train: 1348, seeds: 1}     # what differs from the rest of the table
    readings:                           # optional: what the names of the arms mean; several where the source is unclear
      caption:
        says: "artificial:real"         # optional: what the source says
        synthetic: {real: 0, 5:5: 50}   # the synthetic share of each arm, in the same unit

Numbers are read as they were typed, never as floats: trailing zeros say how a figure was rounded, and YAML itself would
read 5:5 as 305.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import yaml

from synthaug.errors import UserError, raise_all

MOST_IMAGES = 10_000_000  # of a count; beyond, exact tests would take minutes
MOST_DECIMALS = 12
EXAMPLE = "experiments/paper/published.yaml"

_COUNTS = ("n_test", "n_train", "seeds")
_TABLE = ("title", "source", *_COUNTS, "unit", "baseline", "expected_discordant", "arms", "readings")
_ARM = ("accuracy", *_COUNTS)
_READING = ("says", "synthetic")
_UNITS = {"percent": 0, "fraction": 2}  # places to move the point for percent


@dataclass(frozen=True)
class PublishedArm:
    """One row of a table. `accuracy` is in percent, with the decimals that were printed."""

    name: str
    accuracy: Decimal
    n_test: int
    seeds: int | None  # None: not stated
    n_train: int | None


@dataclass(frozen=True)
class Reading:
    """One way of reading the names of the arms: name → synthetic share in percent."""

    name: str
    says: str
    synthetic: Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """A table as it was printed."""

    title: str
    source: str
    baseline: str
    arms: tuple[PublishedArm, ...]
    readings: tuple[Reading, ...]
    expected_discordant: tuple[float, ...]  # percent, rising


def read_published(path: Path) -> Published:
    """Read and check a published table.

    Raises:
        UserError: the file is missing or no YAML, or everything that is wrong with it, each with its line and key.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); give the YAML of a table, as {EXAMPLE} is."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML ({_reason(error)}); {EXAMPLE} is an example.") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} holds no table of keys such as n_test: and arms:; {EXAMPLE} is an example.")
    reader = _Reader()
    published = reader.table(root, path.stem)
    raise_all(f"{path} cannot be used:", reader.problems)
    assert published is not None, "nothing is wrong, so everything is there"
    return published


@dataclass(frozen=True)
class _Defaults:
    """What holds for every arm that does not say otherwise."""

    places: int
    n_test: int | None
    n_train: int | None
    seeds: int | None


_Entries = dict[str, tuple[yaml.Node, yaml.Node]]  # key → its node, for the line, and its value


class _Reader:
    """Walks the nodes of a YAML, which know their lines, and gathers all that is wrong."""

    def __init__(self) -> None:
        self._problems: list[tuple[int, str]] = []

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, from top to bottom, and then what is missing."""
        at_a_place = [f"line {line}, {text}" for line, text in sorted(self._problems) if line]
        return at_a_place + [text for line, text in self._problems if not line]

    def table(self, root: yaml.MappingNode, stem: str) -> Published | None:
        """The whole file; None where something that everything else needs is missing."""
        keys = self._mapping(root, "", _TABLE)
        unit = self._text(keys, "unit") or "percent"
        if unit not in _UNITS:
            self._complain(keys["unit"][1], f"unit={unit!r}", f"must be {' or '.join(_UNITS)}")
        places = _UNITS.get(unit, 0)
        counts = {key: self._count(keys, key) for key in _COUNTS}
        arms = self._arms(keys, _Defaults(places, **counts))
        names = self._names(keys)
        readings = self._readings(keys, names, places)
        baseline = self._baseline(keys, names)
        discordant = self._discordant(keys, places)
        if self._problems:
            return None
        title = self._text(keys, "title") or stem
        return Published(title, self._text(keys, "source"), baseline, arms, readings, discordant)

    # --- parts of the table --------------------------------------------------------------------------

    def _names(self, keys: _Entries) -> list[str]:
        """Names of all arms, also of those with something wrong."""
        node = keys["arms"][1] if "arms" in keys else None
        found = [str(key.value) for key, _ in node.value if key.value] if isinstance(node, yaml.MappingNode) else []
        return list(dict.fromkeys(found))

    def _arms(self, keys: _Entries, defaults: _Defaults) -> tuple[PublishedArm, ...]:
        if "arms" not in keys:
            self._missing("arms: is missing; list every arm as <name>: <accuracy>")
            return ()
        node = keys["arms"][1]
        if not isinstance(node, yaml.MappingNode):
            self._complain(node, "arms", "must be a list of lines <name>: <accuracy>, each without a dash")
            return ()
        entries = self._mapping(node, "arms", None)
        if len(entries) < 2:
            self._complain(node, "arms", f"{len(entries)} is too few, a comparison needs two")
        if defaults.n_test is None and "n_test" not in keys and not self._all_have(entries, "n_test"):
            self._missing("n_test: is missing; give the number of test images behind each accuracy")
        found = [self._arm(name, value, defaults) for name, (_, value) in entries.items()]
        return tuple(arm for arm in found if arm is not None)

    def _all_have(self, entries: _Entries, key: str) -> bool:
        return all(
            isinstance(value, yaml.MappingNode) and any(inner.value == key for inner, _ in value.value)
            for _, value in entries.values()
        )

    def _arm(self, name: str, node: yaml.Node, defaults: _Defaults) -> PublishedArm | None:
        where = f"arms.{name}"
        own: _Entries = {}
        if isinstance(node, yaml.MappingNode):
            own = self._mapping(node, where, _ARM)
            if "accuracy" not in own:
                self._complain(node, where, "has no accuracy")
                return None
            where, node = f"{where}.accuracy", own["accuracy"][1]
        accuracy = self._number(node, where, defaults.places)
        n_test, n_train, seeds = (
            self._count(own, key, f"arms.{name}.") if key in own else getattr(defaults, key) for key in _COUNTS
        )
        return None if accuracy is None or n_test is None else PublishedArm(name, accuracy, n_test, seeds, n_train)

    def _baseline(self, keys: _Entries, names: Sequence[str]) -> str:
        if "baseline" not in keys:
            self._missing("baseline: is missing; name the arm that the others are compared with")
            return ""
        baseline = self._text(keys, "baseline")
        if names and baseline not in names:
            self._complain(keys["baseline"][1], f"baseline={baseline!r}", f"is no arm{_meant(baseline, names)}")
        return baseline

    def _readings(self, keys: _Entries, names: Sequence[str], places: int) -> tuple[Reading, ...]:
        if "readings" not in keys:
            return ()
        node = keys["readings"][1]
        if not isinstance(node, yaml.MappingNode):
            self._complain(node, "readings", "must be a list of lines <name of the reading>: ..., each without a dash")
            return ()
        return tuple(
            self._reading(name, value, names, places)
            for name, (_, value) in self._mapping(node, "readings", None).items()
        )

    def _reading(self, name: str, node: yaml.Node, names: Sequence[str], places: int) -> Reading:
        where = f"readings.{name}"
        own = self._mapping(node, where, _READING) if isinstance(node, yaml.MappingNode) else {}
        shares = own["synthetic"][1] if "synthetic" in own else None
        if not isinstance(shares, yaml.MappingNode):
            self._complain(node, where, "needs synthetic: {<arm>: <share>, ...} with a share for every arm")
            return Reading(name, "", {})
        where = f"{where}.synthetic"
        entries = self._mapping(shares, where, names)
        missing = [arm for arm in names if arm not in entries]
        if missing:
            self._complain(shares, where, f"has no share for {', '.join(missing)}")
        read = {arm: self._number(value, f"{where}.{arm}", places) for arm, (_, value) in entries.items()}
        return Reading(
            name,
            self._text(own, "says", f"readings.{name}."),
            {arm: float(share) for arm, share in read.items() if share is not None},
        )

    def _discordant(self, keys: _Entries, places: int) -> tuple[float, ...]:
        if "expected_discordant" not in keys:
            return ()
        node = keys["expected_discordant"][1]
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        shares = set()
        for item in nodes:
            share = self._number(item, "expected_discordant", places)
            if share == 0:
                self._complain(item, "expected_discordant=0", "must be above 0: arms that never disagree do not differ")
            elif share is not None:
                shares.add(float(share))
        return tuple(sorted(shares))

    # --- values --------------------------------------------------------------------------------------

    def _mapping(self, node: yaml.MappingNode, where: str, known: Iterable[str] | None) -> _Entries:
        """Key → nodes; the first of two equal keys. `known`: the keys that may be there, None for any."""
        entries: _Entries = {}
        kind = {"arms": "arm", "readings": "reading"}.get(where, "key")
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            path = f"{where}.{name}".lstrip(".")
            if not name:
                self._complain(key, where or "the table", f"every {kind} needs a name of one word or in quotes")
            elif name in entries:
                first = entries[name][0].start_mark.line + 1
                self._complain(key, path, f"this {kind} is there twice, first in line {first}")
            elif known is not None and name not in known:
                what = "is no arm" if where.endswith(".synthetic") else "nothing reads this key"
                self._complain(key, path, f"{what}{_meant(name, known)}")
            else:
                entries[name] = (key, value)
        return entries

    def _text(self, keys: _Entries, key: str, prefix: str = "") -> str:
        if key not in keys:
            return ""
        node = keys[key][1]
        if isinstance(node, yaml.ScalarNode):
            return " ".join(str(node.value).split())
        self._complain(node, f"{prefix}{key}", "must be text; put it in quotes")
        return ""

    def _count(self, keys: _Entries, key: str, prefix: str = "") -> int | None:
        if key not in keys:
            return None
        node = keys[key][1]
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if re.fullmatch(r"[0-9]{1,9}", text) and 1 <= int(text) <= MOST_IMAGES:
            return int(text)
        said = f"{prefix}{key}={text!r}" if text else f"{prefix}{key}"
        self._complain(node, said, f"must be a whole number from 1 to {MOST_IMAGES}, digits only")
        return None

    def _number(self, node: yaml.Node, where: str, places: int) -> Decimal | None:
        """A percentage between 0 and 100 with its decimals; `places` moves the point of a fraction."""
        text = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
        most = 100 if places == 0 else 1
        plain = text.removesuffix("%").rstrip() if places == 0 else text
        if not re.fullmatch(rf"[0-9]{{1,9}}(\.[0-9]{{0,{MOST_DECIMALS}}})?", plain):
            hint = " with a point, not a comma" if "," in text else ""
            said = f"{where}={text!r}" if text else where
            self._complain(node, said, f"must be a number from 0 to {most}{hint}")
            return None
        value = Decimal(plain)
        if value > most:
            hint = "" if places == 0 else ", or unit: percent"
            self._complain(node, f"{where}={text!r}", f"must be from 0 to {most}{hint}")
            return None
        return value.scaleb(places)

    def _complain(self, node: yaml.Node, where: str, what: str) -> None:
        self._problems.append((node.start_mark.line + 1, f"{where}: {what}"))

    def _missing(self, what: str) -> None:
        self._problems.append((0, what))


def _reason(error: Exception) -> str:
    """What is wrong with a text that is no YAML, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return f"line {error.problem_mark.line + 1}: {said}"
    return " ".join(str(error).split())


def _meant(name: str, known: Iterable[str]) -> str:
    """The close matches, or all that there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there is {', '.join(names)}"
