"""The test images that the arms disagree about, and those that none recognises, with their pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from synthaug.analysis.comparison.disagreement import HardImage, disputed, never_right
from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.page.pictures import Thumbnail, thumbnail
from synthaug.analysis.training_images import locator

MAX_DISPUTED = 12
MAX_NEVER_RIGHT = 24


@dataclass(frozen=True)
class ShownImage:
    """A hard image and its picture; None where the file is gone."""

    image: HardImage
    picture: Thumbnail | None
    name: str  # class and file: the page may be shown to people whom the rest of the path does not concern
    mistake: str  # what most runs of all arms take it for


def hardest(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Pictures of hard images, and how many there are that none recognises."""
    locate = locator(comparison.folder)
    split, lost = disputed(group, MAX_DISPUTED), never_right(group)
    if not split and not lost:
        return None
    arms = [arm.name for arm in group.arms if arm.name in group.predicted]
    return {
        "arms": arms,
        "disputed": _shown(split, locate),
        "lost": _shown(lost[:MAX_NEVER_RIGHT], locate),
        "n_lost": len(lost),
    }


def _shown(images: Sequence[HardImage], locate: Callable[[str], Path]) -> list[ShownImage]:
    return [
        ShownImage(image, thumbnail(locate(image.path)), "/".join(PurePath(image.path).parts[-2:]), _mistake(image))
        for image in images
    ]


def _mistake(image: HardImage) -> str:
    """The wrong class that most arms name, each arm with the weight of its wrong runs."""
    weight: dict[str, int] = {}
    for answer in image.answers.values():
        if answer.mistake is not None:
            weight[answer.mistake] = weight.get(answer.mistake, 0) + answer.runs - answer.right
    return max(weight, key=lambda name: weight[name])
