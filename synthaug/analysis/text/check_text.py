"""Sentences on the checks of a study; the words are in `templates/checks.md.j2`."""

from collections.abc import Iterable
from dataclasses import dataclass

from synthaug.analysis.text.templating import Template
from synthaug.analysis.validity.check import PASSED, SERIOUS, UNCHECKED, WARNING, Check

_TITLES = {
    "runs": "planned runs",
    "class_shares": "synthetic share of the classes",
    "real_images": "dataset of real images",
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


def check_text(check: Check) -> CheckText:
    """Render a check."""
    macro = "unchecked" if check.severity == UNCHECKED else "differing" if "facts" in check.data else check.code
    is_silent = check.severity == PASSED and check.code not in _MEASURED
    data = {**check.data, "title": title(check)}
    message = "" if is_silent else _CHECKS.sentence(macro, data)
    remedy = _CHECKS.sentence("remedy", data, macro) if check.severity in (SERIOUS, WARNING) else ""
    return CheckText(check.severity, title(check), message, remedy)


def check_lines(checks: Iterable[Check]) -> list[str]:
    """Return a line for each serious check, with its remedy, and for each warning."""
    return [
        f"{text.severity.capitalize()}: {text.message} {text.remedy if text.severity == SERIOUS else ''}".rstrip()
        for text in map(check_text, checks)
        if text.severity in (SERIOUS, WARNING)
    ]
