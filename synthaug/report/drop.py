"""`report drop`: runs that a study is to be compared without; their folders are kept."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.text.document import Block, Points, Sentences, show
from synthaug.messages import plural
from synthaug.report.arguments import report_parser
from synthaug.runs import dropping


def main(arguments: Sequence[str]) -> int:
    """Drop runs and return the exit code."""
    parser = report_parser(
        "drop",
        "Take runs out of a study: reports neither compare them nor wait for them. Their folders are moved to\n"
        "<study>/dropped<n>/, nothing is deleted; the command that asked for them trains them again.",
        "0 they are dropped; 2 the study has no such runs, one of them is running, or the command line is wrong.",
        ["outputs/default photos-old", 'outputs/default 64-seed2 "82, strong"'],
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    parser.add_argument("names", nargs="+", metavar="NAME", help="a dataset, an arm or a run, as `status` names them")
    parsed = parser.parse_args(arguments)
    dropped = dropping.drop(parsed.study, parsed.names)
    blocks: list[Block] = [
        Sentences(f"{plural(len(dropped.runs), 'run is', 'runs are')} not planned any more:"),
        Points([f"{run.label} ({run.key.dataset}, {run.state})" for run in dropped.runs]),
    ]
    if dropped.folder is not None:
        finished = sum(run.state == "finished" for run in dropped.runs)
        what = f" ({plural(finished, 'finished run')})" if finished else ""
        blocks.append(Sentences(f"What they have written{what} is kept in {dropped.folder}."))
    blocks.append(Sentences(f"Compare the others: python -m synthaug.report {parsed.study}"))
    show(blocks, parsed.markdown)
    return 0
