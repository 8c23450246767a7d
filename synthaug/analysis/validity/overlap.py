"""Whether test images are among the training images or alike, and whether all images are still as they were."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.training_images import SAME, state
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, UNCHECKED, WARNING, Check
from synthaug.analysis.validity.copies import Copy, ListedImage, Picture, find_copies, read_pictures
from synthaug.analysis.validity.sources import Sources
from synthaug.data.samples import REAL, SYNTHETIC, Sample, Samples, digest

MAX_IMAGES = 2000  # training images of each origin, and test images, so that a report takes seconds and not hours
MAX_EXAMPLES = 3
_T = TypeVar("_T")


def overlap_checks(images: Sources, locate: Callable[[str], Path]) -> list[Check]:
    """Return the checks for training images in the test set, for missing files, and for changed test images.

    Args:
        images: that the checks read.
        locate: path as a run recorded it → where the file is now.
    """
    test, missing = read_pictures([ListedImage(path, label, locate(path)) for path, label in read_tests(images)])
    checks: list[Check] = []
    for origin in (REAL, SYNTHETIC):
        train, missing_train = _read_train(read_rows(images, origin), locate)
        missing += missing_train
        checks.append(_overlap(origin, images, train, test))
    return [*checks, _files(missing), *_test_images(test, images)]


def duplicates_check(group: Group) -> list[Check]:
    """Return the check for near duplicates among the test images, which the runs recorded as clusters."""
    if not len(group.clusters):
        return []
    numbers, sizes = np.unique(group.clusters, return_counts=True)
    repeated = sizes > 1
    largest = numbers[np.argsort(-sizes, kind="stable")][: min(MAX_EXAMPLES, int(repeated.sum()))]
    data = {
        "test": len(group.clusters),
        "images": int(sizes[repeated].sum()),
        "clusters": int(repeated.sum()),
        "largest": int(sizes.max()),
        "examples": [[group.paths[row] for row in np.flatnonzero(group.clusters == number)[:2]] for number in largest],
    }
    return [Check("near_duplicates", WARNING if repeated.any() else PASSED, data)]


def spread(items: Sequence[_T], limit: int) -> Sequence[_T]:
    """Return at most `limit` items, evenly from all of the list.

    Args:
        items: any list.
        limit: largest number of items, 1 or more.
    """
    return items[:: max(1, -(-len(items) // limit))]


def read_rows(images: Sources, origin: str) -> Sequence[Sample]:
    """Return the training images of an origin that are read, of all classes.

    Args:
        images: of the checks.
        origin: real or synthetic.
    """
    return spread(Samples.joined(Samples.of(images.train[origin]).of_classes.values()), MAX_IMAGES)


def read_tests(images: Sources) -> Sequence[tuple[str, str]]:
    """Return paths and classes of the test images that are read."""
    return spread(sorted(images.test), MAX_IMAGES)


def _read_train(rows: Sequence[Sample], locate: Callable[[str], Path]) -> tuple[list[Picture], list[ListedImage]]:
    """Read training images; and those that are missing or have other bytes than were trained on."""
    unchanged: list[ListedImage] = []
    missing: list[ListedImage] = []
    for row in rows:
        listed = ListedImage(row.file, row.class_name, locate(row.file))
        (unchanged if state(listed.file, row.sha256) == SAME else missing).append(listed)
    pictures, damaged = read_pictures(unchanged)
    return pictures, missing + damaged


def _overlap(origin: str, images: Sources, train: Sequence[Picture], test: Sequence[Picture]) -> Check:
    code, rows = f"overlap_{origin}", images.train[origin]
    if not rows:
        return Check(code, UNCHECKED, images.reasons(origin))
    if not train or not test:
        return Check(code, UNCHECKED, {"unavailable": origin if test else "test"})
    copies = find_copies(train, test)
    data = {
        "origin": origin,
        "train": len(train),
        "train_total": len(rows),
        "test": len(test),
        "test_total": len(images.test),
        "copied": len({copy.test.path for copy in copies}),
        "exact": len({copy.test.path for copy in copies if copy.exact}),
        "pairs": len(copies),
        "other_class": sum(copy.train.label != copy.test.label for copy in copies),
        "examples": [_example(copy) for copy in copies[:MAX_EXAMPLES]],
    }
    return Check(code, SERIOUS if copies else PASSED, data)


def _example(copy: Copy) -> dict[str, str]:
    return {"train": copy.train.path, "test": copy.test.path}


def _files(missing: Sequence[ListedImage]) -> Check:
    data = {"missing": len(missing), "examples": [item.path for item in missing[:MAX_EXAMPLES]]}
    return Check("files", WARNING if missing else PASSED, data)


def _test_images(test: Sequence[Picture], images: Sources) -> list[Check]:
    """Whether the test images are still those that the runs were tested on; known only if all were read."""
    if not test or len(test) < len(images.test) or not images.test_digest:
        return []
    current = digest([Sample(item.listed.file, 0, item.listed.label, REAL, item.sha256) for item in test])
    data = {"recorded": images.test_digest, "current": current}
    return [Check("test_images", PASSED if current == images.test_digest else WARNING, data)]
