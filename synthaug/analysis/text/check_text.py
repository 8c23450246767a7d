"""Sentences on the checks of a study; the words are in `templates/checks.md.j2`."""

from collections.abc import Iterable
from dataclasses import dataclass

from synthaug.analysis.text.templating import Template
from synthaug.analysis.validity.check import PASSED, SERIOUS, UNCHECKED, WARNING, Check

_TITLES = {
    "runs": "planned runs",
    "class_shares": "synthetic share of the classes",
    "unreadable_images": "readability of the images",
    "power": "statistical power",
    "chance": "accuracy above chance",
    "origin_by_format": "domain gap in file format",
    "origin_by_size": "domain gap in image size",
    "origin_by_pixels": "domain gap in pixel statistics",
    "near_duplicates": "near duplicates in the test set",
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
    macro = "unchecked" if check.severity == UNCHECKED else check.code
    is_silent = check.severity == PASSED and check.code not in _MEASURED
    message = "" if is_silent else _CHECKS.sentence(macro, check.data)
    is_problem = check.severity in (SERIOUS, WARNING)
    remedy = _CHECKS.sentence("remedy_text", check.code, check.data) if is_problem else ""
    return CheckText(check.severity, title(check), message, remedy)


def check_lines(checks: Iterable[Check]) -> list[str]:
    """Return a line for each serious check, with its remedy, and for each warning; not what the headline says."""
    problems = [check for check in checks if check.severity in (SERIOUS, WARNING)]
    texts = [
        check_text(check)
        for check in problems
        if not (check.code == "seeds" and check.data["fewest"] == 1 and check.data["all_arms"])
    ]
    return [
        f"{text.severity.capitalize()}: {text.message} {text.remedy if text.severity == SERIOUS else ''}".rstrip()
        for text in texts
    ]
