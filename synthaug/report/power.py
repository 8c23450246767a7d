"""`report power`: what a test set and so many seeds can show, before a study is run and after."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.inference import power_analysis
from synthaug.analysis.text import power_text
from synthaug.analysis.text.document import Block, show
from synthaug.analysis.text.format import title
from synthaug.data import splitting
from synthaug.data.samples import SPLITS
from synthaug.errors import UserError, raise_all
from synthaug.messages import plural
from synthaug.report import power_arguments
from synthaug.report.power_arguments import PowerRequest
from synthaug.runs import discovery, layout


def main(arguments: Sequence[str]) -> int:
    """Report what a plan, a dataset or a study can show, and return the exit code."""
    request = power_arguments.parse(arguments)
    folder = request.folder
    if folder is None:
        assert request.n is not None, "or there is a problem"
        blocks = power_text.plan_document(power_analysis.plan(request.assumptions(request.n)))
    elif (folder / layout.PLANNED).is_file() or (folder.is_dir() and discovery.find_runs(folder)):
        blocks = _power_of_study(request, folder)
    else:
        blocks = _power_of_dataset(request, folder)
    show(blocks, request.markdown)
    return 0


def _power_of_study(request: PowerRequest, study: Path) -> list[Block]:
    measured = [f"{option}: the study {study} has measured it; leave it out" for option in request.assumed]
    raise_all(power_arguments.HEADLINE, measured)
    comparison = compare(study, margin=request.difference)
    if all(group.folds is not None for group in comparison.groups):
        raise UserError(
            f"{study} tests every image in one of several folds, whose power is not computed: its intervals say what "
            "it can show. For a plan of one test set: python -m synthaug.report power --accuracy 0.95 --n <test images>"
        )
    groups = {title(group): _power_of_group(group) for group in comparison.groups}
    if not any(group.again for group in groups.values()):
        raise UserError(
            f"{study} has no arm with a finished baseline (real 1, synthetic 0) of the same seed yet: nothing is "
            "measured. Plan by hand: python -m synthaug.report power --accuracy 0.95 --n <test images> --seeds 3"
        )
    return power_text.study_document(groups, comparison.study)


def _power_of_group(group: Group) -> power_analysis.GroupPower:
    arms = {arm.name: arm.power for arm in group.arms if arm.power}
    accuracy = group.baseline.accuracy.value if group.baseline and group.baseline.accuracy else 0.0
    return power_analysis.group_power(arms, accuracy, group.margin_fraction)


def _power_of_dataset(request: PowerRequest, root: Path) -> list[Block]:
    share = power_arguments.TEST_SHARE if request.test is None else request.test
    try:
        n, exists = splitting.count_test(root, {split: split for split in SPLITS}, share)
    except UserError as error:
        raise UserError(f"{root} is not a study: it has no {layout.PLANNED} and no finished run.\n{error}") from None
    source = f"{root} has {plural(n, 'test image')}."
    if not exists:
        part = f"{100 * share:g} %" if share < 1 else f"{share:g}"
        source = f"{root} has no test images of its own: about {n:,} will be drawn ({part} of all)."
    return power_text.plan_document(power_analysis.plan(request.assumptions(n)), source)
