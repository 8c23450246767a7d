"""The arguments of `report power`: as numbers, or all that is wrong with them."""

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
from synthaug.report.arguments import report_parser

TEST_SHARE = 0.15  # of a folder's images, as conf/dataset/imagefolder.yaml has it
HEADLINE = "Nothing can be planned with:"
_DESCRIPTION = """Compute what a study can show before it is run, or what a finished one could have shown: the smallest
difference between two arms that is detected with 80 % power (two-sided, at 5 %), and how many test images or seeds
a difference needs."""
_EXAMPLES = [
    "--accuracy 0.98 --n 162",
    "--accuracy 0.95 --n 1500 --seeds 3 --discordant 0.03,0.05 --difference 0.5",
    "outputs/default    what the study measured",
    "photos             the test images that the folder has, or that will be drawn",
]


@dataclass(frozen=True)
class PowerRequest:
    """The options; None where not given. Differences and deviations are percentage points, shares are fractions.

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
        """Return assumptions with n test images, and defaults for options that were not given."""
        return Assumptions(
            _or(self.accuracy, ACCURACY),
            n,
            self.seeds or 1,
            self.difference_fraction,
            self.discordant or (None,),
            SEED_DEVIATION if self.seed_deviation is None else self.seed_deviation / 100,
            _or(self.image_share, IMAGE_SHARE),
            _or(self.repeated, REPEATED),
        )

    @property
    def difference_fraction(self) -> float:
        """The difference that is looked for, a fraction."""
        return POINT if self.difference is None else self.difference / 100

    @property
    def assumed(self) -> list[str]:
        """Given options that a study measures."""
        names = ("accuracy", "n", "seeds", "discordant", "seed_deviation", "image_share", "repeated", "test")
        return [_option(name) for name in names if getattr(self, name) is not None]


def parse(arguments: Sequence[str]) -> PowerRequest:
    """Parse the command line.

    Raises:
        UserError: what is wrong with its values, all at once.
    """
    request = PowerRequest(**vars(_parser().parse_args(arguments)))
    raise_all(HEADLINE, [*_range_problems(request), *_missing(request)])
    return request


def _parser() -> argparse.ArgumentParser:
    exit_codes = "0 the numbers are printed; 2 nothing to plan with, or the command line is wrong."
    parser = report_parser("power", _DESCRIPTION, exit_codes, _EXAMPLES)
    add = parser.add_argument
    add("folder", nargs="?", type=_folder, help="folder of a study or of a dataset")
    add("--accuracy", type=float, metavar="P", help=f"accuracy of the baseline: 0.98 (for a dataset: {ACCURACY})")
    add("--n", type=int, metavar="N", help="number of test images")
    add("--seeds", type=int, metavar="S", help="seeds of each arm (1)")
    add(
        "--discordant",
        type=_shares,
        metavar="SHARE[,SHARE]",
        help="share of test images that exactly one of two runs gets right: 0.03,0.05 (1 - accuracy + difference)",
    )
    add("--difference", type=float, metavar="POINTS", help="difference to detect (1; of a study: its margin)")
    add(
        "--seed-deviation",
        type=float,
        metavar="POINTS",
        help=f"standard deviation of the difference between seeds, on an infinite test set ({100 * SEED_DEVIATION:g})",
    )
    add(
        "--image-share",
        type=float,
        metavar="SHARE",
        help=f"share of the variance between images that is the same in every seed ({IMAGE_SHARE:g})",
    )
    add(
        "--repeated",
        type=float,
        metavar="SHARE",
        help=f"probability that arms that disagree on an image in one seed do so in another ({REPEATED:g})",
    )
    add("--test", type=float, metavar="SHARE", help=f"share of a folder's images to test on ({TEST_SHARE:g})")
    return parser


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _shares(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def _range_problems(request: PowerRequest) -> Iterator[str]:
    """Return what is wrong with the values, each alone and with one another."""
    difference = request.difference_fraction
    if request.accuracy is not None and not 0 < request.accuracy < 1:
        hint = f": {request.accuracy / 100:g}" if 1 < request.accuracy < 100 else " above 0 and below 1"
        yield f"--accuracy {request.accuracy:g}: an accuracy is a fraction{hint}"
    for option, count in (("--n", request.n), ("--seeds", request.seeds)):
        if count is not None and count < 1:
            yield f"{option} {count}: at least 1 is needed"
    if not 0 < difference <= 1:
        yield f"--difference {request.difference:g}: points above 0 and up to 100 are needed"
    for share in request.discordant or ():
        if not 0 < share <= 1:
            hint = f": {share / 100:g}" if 1 < share <= 100 else " above 0 and up to 1"
            yield f"--discordant {share:g}: a share of the test images is a fraction{hint}"
        elif 0 < difference <= 1 and share < difference:
            yield (
                f"--discordant {share:g}: arms that differ by {in_points(difference)} disagree on at least as many "
                f"images: give {difference:g} or more, or a smaller --difference"
            )
    if request.seed_deviation is not None and not 0 <= request.seed_deviation <= 50:
        yield f"--seed-deviation {request.seed_deviation:g}: points from 0 to 50 are needed"
    if request.image_share is not None and not 0 <= request.image_share <= 1:
        yield f"--image-share {request.image_share:g}: a fraction from 0 to 1 is needed"
    if request.repeated is not None and not 0 < request.repeated <= 1:
        yield f"--repeated {request.repeated:g}: a fraction above 0 and up to 1 is needed"
    if request.test is not None and not (0 < request.test < 1 or (request.test >= 1 and request.test % 1 == 0)):
        yield f"--test {request.test:g}: a share below 1 or a number of images is needed, as in dataset.split.test"


def _missing(request: PowerRequest) -> Iterator[str]:
    """Return what was not given, or given twice."""
    if request.folder is None:
        if request.n is None:
            yield "no test images: give their number with --n, or the folder of a study or dataset"
        if request.accuracy is None:
            yield "no accuracy: give the baseline's as --accuracy 0.98, or the folder of a study that measured it"
        if request.test is not None:
            yield "--test: a share of what? Give the folder of a dataset, or the number of test images with --n"
    elif request.n is not None:
        yield f"--n {request.n}: {request.folder} says how many test images there are; leave one of the two out"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
