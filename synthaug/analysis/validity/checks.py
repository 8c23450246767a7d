"""All checks of a study's validity; those that read images are kept in `checks.json` until an image changes.

>>> for check in validity_checks(comparison.folder, comparison.groups[0]):
...     print(check.severity, check.code, check.data)
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.training_images import locator
from synthaug.analysis.validity import design, overlap, run_agreement, shortcuts, sources
from synthaug.analysis.validity.check_result import Check, by_severity
from synthaug.analysis.validity.pretraining import pretraining_checks
from synthaug.analysis.validity.sources import Sources
from synthaug.data.sample_list import Sample
from synthaug.errors import UserError
from synthaug.files import file_state, read_json, write_json

FORMAT = 4  # raise it with any change of what is checked
CACHE = "checks.json"


def validity_checks(study: Path, group: Group) -> tuple[Check, ...]:
    """Return every check and its outcome, the most severe first.

    Args:
        study: its folder.
        group: of the study.
    """
    of_predictions = [*run_agreement.run_checks(group), *design.arm_checks(group), *overlap.duplicates_check(group)]
    of_predictions += pretraining_checks(group)
    return by_severity([*of_predictions, *image_checks(study, group.dataset, sources.sources(group))])


def image_checks(study: Path, name: str, images: Sources) -> list[Check]:
    """Return the checks that read images, computed again only if the images or the checks have changed.

    Args:
        study: its folder.
        name: of the dataset.
        images: that the checks read.
    """
    locate = locator(study)
    inputs = hashlib.sha256("\n".join(_fingerprint_lines(images, locate)).encode()).hexdigest()
    cache = _read_cache(study / CACHE)
    if name in cache and cache[name]["inputs"] == inputs:
        return [Check(**check) for check in cache[name]["checks"]]
    checks = [*shortcuts.origin_checks(images, locate), *overlap.overlap_checks(images, locate)]
    cache[name] = {"inputs": inputs, "checks": [dataclasses.asdict(check) for check in checks]}
    with contextlib.suppress(OSError):  # a study of somebody else: computed again the next time
        write_json(study / CACHE, {"format": FORMAT, "groups": cache})
    return checks


def read_images(images: Sources) -> tuple[list[Sample], Sequence[tuple[str, str]]]:
    """Return the training images that the checks read, and paths and classes of the test images."""
    of_origins = [overlap.read_rows(images, origin) for origin in images.train]
    return [row for rows in (*of_origins, shortcuts.read_rows(images)) for row in rows], overlap.read_tests(images)


def _fingerprint_lines(images: Sources, locate: Callable[[str], Path]) -> list[str]:
    """Return what the checks depend on: how many images there are, and those that are read, by content and file."""
    train, tests = read_images(images)
    rows = [f"{row.class_name}\0{row.origin}\0{row.sha256}\0{file_state(locate(row.file))}" for row in train]
    rows += [f"{label}\0{path}\0{file_state(locate(path))}" for path, label in tests]
    numbers = [str(len(listed)) for listed in (*images.train.values(), images.test)]
    return [*rows, *numbers, str(images.test_digest), *map(str, images.problems.values())]


def _read_cache(path: Path) -> dict[str, Any]:
    """Read the checks of earlier reports, by group; empty where another version wrote them, or the file is damaged."""
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except UserError:
        return {}
    groups: dict[str, Any] = content.get("groups", {})
    return groups if content.get("format") == FORMAT else {}
