"""What was typed after `python -m synthaug.report power`: as numbers, or all that is wrong with it."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.inference.power_analysis import (
    ACCURACY,
    IMAGE_SHARE,
    POINT,
    REPEATED,
    SEED_DEVIATION,
    Assumptions,
)
from synthaug.analysis.text.format import in_points
from synthaug.errors import raise_all

TEST_SHARE = 0.15  # of a folder's images, as conf/dataset/imagefolder.yaml has it
HEADLINE = "Nothing can be planned with:"
_DESCRIPTION = """Say what a study can show before it is run, or what one that was run could have shown: the smallest
difference between two arms that is found in four of five tries (80 % power, two-sided, 5 %), and how many test
images or seeds a wished-for difference needs."""
_EXAMPLES = """examples:
  python -m synthaug.report power --accuracy 0.98 --n 162
  python -m synthaug.report power --accuracy 0.95 --n 1500 --seeds 3 --discordant 0.03,0.05 --difference 0.5
  python -m synthaug.report power outputs/default    what the study measured
  python -m synthaug.report power photos             the test images that the folder has, or that will be drawn

Exit codes: 0 the numbers are printed; 2 there is nothing to plan with, or the command line is wrong."""


@dataclass(frozen=True)
class Asked:
    """What is to be planned; None where it was not said. Points are percentage points, shares are fractions.

    Attributes:
        folder: of a study or of a dataset.
        test: share or number of a dataset's images that would be drawn for the test.
        markdown: print Markdown.
    """

    folder: Path | None
    accuracy: float | None
    n: int | None
    seeds: int | None
    discordant: tuple[float, ...] | None
    difference: float | None
    seed_deviation: float | None
    image_share: float | None
    repeated: float | None
    test: float | None
    markdown: bool

    def assumptions(self, n: int) -> Assumptions:
        """A plan with so many test images, and with the program's own assumptions where none was stated."""
        return Assumptions(
            _or(self.accuracy, ACCURACY),
            n,
            self.seeds or 1,
            self.wished,
            self.discordant or (None,),
            SEED_DEVIATION if self.seed_deviation is None else self.seed_deviation / 100,
            _or(self.image_share, IMAGE_SHARE),
            _or(self.repeated, REPEATED),
        )

    @property
    def wished(self) -> float:
        """The difference that is looked for, a fraction."""
        return POINT if self.difference is None else self.difference / 100

    @property
    def assumed(self) -> list[str]:
        """Options that say what a study has measured."""
        names = ("accuracy", "n", "seeds", "discordant", "seed_deviation", "image_share", "repeated", "test")
        return [_option(name) for name in names if getattr(self, name) is not None]


def parse(arguments: Sequence[str]) -> Asked:
    """Read the command line.

    Raises:
        UserError: what is wrong with its values, all at once.
    """
    asked = Asked(**vars(_parser().parse_args(arguments)))
    raise_all(HEADLINE, list(_problems(asked)))
    return asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report power",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", nargs="?", type=_folder, help="of a study, or of a dataset")
    add("--accuracy", type=float, metavar="P", help=f"of the baseline, as 0.98 (for a dataset: {ACCURACY})")
    add("--n", type=int, metavar="N", help="test images")
    add("--seeds", type=int, metavar="S", help="of each arm (1)")
    add(
        "--discordant",
        type=_shares,
        metavar="SHARE[,SHARE]",
        help="of the test images, that exactly one of two runs gets right, as 0.03,0.05 (1 - accuracy + difference)",
    )
    add("--difference", type=float, metavar="POINTS", help="that is looked for (1; in a study, its margin)")
    add(
        "--seed-deviation",
        type=float,
        metavar="POINTS",
        help="standard deviation of the difference from seed to seed, were the test set endless "
        f"({100 * SEED_DEVIATION:g})",
    )
    add(
        "--image-share",
        type=float,
        metavar="SHARE",
        help=f"of the disagreement on images, that is the same in every seed ({IMAGE_SHARE:g})",
    )
    add(
        "--repeated",
        type=float,
        metavar="SHARE",
        help=f"of the images on which arms disagree in one seed, on which they do in another ({REPEATED:g})",
    )
    add("--test", type=float, metavar="SHARE", help=f"of a folder's images, drawn for the test ({TEST_SHARE:g})")
    add("--markdown", action="store_true", help="print Markdown")
    return parser


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _shares(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def _problems(asked: Asked) -> Iterator[str]:
    """What is wrong with the values, each alone and with one another."""
    if asked.accuracy is not None and not 0 < asked.accuracy < 1:
        hint = f": {asked.accuracy / 100:g}" if 1 < asked.accuracy < 100 else " above 0 and below 1"
        yield f"--accuracy {asked.accuracy:g}: an accuracy is a fraction{hint}"
    if asked.n is not None and asked.n < 1:
        yield f"--n {asked.n}: at least one test image is needed"
    if asked.seeds is not None and asked.seeds < 1:
        yield f"--seeds {asked.seeds}: at least one seed is needed"
    if not 0 < asked.wished <= 1:
        yield f"--difference {asked.difference:g}: points above 0 and up to 100 are needed"
    for share in asked.discordant or ():
        if not 0 < share <= 1:
            hint = f": {share / 100:g}" if 1 < share <= 100 else " above 0 and up to 1"
            yield f"--discordant {share:g}: a share of the test images is a fraction{hint}"
        elif 0 < asked.wished <= 1 and share < asked.wished:
            yield (
                f"--discordant {share:g}: arms that differ by {in_points(asked.wished)} disagree on at least as "
                f"many images: give {asked.wished:g} or more, or a smaller --difference"
            )
    if asked.seed_deviation is not None and not 0 <= asked.seed_deviation <= 50:
        yield f"--seed-deviation {asked.seed_deviation:g}: points from 0 to 50 are needed"
    if asked.image_share is not None and not 0 <= asked.image_share <= 1:
        yield f"--image-share {asked.image_share:g}: a fraction from 0 to 1 is needed"
    if asked.repeated is not None and not 0 < asked.repeated <= 1:
        yield f"--repeated {asked.repeated:g}: a fraction above 0 and up to 1 is needed"
    if asked.test is not None and not (0 < asked.test < 1 or (asked.test >= 1 and asked.test % 1 == 0)):
        yield f"--test {asked.test:g}: a share below 1 or a number of images is needed, as in dataset.split.test"
    yield from _missing(asked)


def _missing(asked: Asked) -> Iterator[str]:
    """What was not said, or said twice."""
    if asked.folder is None:
        if asked.n is None:
            yield "no test images: give their number with --n, or the folder of a study or dataset"
        if asked.accuracy is None:
            yield "no accuracy: give the baseline's as --accuracy 0.98, or the folder of a study that measured it"
        if asked.test is not None:
            yield "--test: a share of what? Give the folder of a dataset, or the number of test images with --n"
    elif asked.n is not None:
        yield f"--n {asked.n}: {asked.folder} says how many test images there are; leave one of the two out"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _or(given: float | None, otherwise: float) -> float:
    return otherwise if given is None else given
