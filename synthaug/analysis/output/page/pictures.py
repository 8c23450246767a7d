"""Sections with pictures: training images, real beside synthetic, and the hardest test images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from synthaug.analysis.comparison.disagreement import HardImage, disputed, never_right
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.output.page.content import Content
from synthaug.analysis.output.page.thumbnails import Thumbnail, thumbnail
from synthaug.analysis.training_images import listed_images, locator, with_most
from synthaug.data.samples import REAL, SYNTHETIC, Sample, Samples
from synthaug.errors import UserError
from synthaug.runs.discovery import Run

MAX_CLASSES = 20
PICTURES_PER_CLASS = 6
MAX_TRIES = 24  # files looked for per class and origin, so that a vanished folder costs no minutes
MAX_DISPUTED = 12
MAX_NEVER_RIGHT = 24


@dataclass(frozen=True)
class HardPicture:
    """A hard test image and its picture.

    Attributes:
        image: with the predictions of each arm.
        picture: None where the file is gone.
        name: class and file; the rest of the path does not concern those whom the page is shown to.
        mistake: the class that most runs of all arms predict instead.
    """

    image: HardImage
    picture: Thumbnail | None
    name: str
    mistake: str


def images(content: Content) -> Mapping[str, Any] | None:
    """Return training images by class: real ones of the real arm, synthetic ones of the run that has most of them."""
    names = content.group.class_names[:MAX_CLASSES]
    pictures, problems, lost = {}, [], {}
    for origin in (REAL, SYNTHETIC):
        rows, problem = _shown_rows(content.group, origin)
        pictures[origin], lost[origin] = _thumbnails(locator(content.comparison.folder), rows)
        problems += [problem] if problem else []
    rows_by_class = {name: {origin: pictures[origin][name] for origin in pictures} for name in names}
    filled = {name: row for name, row in rows_by_class.items() if any(row.values())}
    if not filled and not problems and not any(lost.values()):
        return None
    return {"rows": filled, "problems": problems, "lost": lost, "limit": MAX_CLASSES}


def paths(group: Group) -> Iterator[str]:
    """Yield the path of each image of which the sections may have a picture, as a run recorded it."""
    for origin in (REAL, SYNTHETIC):
        yield from (row.file for rows in _shown_rows(group, origin)[0].values() for row in rows)
    yield from (image.path for image in (*disputed(group, MAX_DISPUTED), *never_right(group)[:MAX_NEVER_RIGHT]))


def hardest(content: Content) -> Mapping[str, Any] | None:
    """Return the test images that the arms disagree about, and those that no run recognises."""
    locate = locator(content.comparison.folder)
    split, lost = disputed(content.group, MAX_DISPUTED), never_right(content.group)
    if not split and not lost:
        return None
    return {
        "arms": [arm.name for arm in content.group.arms if arm.name in content.group.predicted],
        "disputed": _hard_pictures(split, locate),
        "lost": _hard_pictures(lost[:MAX_NEVER_RIGHT], locate),
        "n_lost": len(lost),
    }


def _hard_pictures(images: Sequence[HardImage], locate: Callable[[str], Path]) -> list[HardPicture]:
    return [
        HardPicture(image, thumbnail(locate(image.path)), "/".join(PurePath(image.path).parts[-2:]), _mistake(image))
        for image in images
    ]


def _mistake(image: HardImage) -> str:
    """Return the wrong class that most arms predict, each arm with the weight of its wrong runs."""
    weight: dict[str, int] = {}
    for answer in image.answers.values():
        if answer.mistake is not None:
            weight[answer.mistake] = weight.get(answer.mistake, 0) + answer.runs - answer.right
    return max(weight, key=lambda name: weight[name])


def _mix_rows(runs: Sequence[Run], origin: str) -> tuple[Sequence[Sample], str]:
    """Return the images of one origin of the run that has most of them (real ones: of the real arm), or a problem."""
    pure = (
        [run for run in runs if run.real == 1 and run.synthetic == 0 and not run.image_numbers]
        if origin == REAL
        else []
    )
    run = with_most(pure, origin) or with_most(runs, origin)
    if run is None:
        return [], f"No finished run was trained on {origin} images." if runs else ""
    try:
        return listed_images(run, origin), ""
    except UserError as error:
        return [], f"{error}."


def _shown_rows(group: Group, origin: str) -> tuple[dict[str, Sequence[Sample]], str]:
    """Return the images of each class that are tried, in the order of their hashes; or why there are none."""
    rows, problem = _mix_rows([item.run for item in group.runs if item.compared], origin)
    of_classes = Samples.of(rows).of_classes
    return {name: of_classes.get(name, ())[:MAX_TRIES] for name in group.class_names[:MAX_CLASSES]}, problem


def _thumbnails(
    locate: Callable[[str], Path], rows: Mapping[str, Sequence[Sample]]
) -> tuple[dict[str, list[Thumbnail]], list[str]]:
    """Return a few pictures per class, and the files that cannot be read."""
    pictures: dict[str, list[Thumbnail]] = {name: [] for name in rows}
    lost = []
    for name, members in rows.items():
        for row in members:
            if len(pictures[name]) == PICTURES_PER_CLASS:
                break
            picture = thumbnail(locate(row.file))
            if picture is None:
                lost.append(row.file)
            else:
                pictures[name].append(picture)
    return pictures, lost
