"""Command: make a study's table, CSV, JSON and page, explain a run, audit a published table, or plan a study.

    python -m synthaug.report outputs/default [--wandb]
    python -m synthaug.report explain outputs/default/digits/tiny_digits/resnet18/64/seed0 [--image <path>]
    python -m synthaug.report audit experiments/paper/published.yaml [--markdown]
    python -m synthaug.report power --accuracy 0.98 --n 162

A study whose folder is called like one of these words is given as ./audit.

Exit codes: 0 every planned run is finished and compared, or what was asked is answered; 1 some are not (all files are
written and say so), W&B could not be told, or a run's files contradict one another; 2 there is nothing to report, a
file cannot be used, or the command line is wrong.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthaug import results
from synthaug.analysis import explain, explain_text, power, power_arguments, power_text
from synthaug.analysis.audit import audit
from synthaug.analysis.audit_text import document
from synthaug.analysis.comparison import compare
from synthaug.analysis.document import Block, markdown, print_document
from synthaug.analysis.inference import right
from synthaug.analysis.published import read_published
from synthaug.analysis.report import show_report
from synthaug.analysis.study import Comparison, Group
from synthaug.analysis.table import title
from synthaug.data import splitting
from synthaug.data.samples import SPLITS
from synthaug.errors import UserError, raise_all


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first word asks for, else report a study, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in _WORDS:
            return _WORDS[arguments[0]](arguments[1:])
        return _study(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def _study(arguments: Sequence[str]) -> int:
    description, _, codes = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report",
        description=description.removeprefix("Command: "),
        epilog=codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    parser.add_argument(
        "--wandb", action="store_true", help="show the comparison in W&B, in the closing run of the study"
    )
    parsed = parser.parse_args(arguments)
    comparison = show_report(parsed.study)
    return 0 if (not parsed.wandb or _published(comparison)) and comparison.complete else 1


def _published(comparison: Comparison) -> bool:
    from synthaug import dashboard, wandb_runs

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("synthaug").setLevel(logging.INFO)
    done = dashboard.publish(comparison)
    if hint := wandb_runs.how_to_upload(comparison.folder):
        print(hint)
    return done


def _audit(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report audit",
        description="Say what a published table of accuracies can and cannot show.",
        epilog="Exit codes: 0 the table is audited; 2 it cannot be used, or the command line is wrong.",
    )
    parser.add_argument("table", type=Path, help="YAML of the table; experiments/paper/README.md says how to write one")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    _show(document(audit(read_published(parsed.table))), parsed.markdown)
    return 0


def _explain(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report explain",
        description="Walk from a run's accuracy to its answers, its mix, and how each synthetic image was made.",
        epilog="Exit codes: 0 all is explained; 1 the run's files contradict one another, or some cannot be read (said "
        "first); 2 there is no such run or image, or the command line is wrong.",
    )
    parser.add_argument("run", type=Path, help="folder of the run: <study>/<dataset>/<generator>/<model>/<mix>/seed<k>")
    parser.add_argument("--image", metavar="PATH", help="tell of one test or training image, by a part of its path")
    parser.add_argument("--all", action="store_true", help="list every synthetic image instead of a few per class")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all that is known of every training image")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    if parsed.image is not None:
        _show(explain_text.story(explain.find_image(parsed.run, parsed.image)), parsed.markdown)
        return 0
    explanation = explain.explain(parsed.run)
    if parsed.csv is not None:
        explain.write_images(explanation, parsed.csv)
    _show(explain_text.document(explanation, parsed.all), parsed.markdown)
    return 1 if explanation.problems else 0


def _power(arguments: Sequence[str]) -> int:
    asked = power_arguments.parse(arguments)
    if asked.folder is None:
        assert asked.n is not None, "or there is a problem"
        blocks = power_text.of_plan(power.plan(asked.assumptions(asked.n)), "")
    elif (asked.folder / results.PLANNED).is_file() or (asked.folder.is_dir() and results.find_runs(asked.folder)):
        blocks = _power_of_study(asked, asked.folder)
    else:
        blocks = _power_of_dataset(asked, asked.folder)
    _show(blocks, asked.markdown)
    return 0


def _power_of_study(asked: power_arguments.Asked, study: Path) -> list[Block]:
    raise_all(
        power_arguments.HEADLINE,
        [f"{option}: the study {study} has measured it; leave it out" for option in asked.assumed],
    )
    comparison = compare(study)
    found = {title(group): _power_of_group(group, asked) for group in comparison.groups}
    if not any(group.again for group in found.values()):
        raise UserError(
            f"{study} has no arm with a finished baseline (real 1, synthetic 0) of the same seed yet: nothing is "
            "measured. Plan by hand: python -m synthaug.report power --accuracy 0.95 --n <test images> --seeds 3"
        )
    return power_text.of_study(found, comparison.study)


def _power_of_group(group: Group, asked: power_arguments.Asked) -> power.GroupPower:
    correct = {arm: right(predicted, group.labels) for arm, predicted in group.answers.items()}
    baseline = correct.pop(group.baseline.name) if group.baseline else {}
    return power.group_power(correct, baseline, group.margin if asked.difference is None else asked.wished)


def _power_of_dataset(asked: power_arguments.Asked, root: Path) -> list[Block]:
    share = power_arguments.TEST_SHARE if asked.test is None else asked.test
    try:
        n, is_there = splitting.count_test(root, {split: split for split in SPLITS}, share)
    except UserError as error:
        raise UserError(f"{root} is no study: it has no {results.PLANNED} and no finished run.\n{error}") from None
    source = f"{root} has {power_text.images(n)}."
    if not is_there:
        part = f"{100 * share:g} %" if share < 1 else f"{share:g}"
        source = f"{root} has no test images of its own: about {n:,} will be drawn ({part} of all)."
    return power_text.of_plan(power.plan(asked.assumptions(n)), source)


def _show(blocks: Sequence[Block], as_markdown: bool) -> None:
    if as_markdown:
        print(markdown(blocks), end="")
    else:
        print_document(blocks)


# First word → what it does; anything else is the folder of a study.
_WORDS: Mapping[str, Callable[[Sequence[str]], int]] = {"audit": _audit, "explain": _explain, "power": _power}


if __name__ == "__main__":
    sys.exit(main())
