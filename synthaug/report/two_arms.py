"""`report compare <study> A B`: two arms of a study, asked after the results."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from synthaug.analysis.comparison.compare import compare, compare_arms
from synthaug.analysis.comparison.model import Comparison, Group, PairComparison
from synthaug.analysis.text.document import Block, Heading, Sentences, show
from synthaug.analysis.text.factor_text import pair_sentence
from synthaug.analysis.text.format import title
from synthaug.errors import UserError
from synthaug.report.arguments import report_parser
from synthaug.runs.planning import ArmKey, find_arm


def main(arguments: Sequence[str]) -> int:
    """Compare two arms and return the exit code."""
    parser = report_parser(
        "compare",
        "Compare two arms of a study, first minus second. A pair that the study named before both had results\n"
        "(compare=[[A,B]]) is tested with its family; any other is exploratory.",
        "0 they are compared; 2 there is no such arm, none of its runs is finished, or the command line is wrong.",
        ["outputs/default 64 strong", 'outputs/default "64, guidance 3" 82'],
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    parser.add_argument("first", metavar="A", help="name of an arm, or as many parts of it as tell it: '64, sdxl'")
    parser.add_argument("second", metavar="B", help="name of the arm that is subtracted")
    parsed = parser.parse_args(arguments)
    comparison = compare(parsed.study)
    show(list(_answers(comparison, parsed.first, parsed.second)), parsed.markdown)
    return 0


def _answers(comparison: Comparison, first: str, second: str) -> Iterator[Block]:
    groups = {group.dataset: group for group in comparison.groups}
    arms = [(group.dataset, arm.name) for group in comparison.groups for arm in group.arms]
    names: dict[ArmKey, str] = {key: key[1] for key in arms}
    firsts, seconds = (dict(find_arm(names, name)) for name in (first, second))
    datasets = [dataset for dataset in groups if dataset in firsts and dataset in seconds]
    if not datasets:
        raise UserError(f"{first} and {second} are arms of different datasets: there is no test set that both saw.")
    for dataset in datasets:
        pair = _pair(groups[dataset], firsts[dataset], seconds[dataset])
        if len(datasets) > 1:
            yield Heading(title(groups[dataset]))
        yield Sentences(pair_sentence(pair, groups[dataset].n_test))


def _pair(group: Group, first: str, second: str) -> PairComparison:
    planned = {(pair.first, pair.second): pair for pair in group.pairs}
    pair = planned.get((first, second)) or planned.get((second, first)) or compare_arms(group, first, second)
    if pair.difference is None:
        missing = [name for name in (first, second) if name not in group.correct]
        raise UserError(f"{' and '.join(missing)}: no run is finished yet, so there is nothing to compare.")
    return pair
