"""Rounds of feedback of one run: a classifier trained on the images so far says of which classes the next ones are."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from synthaug.arms import feedback
from synthaug.arms.build import Arm
from synthaug.arms.feedback import Round
from synthaug.arms.mixing import Counts
from synthaug.config.job import Job
from synthaug.execution.factory import make_group
from synthaug.execution.session import is_first_process
from synthaug.files import read_json, write_json
from synthaug.messages import plural
from synthaug.runs import contents, layout

log = logging.getLogger(__name__)

_FOLDER = "feedback"  # of the classifier of a round, in that of the run, while it is trained
_WAIT = 0.2  # seconds between two looks at what the first process writes


def play(
    job: Job,
    class_counts: Mapping[str, Counts],
    limits: Mapping[str, int],
    build: Callable[[Mapping[str, Counts]], Arm],
) -> Arm:
    """Return the arm of a run, its synthetic images spread over classes by feedback.

    Finished rounds stand in the run's `feedback.json`; one that was interrupted is resumed.

    Args:
        job: the run.
        class_counts: class → counts of the mix.
        limits: class → the most synthetic images that there can be.
        build: gives the arm of other counts.

    Raises:
        UserError: what `build` raises, or training.
    """

    def train(number: int, counts: Mapping[str, Counts]) -> Round:
        return _train(job, number, build(counts))

    rounds = job.settings["feedback_rounds"]
    counts, played = feedback.play(class_counts, rounds, _recorded(job), limits, train)
    if is_first_process():
        shutil.rmtree(job.folder / _FOLDER, ignore_errors=True)
    return replace(build(counts), feedback=tuple(played))


def _recorded(job: Job) -> list[Round]:
    path = job.folder / layout.FEEDBACK
    return [Round(**fields) for fields in read_json(path)["rounds"]] if path.is_file() else []


def _train(job: Job, number: int, arm: Arm) -> Round:
    """Train the classifier of a round, and record what it says."""
    if not is_first_process():  # trains along, and reads what the first one writes
        _fit(job, number, arm)
        while len(rounds := _recorded(job)) < number:
            time.sleep(_WAIT)
        return rounds[number - 1]
    if not (job.folder / _FOLDER / f"round{number}" / layout.RESULT).is_file():
        log.info(
            "%s: round %d of %d of feedback, on %s", job.label, number, job.settings["feedback_rounds"],
            plural(arm.counts["synthetic"], "synthetic image"),
        )  # fmt: skip
        _fit(job, number, arm)
    folder = job.folder / _FOLDER / f"round{number}"
    predictions = contents.read_predictions(folder)
    played = Round(
        {name: count["synthetic"] for name, count in arm.counts["per_class"].items()},
        feedback.class_scores(predictions, job.settings["feedback"]),
        float((predictions.predicted == predictions.labels).mean()),
    )
    write_json(job.folder / layout.FEEDBACK, {"rounds": feedback.as_json([*_recorded(job)[: number - 1], played])})
    return played


def _fit(job: Job, number: int, arm: Arm) -> None:
    """Train a round's classifier as the run's own; in the place of test images are those that choose its epoch."""
    from synthaug.training import fit, lightning_rules

    lightning_rules.quiet_libraries()
    settings = _with_epochs(job.settings)
    validation = fit.validation_images(arm, settings).images
    folder = job.folder / _FOLDER / f"round{number}"
    folder.mkdir(parents=True, exist_ok=True)
    fit.fit_and_test(
        folder,
        job.key,
        f"{job.arm}, round {number}",
        _with_epochs(job.recorded),
        replace(arm, real=replace(arm.real, test=validation)),
        [],
        lambda **kwargs: make_group(replace(job, settings=settings), "model", **kwargs),
        lambda **kwargs: make_group(replace(job, settings=settings), "trainer", **kwargs),
    )


def _with_epochs(settings: Mapping[str, Any]) -> dict[str, Any]:
    epochs = settings["feedback_epochs"]
    trainer = settings["trainer"] if epochs is None else {**settings["trainer"], "max_epochs": epochs}
    return {**settings, "trainer": trainer}
