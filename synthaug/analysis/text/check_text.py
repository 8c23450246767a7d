"""Sentences on the checks of a study; the words are in `templates/checks.md.j2`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from synthaug.analysis.text.templating import Template
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, UNCHECKED, WARNING, Check

_TITLES = {
    "runs": "planned runs",
    "selection": "images that chose the epoch",
    "run_files": "files of the runs",
    "filled_classes": "classes filled with synthetic images",
    "feedback_shares": "synthetic share of the classes by feedback",
    "class_shares": "synthetic share of the classes",
    "adapters": "real images of the adapters",
    "real_images": "dataset of real images",
    "pretraining": "test images in earlier training",
    "seed_variance": "variance between seeds",
    "references": "what arms are compared with",
    "chance": "accuracy above chance",
    "origin_by_format": "domain gap in file format",
    "origin_by_size": "domain gap in image size",
    "origin_by_pixels": "domain gap in pixel statistics",
    "overlap_real": "real training images in the test set",
    "overlap_synthetic": "synthetic training images in the test set",
}  # of the other checks, their code in words
_MEASURED = ("origin_by_format", "origin_by_size", "origin_by_pixels", "overlap_real", "overlap_synthetic")
_CHECKS = Template("checks")


@dataclass(frozen=True)
class CheckText:
    """A check as text: its severity as in the check, its name, what was observed and the remedy (may be empty)."""

    severity: str
    title: str
    message: str
    remedy: str


def title(check: Check) -> str:
    """Name a check."""
    return _TITLES.get(check.code) or check.code.replace("_", " ")


def check_text(check: Check, labels: Mapping[str, str] | None = None) -> CheckText:
    """Render a check.

    Args:
        check: of a group.
        labels: what arms are called, by name; by default by their names.
    """
    if labels:
        check = replace(check, data=_labelled(check.data, labels))
    macro = "unchecked" if check.severity == UNCHECKED else "differing" if "facts" in check.data else check.code
    is_silent = check.severity == PASSED and check.code not in _MEASURED
    data = {**check.data, "title": title(check)}
    message = "" if is_silent else _CHECKS.sentence(macro, data)
    remedy = _CHECKS.sentence("remedy", data, macro) if check.severity in (SERIOUS, WARNING) else ""
    return CheckText(check.severity, title(check), message, remedy)


def check_lines(checks: Iterable[Check], labels: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each serious check, with its remedy, and for each warning.

    Args:
        checks: of a group.
        labels: as in `check_text`.
    """
    texts = (check_text(check, labels) for check in checks)
    return [
        f"{text.severity.capitalize()}: {text.message} {text.remedy if text.severity == SERIOUS else ''}".rstrip()
        for text in texts
        if text.severity in (SERIOUS, WARNING)
    ]


def _labelled(data: Any, labels: Mapping[str, str]) -> Any:
    """Return the data of a check with each name of an arm replaced by its label."""
    if isinstance(data, str):
        return labels.get(data, data)
    if isinstance(data, Mapping):
        return {labels.get(key, key): _labelled(value, labels) for key, value in data.items()}
    return [_labelled(item, labels) for item in data] if isinstance(data, list | tuple) else data
