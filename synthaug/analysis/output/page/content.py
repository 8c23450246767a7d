"""What the sections of the page are filled from."""

from dataclasses import dataclass

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings


@dataclass(frozen=True)
class Content:
    """A group of a study with what was computed about it.

    Attributes:
        comparison: of the study.
        group: one of its groups.
        findings: of the group.
    """

    comparison: Comparison
    group: Group
    findings: Findings
