"""`report power`: what a test set and so many seeds can show, before a study is run and after."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.inference import power_analysis
from synthaug.analysis.text import power_text
from synthaug.analysis.text.document import Block, show
from synthaug.analysis.text.format import test_images, title
from synthaug.data import splitting
from synthaug.data.samples import SPLITS
from synthaug.errors import UserError, raise_all
from synthaug.report import power_arguments
from synthaug.runs import discovery, layout


def main(arguments: Sequence[str]) -> int:
    """Say what a plan, a dataset or a study can show, and return the exit code."""
    asked = power_arguments.parse(arguments)
    if asked.folder is None:
        assert asked.n is not None, "or there is a problem"
        blocks = power_text.of_plan(power_analysis.plan(asked.assumptions(asked.n)), "")
    elif (asked.folder / layout.PLANNED).is_file() or (asked.folder.is_dir() and discovery.find_runs(asked.folder)):
        blocks = _power_of_study(asked, asked.folder)
    else:
        blocks = _power_of_dataset(asked, asked.folder)
    show(blocks, asked.markdown)
    return 0


def _power_of_study(asked: power_arguments.Asked, study: Path) -> list[Block]:
    raise_all(
        power_arguments.HEADLINE,
        [f"{option}: the study {study} has measured it; leave it out" for option in asked.assumed],
    )
    comparison = compare(study, margin=asked.difference)
    found = {title(group): _power_of_group(group) for group in comparison.groups}
    if not any(group.again for group in found.values()):
        raise UserError(
            f"{study} has no arm with a finished baseline (real 1, synthetic 0) of the same seed yet: nothing is "
            "measured. Plan by hand: python -m synthaug.report power --accuracy 0.95 --n <test images> --seeds 3"
        )
    return power_text.of_study(found, comparison.study)


def _power_of_group(group: Group) -> power_analysis.GroupPower:
    arms = {arm.name: arm.power for arm in group.arms if arm.power}
    accuracy = group.baseline.accuracy.value if group.baseline and group.baseline.accuracy else 0.0
    return power_analysis.group_power(arms, accuracy, group.margin_fraction)


def _power_of_dataset(asked: power_arguments.Asked, root: Path) -> list[Block]:
    share = power_arguments.TEST_SHARE if asked.test is None else asked.test
    try:
        n, is_there = splitting.count_test(root, {split: split for split in SPLITS}, share)
    except UserError as error:
        raise UserError(f"{root} is no study: it has no {layout.PLANNED} and no finished run.\n{error}") from None
    source = f"{root} has {test_images(n)}."
    if not is_there:
        part = f"{100 * share:g} %" if share < 1 else f"{share:g}"
        source = f"{root} has no test images of its own: about {n:,} will be drawn ({part} of all)."
    return power_text.of_plan(power_analysis.plan(asked.assumptions(n)), source)
