"""The one shape of the command lines of all reports."""

import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from synthaug.exit_codes import STOPPED


def report_parser(question: str, description: str, exit_codes: str, examples: Sequence[str] = ()) -> ArgumentParser:
    """Return a parser with its help; a question's answer can be printed as Markdown.

    Args:
        question: first word after `python -m synthaug.report`; "" for the report of a study.
        description: what the command does.
        exit_codes: what each of them means, in one sentence.
        examples: what follows the program's name.
    """
    program = f"python -m synthaug.report {question}".rstrip()
    lines = [f"  {program} {example}" for example in examples]
    parser = ArgumentParser(
        prog=program,
        description=description,
        epilog="\n".join(
            ["examples:", *lines, "", textwrap.fill(f"Exit codes: {exit_codes.rstrip('.')}; {STOPPED}.", 80)]
        ),
        formatter_class=RawDescriptionHelpFormatter,
    )
    if question:
        parser.add_argument("--markdown", action="store_true", help="print Markdown")
    return parser
