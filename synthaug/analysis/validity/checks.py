"""All threats to the validity of a study; what takes long is looked at once and kept in `threats.json`.

>>> for finding in find(comparison, comparison.groups[0]):
...     print(finding.severity, finding.name, finding.said)
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.text.document import Block, Heading, Points
from synthaug.analysis.training_images import locator
from synthaug.analysis.validity import design, overlap, shortcuts, sources
from synthaug.analysis.validity.finding import MIND, PASSED, SERIOUS, UNCHECKED, Finding, by_severity
from synthaug.errors import UserError
from synthaug.files import read_json, write_json

FORMAT = 1  # raise it with any change of what is looked at or said
KEPT = "threats.json"


def find(comparison: Comparison, group: Group, more: Sequence[Finding] = ()) -> tuple[Finding, ...]:
    """Every check and its outcome, the most severe first.

    Args:
        comparison: of the study.
        group: one of its groups.
        more: what others found, such as that the study has too little power.
    """
    return by_severity([*more, *design.findings(group), *_of_images(comparison.folder, group)])


def _of_images(study: Path, group: Group) -> list[Finding]:
    """What the images show: looked at only if they, or the way of looking, have changed since the last report."""
    images = sources.sources(group)
    locate = locator(study)
    lines = sources.state_of_files(images, locate)
    inputs = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    name = f"{group.dataset}/{group.generator}/{group.model}"
    kept = _kept(study / KEPT)
    if name in kept and kept[name]["inputs"] == inputs:
        return [Finding(**finding) for finding in kept[name]["findings"]]
    found = [*shortcuts.findings(images, locate), *overlap.findings(images, locate)]
    kept[name] = {"inputs": inputs, "findings": [dataclasses.asdict(finding) for finding in found]}
    write_json(study / KEPT, {"format": FORMAT, "groups": kept})
    return found


def _kept(path: Path) -> dict[str, Any]:
    """What earlier reports found, by group; nothing where another version kept it, or the file is damaged."""
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except UserError:
        return {}
    groups: dict[str, Any] = content.get("groups", {})
    return groups if content.get("format") == FORMAT else {}


_HEADINGS = {
    SERIOUS: "Serious: the differences may have another cause, or may not hold",
    MIND: "To be kept in mind",
    UNCHECKED: "Not checked",
    PASSED: "Checked, and nothing found",
}


def document(findings: Sequence[Finding]) -> list[Block]:
    """The findings, to be printed or made into Markdown."""
    blocks: list[Block] = [Heading("Threats to validity")]
    for severity, heading in _HEADINGS.items():
        own = [finding for finding in findings if finding.severity == severity]
        if own:
            blocks += [
                Heading(heading, 3),
                Points([f"{item.name}: {item.said} {item.way_out}".strip() for item in own]),
            ]
    return blocks
