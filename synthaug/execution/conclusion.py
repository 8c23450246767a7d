"""How a single run ends: where it is, what it reached, what to type next."""

import shlex
import sys
from collections.abc import Iterable, Sequence

from synthaug.config.command_line import key_of, normalize_argv, typed_form
from synthaug.config.job import Job
from synthaug.files import read_json
from synthaug.messages import plural
from synthaug.runs import contents, identity
from synthaug.runs.layout import RESULT


def conclusion(job: Job) -> list[str]:
    """Return the last lines of a finished single run.

    Args:
        job: the run.
    """
    from synthaug.analysis.inference.intervals import wilson  # scipy, which a wrong key does without
    from synthaug.analysis.text import format

    n = len(contents.read_predictions(job.folder, probabilities=False).labels)
    estimate = wilson(read_json(job.folder / RESULT)["test"]["accuracy"] * n, n)
    low, high = format.percent(estimate.low, n), format.percent(estimate.high, n)
    return [
        f"Test accuracy: {format.percent(estimate.value, n)} % (95 % CI {low} to {high}, {n:,} test images)",
        f"Folder: {job.folder}",
        *next_command(job),
    ]


def resume_advice(jobs: Sequence[Job]) -> str:
    """Return the progress of stopped runs, and how to resume them.

    Args:
        jobs: all of them; none where they were not yet told apart.
    """
    finished = sum((job.folder / RESULT).is_file() for job in jobs)
    epochs = [count for job in jobs if (count := contents.kept_epochs(job.folder))]
    if not finished and not epochs:
        return "Nothing was trained yet; the same command begins again."
    if len(jobs) == 1:
        state = "is finished" if finished else f"has {plural(epochs[0], 'epoch')}"
        return f"{jobs[0].label} {state}; the same command goes on from there."
    begun = f", {plural(len(epochs), 'run')} begun" if epochs else ""
    return f"{finished} of {plural(len(jobs), 'run')} finished{begun}; the same command goes on from there."


def next_command(job: Job) -> tuple[str, str]:
    """Return what to do next, and the command: the report where another arm is finished, else a sweep with one.

    Args:
        job: the run.
    """
    arm_folder = job.folder.parent
    if {path.parents[1] for path in arm_folder.parent.glob(f"*/seed*/{RESULT}")} - {arm_folder}:
        return "Compare it with the other arms:", f"  python -m synthaug.report {shlex.quote(str(job.study))}"
    command_line = normalize_argv(sys.argv[1:])
    rest = [
        typed_form(override)
        for override in command_line.overrides
        if key_of(override).partition(".")[0] not in ("mix", "overwrite", identity.FOLD)
    ]
    arguments = [*command_line.options, *_compared(job, command_line.overrides), *rest]
    rival = "synthetic images" if job.settings["mix"]["name"] == "real" else "all real images"
    return f"Compare it with {rival}:", f"  python -m synthaug.train {shlex.join(arguments)}"


def _compared(job: Job, overrides: Iterable[str]) -> list[str]:
    """Return the arms to type: the run and the baseline, or the baseline alone where numbers make the mix."""
    if any(key_of(override).startswith("mix.") for override in overrides):
        return ["mix=real"]
    mix = job.settings["mix"]["name"]
    return ["-m", f"mix=real,{'82' if mix == 'real' else mix}"]
