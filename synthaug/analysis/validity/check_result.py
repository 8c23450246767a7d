"""The outcome of one check of a study's validity, as plain data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SERIOUS, WARNING, UNCHECKED, INFORMATION, PASSED = "serious", "warning", "not checked", "information", "passed"
SEVERITIES = (SERIOUS, WARNING, UNCHECKED, INFORMATION, PASSED)
INCOMPLETE, UNDERPOWERED, DEBUG = "incomplete", "underpowered", "debug"
_TAG_OF = {"runs": INCOMPLETE, "power": UNDERPOWERED, "smoke_test": DEBUG}
TAGS = frozenset(_TAG_OF.values())  # of a study


@dataclass(frozen=True)
class Check:
    """The outcome of one check; its sentence and its remedy are in `text/templates/checks.md.j2`, by its code.

    Attributes:
        code: what was checked, such as "seeds".
        severity: "serious" (differences between arms may have another cause, or may not hold), "warning" (they hold
            less widely than they seem to), "not checked", "information" (so by design, to be known) or "passed".
        data: what the sentence says, as JSON has it: numbers, names, lists, dictionaries.
        in_headline: whether the headline says it, so that lists of checks beside the headline leave it out.
    """

    code: str
    severity: str
    data: Mapping[str, Any] = field(default_factory=dict)
    in_headline: bool = False


def by_severity(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Return the most severe checks first, otherwise in their order."""
    return tuple(sorted(checks, key=lambda check: SEVERITIES.index(check.severity)))


def tags(checks: Iterable[Check]) -> set[str]:
    """Return the tags of a study that shows less than it was meant to: "incomplete", "underpowered", "debug"."""
    return {_TAG_OF[check.code] for check in checks if check.code in _TAG_OF and check.severity in (SERIOUS, WARNING)}
