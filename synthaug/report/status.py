"""`report status`: how far the runs of a study are, and what to type to go on."""

import datetime
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthaug.analysis.text.document import Block, Commands, Points, Rows, Sentences, show
from synthaug.messages import MAX_BULLETS
from synthaug.report.arguments import report_parser
from synthaug.runs import run_status
from synthaug.runs.run_status import FAILED, FINISHED, RUNNING, STATES, RunStatus, StudyStatus
from synthaug.terminal import printable

_MOST_SHOWN = 40  # runs; of the finished ones of a large study the number is enough


def main(arguments: Sequence[str]) -> int:
    """Show how far a study is and return the exit code."""
    parser = report_parser(
        "status",
        "Show which runs of a study are finished, running (where, since when, in which epoch), stopped with a\n"
        "checkpoint, failed and why, or not begun; and the command to type to go on.",
        "0 all runs are finished; 1 some are not; 2 there is no study, or the command line is wrong.",
        ["outputs/default", "outputs/default --json"],
    )
    parser.add_argument("study", type=Path, help="folder of the study, e.g. outputs/default")
    parser.add_argument("--json", action="store_true", help="print JSON, with all runs")
    parsed = parser.parse_args(arguments)
    status = run_status.study_status(parsed.study)
    if parsed.json:
        print(json.dumps(status.as_json, indent=2, ensure_ascii=False))
    else:
        show(list(_document(status)), parsed.markdown)
    return 0 if status.count(FINISHED) == len(status.runs) else 1


def _document(status: StudyStatus) -> Iterator[Block]:
    counts = [f"{status.count(state)} {state}" for state in STATES if status.count(state)]
    yield Sentences(f"{status.study}: of {len(status.runs):,} runs {', '.join(counts)}.")
    shown = list(status.runs)
    if len(shown) > _MOST_SHOWN:
        shown = [run for run in shown if run.state != FINISHED]
    datasets = len({run.dataset for run in shown}) > 1
    if shown:
        rows = [[f"{run.dataset}: {run.label}" if datasets else run.label, run.state, _detail(run)] for run in shown]
        yield Rows(["run", "state", ""], rows, left=(0, 1, 2))
    failed = [run for run in status.runs if run.state == FAILED]
    if failed:
        reasons: dict[str, list[str]] = {}
        for run in failed:
            reasons.setdefault(run.reason, []).append(run.label)
        items = [f"{', '.join(labels[:3])}{' …' if len(labels) > 3 else ''}: {why}" for why, labels in reasons.items()]
        yield Sentences("Why runs failed:")
        yield Points(items[:MAX_BULLETS])
    if status.commands:
        yield Sentences("To go on, finished runs are not computed again:")
        yield Commands([line for command in status.commands for line in _lines(command.directory, command.line)])
    elif any(run.state not in (FINISHED, RUNNING) for run in status.runs):
        yield Sentences("To go on, type the command that began the study once more.")


def _lines(directory: str, line: str) -> list[str]:
    is_here = Path(directory) == Path.cwd()
    return [printable(line)] if is_here else [printable(f"cd {directory}"), printable(line)]


def _detail(run: RunStatus) -> str:
    """Return epoch, place and time of a run."""
    parts = []
    if run.epoch or run.epochs:
        parts.append(f"epoch {run.epoch}/{run.epochs}" if run.epochs else f"epoch {run.epoch}")
    if run.state == RUNNING:
        parts.append(f"{run.host}, process {run.process}")
    if run.since:
        parts.append(f"since {_local(run.since)}" if run.state == RUNNING else _local(run.since))
    return ", ".join(parts)


def _local(time: str) -> str:
    return f"{datetime.datetime.fromisoformat(time).astimezone():%d %b %H:%M}"
