"""Sentences on the checks of a study; the words are in `templates/checks.md.j2`."""

from collections.abc import Iterable
from dataclasses import dataclass

from synthaug.analysis.text.templating import Template
from synthaug.analysis.validity.check import PASSED, SERIOUS, UNCHECKED, WARNING, Check

TITLES = {
    "runs": "failed and missing runs",
    "training_length": "training length",
    "class_shares": "synthetic share of the classes",
    "settings": "settings",
    "validation_images": "validation images",
    "real_images": "real training images",
    "machine": "machine",
    "versions": "versions",
    "recorded_accuracy": "recorded accuracy",
    "unreadable_images": "unreadable images",
    "baseline": "baseline",
    "controls": "controls",
    "power": "statistical power",
    "augmentation": "augmentation",
    "seeds": "seeds",
    "paired_seeds": "paired seeds",
    "chance": "accuracy above chance",
    "origin_by_format": "file format tells origin",
    "origin_by_size": "size tells origin",
    "origin_by_pixels": "pixels tell origin",
    "overlap_real": "real training images in the test set",
    "overlap_synthetic": "synthetic training images in the test set",
    "files": "image files",
    "test_images": "test images",
}
_CHECKS = Template("checks")


@dataclass(frozen=True)
class CheckText:
    """A check as text: its severity as in the check, its name, what was observed, and the remedy (may be empty)."""

    severity: str
    title: str
    message: str
    remedy: str


def check_text(check: Check) -> CheckText:
    """Render a check."""
    title = TITLES[check.code]
    if check.severity == UNCHECKED:
        return CheckText(check.severity, title, _CHECKS.sentence("unchecked", check.data), "")
    passed = check.severity == PASSED
    remedy = "" if passed else _CHECKS.sentence(f"{check.code}_remedy", check.data)
    return CheckText(check.severity, title, _CHECKS.sentence(check.code, check.data, passed), remedy)


def check_lines(checks: Iterable[Check]) -> list[str]:
    """Return a line for each serious check, with its remedy, and for each warning."""
    texts = [check_text(check) for check in checks if check.severity in (SERIOUS, WARNING)]
    return [
        f"{text.severity.capitalize()}: {text.message} {text.remedy if text.severity == SERIOUS else ''}".rstrip()
        for text in texts
    ]
