"""What a check for threats to validity has found, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

SERIOUS, MIND, UNCHECKED, PASSED = "serious", "mind", "not checked", "passed"
SEVERITIES = (SERIOUS, MIND, UNCHECKED, PASSED)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was looked at, in a few words.
        severity: "serious" (the study's differences may have another cause than its arms, or may not hold), "mind"
            (how far they carry over is narrower than it seems), "not checked" (and `said` tells why) or "passed".
        said: what was found, in sentences.
        way_out: what to do about it; empty where there is nothing to do.
    """

    name: str
    severity: str
    said: str
    way_out: str = ""


def unchecked(name: str, problems: Sequence[str]) -> Finding:
    """The outcome of a check that could not be made."""
    return Finding(name, UNCHECKED, f"Not checked, because {'; '.join(problems)}.")


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The most severe first, otherwise in the given order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
