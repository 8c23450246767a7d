"""Render the check of a dataset; the words are in `templates/dataset.md.j2`."""

from collections.abc import Sequence

from synthaug.analysis.dataset.dataset_check import DatasetCheck
from synthaug.analysis.dataset.defects import Finding
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("dataset")
# What a finding's title says in full.
WITHOUT_DETAIL = {
    *("changed", "missing", "bad_name", "empty_class", "unknown_class"),
    *("one_colour", "transparent", "outside_classes"),
}


def document(check: DatasetCheck) -> list[Block]:
    """Render the images of each class and the kinds of findings, as the console shows them."""
    return _TEMPLATE.document("document", check, by_code(check.findings))


def by_code(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Group findings by their code, in their order."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    return groups


def title(code: str) -> str:
    """Name a kind of finding."""
    return _TEMPLATE.sentence("title", code)


def remedy(code: str) -> str:
    """Say what to do about a kind of finding."""
    return _TEMPLATE.sentence("remedy", code)


def detail(finding: Finding) -> str:
    """Say what the title of a finding leaves open; may be empty."""
    return "" if finding.code in WITHOUT_DETAIL else _TEMPLATE.sentence(finding.code, finding.data)
