"""Whether test images were trained on, and whether all images that were looked for are there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from synthaug.analysis.training_images import SAME, state
from synthaug.analysis.validity.copies import ALIKE, NEAR, Copy, Listed, Picture, copies, look
from synthaug.analysis.validity.finding import MIND, PASSED, SERIOUS, Finding, unchecked
from synthaug.analysis.validity.sources import Sources
from synthaug.data.samples import REAL, SYNTHETIC, Sample, digest
from synthaug.runs.contents import MixRow

MOST_COMPARED = 2000  # training images of each origin, and test images, so that a report takes seconds and not hours
_SHOWN = 3
_T = TypeVar("_T")


def findings(images: Sources, locate: Callable[[str], Path]) -> list[Finding]:
    """The same content in training and test, and files that are not there to be compared."""
    listed = [Listed(path, label, locate(path)) for path, label in sorted(images.test)]
    test, lost = look(spread(listed, MOST_COMPARED))
    checks: list[Finding] = []
    for origin, rows in ((REAL, images.real), (SYNTHETIC, images.synthetic)):
        name = f"{origin} training images in the test"
        train, missing = _look_at(rows, locate)
        lost += missing
        if not train or not test:
            checks.append(unchecked(name, _why_not(images, origin, rows, test)))
        else:
            of_train = f"{len(train):,} of {len(rows):,} {origin} training images"
            checks.append(_copied(name, copies(train, test), f"{len(test):,} of {len(listed):,} test images", of_train))
    return [*checks, _gone(lost), *_other_test(test, images)]


def spread(items: Sequence[_T], most: int) -> Sequence[_T]:
    """At most `most` of a list, evenly from all of it."""
    return items[:: max(1, -(-len(items) // most))]


def _look_at(rows: Sequence[MixRow], locate: Callable[[str], Path]) -> tuple[list[Picture], list[Listed]]:
    """Training images of all classes, and those that are gone or have other bytes than were trained on."""
    there: list[Listed] = []
    lost: list[Listed] = []
    for row in spread(sorted(rows, key=lambda row: (row.label, row.sha256)), MOST_COMPARED):
        listed = Listed(row.path, row.label, locate(row.path))
        (there if state(listed.file, row.sha256) == SAME else lost).append(listed)
    pictures, damaged = look(there)
    return pictures, lost + damaged


def _why_not(images: Sources, origin: str, rows: Sequence[MixRow], test: Sequence[Picture]) -> list[str]:
    if not rows:
        return [problem for problem in images.problems if origin in problem] or list(images.problems)
    what = f"{origin} training images" if test else "test images"
    return [f"none of the {what} is where the runs found it, with the bytes that it had"]


def _copied(name: str, found: Sequence[Copy], of_test: str, of_train: str) -> Finding:
    looked = f"{of_train} were compared with {of_test}"
    if not found:
        how = f"pixel by pixel or as a near copy (perceptual hash within {NEAR} bits, correlation of {ALIKE} or more)"
        return Finding(name, PASSED, f"{looked}: no two show the same, {how}.")
    tests = len({copy.test.path for copy in found})
    exact = len({copy.test.path for copy in found if copy.exact})
    crossed = sum(copy.train.label != copy.test.label for copy in found)
    shown = "; ".join(f"{copy.train.path} = {copy.test.path}" for copy in found[:_SHOWN])
    images = "test image was" if tests == 1 else "test images were"
    said = f"{looked}: {tests} {images} also trained on, {exact} of them pixel by pixel, the others as near copies: "
    said += f"{shown}{'; …' if len(found) > _SHOWN else ''}. "
    said += f"{crossed} of {len(found)} pairs are under two different classes. " if crossed else ""
    said += "The test asks there what training told."
    way_out = "Remove one of each pair from the photographs or the pool, and train again under another experiment name."
    return Finding(name, SERIOUS, said, way_out)


def _gone(lost: Sequence[Listed]) -> Finding:
    if not lost:
        return Finding("files", PASSED, "All image files that were looked for are there, as they were trained on.")
    shown = ", ".join(item.path for item in lost[:_SHOWN]) + (", …" if len(lost) > _SHOWN else "")
    what = "image file is" if len(lost) == 1 else "image files are"
    return Finding(
        "files",
        MIND,
        f"{len(lost):,} {what} gone or changed since: {shown}. The checks of images do without them, "
        "and the runs cannot be repeated as they were.",
        "Bring them back to where they were, and make the report again.",
    )


def _other_test(test: Sequence[Picture], images: Sources) -> list[Finding]:
    """Whether the test images that are there now are those that were tested on; known only if all were looked at."""
    if not test or len(test) < len(images.test) or not images.test_digest:
        return []
    samples = [Sample(item.listed.file, 0, item.listed.label, REAL, item.sha256) for item in test]
    here = digest(samples)
    if here == images.test_digest:
        return [Finding("test images", PASSED, "The test images are those that all runs were tested on, byte by byte.")]
    return [
        Finding(
            "test images",
            MIND,
            "The test images that are there now are not those that the runs were tested on: their digest is "
            f"{here[:12]} instead of {images.test_digest[:12]}. The numbers stand, but what was found among the test "
            "images says nothing of those.",
            "Bring the old test images back, or test all arms anew in a study of their own (experiment=<name>).",
        )
    ]
