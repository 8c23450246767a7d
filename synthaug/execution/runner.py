"""One run: skipped where it is finished, resumed where it was begun, trained, evaluated on its shift sets."""

import contextlib
import datetime
import functools
import gc
import logging
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from synthaug import locks, occupancy, progress_bar, signals
from synthaug.allocator import keep_freed_memory
from synthaug.arms import build, real_share, shift_sets
from synthaug.arms.mixing import Counts, Mix
from synthaug.arms.shifts import ShiftSet
from synthaug.config.job import Job
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, Sample
from synthaug.data.splitting import Divided
from synthaug.environment import hidden
from synthaug.errors import OUTPUT_DIR, UserError, explain, is_environmental
from synthaug.execution import datasets, feedback_rounds, networks, preflight, record_groups, sweep_time
from synthaug.execution.factory import make_generator, make_group, make_shifts, open_loggers
from synthaug.execution.memory_errors import with_next_step
from synthaug.execution.session import Session, is_first_process
from synthaug.files import read_json, remove_unfinished, write_json, write_text
from synthaug.messages import plural
from synthaug.progress_bar import Step
from synthaug.runs import contents, identity, layout
from synthaug.terminal import printable
from synthaug.tracking import run_ids

if TYPE_CHECKING:  # imports torch, which a finished run and a typo do without
    from pytorch_lightning.loggers import Logger

    from synthaug.training.progress import SweepPlace

log = logging.getLogger(__name__)


_MOST_PARTS = 64  # in which the synthetic images of a sweep are made by its runs


class RefusedError(UserError):
    """The folder belongs to another run, or another process: nothing is written into it."""


def execute(session: Session, job: Job) -> None:
    """Bring one run to its end; record its failure, so that the next run of a sweep begins.

    Args:
        session: of the command.
        job: the run.
    """
    try:
        with recorded_failure(session, [job]):
            run(session, job)
    finally:
        gc.collect()  # Trainer and network refer to each other: those of finished runs would pile up


@contextlib.contextmanager
def recorded_failure(session: Session, jobs: Sequence[Job]) -> Iterator[None]:
    """Record what goes wrong as the failure of some runs; a signal is none.

    Args:
        session: of the command.
        jobs: the runs.
    """
    try:
        yield
    except Exception as error:
        signals.leave_if_stopped(error)
        for job in jobs:
            session.failed.append(job.label)
            record_failure(job, with_next_step(error, job, session.concurrency), is_first=job is jobs[0])


def run(session: Session, job: Job) -> None:
    """Skip a finished run, resume one that was begun, or train it.

    Args:
        session: of the command.
        job: the run.

    Raises:
        RefusedError: its folder is another run's, or a process of another machine works on it.
    """
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not is_first_process():  # the first one holds the lock, has claimed the folder, and talks
        logging.getLogger("synthaug").setLevel(logging.ERROR)
        if (folder / layout.RESULT).is_file():
            evaluate_finished(session, job)
        else:
            _train(session, job)
        return
    with locked(folder, waits=True):
        if not claim(session, job):
            _train(session, job)
        elif not evaluate_finished(session, job):
            log.info("%s", finished_message(job))


def is_finished(job: Job) -> bool:
    """Return whether a run that passed the pre-flight checks has nothing left to do, and say so."""
    finished = (
        not job.settings["overwrite"]
        and (job.folder / layout.RESULT).is_file()
        and not shift_sets.pending(job.folder, make_shifts(job))
    )
    if finished and is_first_process():
        with contextlib.suppress(OSError):  # a study that may only be read
            layout.remove_leftovers(job.folder)
        print(printable(finished_message(job)))
    return finished


def finished_message(job: Job) -> str:
    """Return the message on a run that is skipped, and what W&B lacks of it."""
    lacks = ""
    if job.is_in_wandb and run_ids.is_lost(job.study, job.folder):
        lacks = f"its W&B run is gone from {job.study / 'wandb'}, which matters if it was not uploaded"
    elif job.is_in_wandb and _logs_model(job.settings) and not _logs_model(_recorded(job)):
        lacks = "W&B does not have its model"
    note = f"; {lacks}: overwrite=true trains it again" if lacks else ""
    return f"{job.label}: already finished ({job.folder}){note}"


def _recorded(job: Job) -> dict[str, Any]:
    """Return the settings that a finished run was made with."""
    settings: dict[str, Any] = read_json(job.folder / layout.RESULT)["settings"]
    return settings


def _logs_model(settings: Mapping[str, Any]) -> bool:
    return any(node.get("log_model") for node in (settings.get("logger") or {}).values())


@contextlib.contextmanager
def locked(folder: Path, waits: bool = False) -> Iterator[None]:
    """Hold the lock of a run's folder, without what a killed process has left in it.

    Args:
        folder: of the run.
        waits: whether another process that holds it is waited for. Who holds several locks must not wait: of two
            commands each might have what the other waits for.

    Raises:
        RefusedError: another process holds it, of this machine or another one.
    """
    with contextlib.ExitStack() as stack:
        lock = folder / occupancy.LOCK
        if waits:
            stack.enter_context(locks.exclusive(lock, "trains this run"))
        elif not stack.enter_context(locks.without_waiting(lock)):
            raise RefusedError(f"Another process is working on {folder}: wait for it, or stop it.")
        if holder := occupancy.living_elsewhere(folder):
            raise RefusedError(
                f"Process {holder.process} of {holder.host} is working on {folder}: wait for it, or stop it."
            )
        remove_unfinished(folder)
        if not stack.enter_context(occupancy.held(folder)):
            raise RefusedError(f"Another machine has just begun to work on {folder}: wait for it, or stop it.")
        yield


def claim(session: Session, job: Job) -> bool:
    """Make the folder this run's own; True if the run is finished.

    Args:
        session: of the command.
        job: the run.

    Raises:
        RefusedError: the folder holds a run of another configuration.
    """
    overwrite = job.settings["overwrite"]
    scan = session.scans.get(datasets.dataset_key(job)) if overwrite else None
    differing = preflight.differences(job, scan.real if isinstance(scan, Divided) else None)
    if overwrite and (differing or (job.folder / layout.RESULT).is_file()):
        log.warning("%s: the earlier run is kept as %s", job.label, layout.set_aside(job.folder))
    elif differing:  # since the command began
        raise RefusedError(preflight.taken_message([job.folder], differing))
    if (job.folder / layout.RESULT).is_file():
        return True
    write_text(job.folder / layout.CONFIG, OmegaConf.to_yaml(OmegaConf.create(job.recorded)))
    return False


def _train(session: Session, job: Job) -> None:
    """Images, network, training, test; everything heavy is imported here, once the images are known to be fine."""
    keep_freed_memory()
    arm = build_arm_of(session, job)
    progress_bar.report(Step("begins", 0, 1, ready=frozenset({job.folder})))
    sets = pending_shift_sets(session, job, arm.real, arm.store, [(sample.sha256, sample.file) for sample in arm.train])
    from synthaug.analysis.text import format
    from synthaug.training import fit, lightning_rules

    lightning_rules.quiet_libraries()
    place, started = _announce(session, job, arm.counts), time.perf_counter()
    loggers: list[Logger] = []
    failed = True
    try:
        open_loggers(job, loggers)
        summary = fit.fit_and_test(job.folder, job.key, job.arm, job.recorded, arm, loggers, **makers(job), place=place)
        failed = False
    finally:
        if loggers:
            from synthaug.tracking import loggers as tracking

            tracking.close(loggers, failed)
    width = max(len(sibling.label) for sibling in session.jobs.values()) + 1
    duration = format.duration(time.perf_counter() - started)
    log.info("%s %s, %s", f"{job.label}:".ljust(width), summary, duration)
    evaluate(job, sets, arm.real, arm.store)


def _announce(session: Session, job: Job, counts: Mapping[str, int]) -> "SweepPlace | None":
    """Log what a run is about to be trained on, and return its place where it is one of a sweep."""
    from synthaug.training.progress import SweepPlace

    place, expected, jobs = None, None, list(session.jobs.values())
    if session.is_expanded:
        is_sequential = session.is_local and not session.concurrency
        expected, later = sweep_time.expected_seconds(jobs, job) if is_sequential else (None, None)
        place = SweepPlace(jobs.index(job) + 1, len(jobs), later)
    images = f"{counts['real']} real and {counts['synthetic']} synthetic images"
    where = f" ({place.describe(expected)})" if place else ""
    log.info("%s: %s%s", job.label, images, where, extra={"file_only": True})
    return place


def makers(job: Job) -> dict[str, Callable[..., Any]]:
    """Return what makes the network and the trainer of a run."""
    return {
        "make_model": lambda **kwargs: make_group(job, "model", **kwargs),
        "make_trainer": lambda **kwargs: make_group(job, "trainer", **kwargs),
    }


def evaluate_finished(session: Session, job: Job) -> bool:
    """Evaluate a finished run on the shift sets that it lacks; False where it lacks none.

    Args:
        session: of the command.
        job: the run.
    """
    if not shift_sets.pending(job.folder, make_shifts(job)):
        return False
    data = datasets.read_real(session, job)
    sets = lacking_shift_sets(session, job, data)
    from synthaug.training import lightning_rules

    lightning_rules.quiet_libraries()
    evaluate(job, sets, data.real, data.store)
    return True


def lacking_shift_sets(session: Session, job: Job, data: build.RealData) -> list[ShiftSet]:
    """Return the shift sets that a finished run lacks.

    Args:
        session: of the command.
        job: the run.
        data: its dataset.
    """
    result = read_json(job.folder / layout.RESULT)
    trained = [(sample.sha256, sample.file) for sample in contents.read_mix(job.folder, result)]
    return pending_shift_sets(session, job, data.real, data.store, trained)


def pending_shift_sets(
    session: Session, job: Job, real: RealImages, store: PixelStore, trained: list[tuple[str, str]]
) -> list[ShiftSet]:
    """Return the shift sets that the run is still to be evaluated on; tried before anything is trained.

    Args:
        session: of the command.
        job: the run.
        real: its dataset.
        store: of the dataset's pixels.
        trained: file hash and path of each image that it trains on.
    """
    pending = shift_sets.pending(job.folder, make_shifts(job))
    if not pending:
        return []

    def held_out(per_class: int) -> list[Sample]:
        images = shift_sets.held_out_images(
            job.settings, job.key.dataset, job.held_out_set, make_generator(job), session.announced, real.train
        )
        return shift_sets.held_out_source(images, real, store)(per_class)

    sets = shift_sets.prepare_sets(job.folder, pending, job.settings["dataset"], real, store, trained, held_out)
    from synthaug.training import evaluation

    evaluation.check_corruptions(sets, job.settings, store)
    return sets


def evaluate(job: Job, sets: list[ShiftSet], real: RealImages, store: PixelStore) -> None:
    """Evaluate a finished run on shift sets.

    Args:
        job: the run.
        sets: from `pending_shift_sets`.
        real: its dataset.
        store: of the pixels of the sets.
    """
    if not sets:
        return
    from synthaug.training import evaluation

    log.info("%s: evaluating %s", job.label, plural(len(sets), "shift set"))
    evaluation.evaluate(job.label, job.folder, job.settings, sets, real.classes, store, **makers(job))


def build_arm_of(session: Session, job: Job, data: build.RealData | None = None) -> build.Arm:
    """Return the images of a run; those that are missing are generated.

    Args:
        session: of the command.
        job: the run.
        data: its dataset, from `read_real`; None has it read now.
    """
    settings = job.settings
    data = data or datasets.read_real(session, job)
    if is_first_process() and not (job.study / job.key.dataset / layout.GROUPS).is_file():
        record_groups.record_groups(job, data.real)  # the pre-flight checks had no images yet
    _announce_power(session, job, len(data.real.test))
    data = replace(data, real=real_share.redrawn(data.real, settings))
    generator = make_generator(job)
    sources, adapted = None, tuple[real_share.AdaptedImages, ...]()
    if Mix.of(settings["mix"]).has_synthetic:
        sources = real_share.source_images(data.real, settings, generator, session.announced)
        adapted = real_share.adapted_images(data.real, settings, generator)
    sharing = [
        sibling
        for sibling in session.jobs.values()
        if (sibling.key.dataset, sibling.synthetic_set) == (job.key.dataset, job.synthetic_set)
    ]
    alike = [sibling for sibling in sharing if sibling.settings["screening"] == settings["screening"]]
    # The runs that wait on their nodes make images meanwhile; on one machine they would share its processors or GPU.
    parts = min(len(sharing), _MOST_PARTS) if settings["cluster"] else 1
    source = build.synthetic_images(
        settings, job.key.dataset, job.synthetic_set, generator, session.announced, sources, data.real.train, parts
    )
    siblings = [sibling.settings["mix"] for sibling in alike]

    announce = None if settings["cluster"] else _ImageAnnouncer(job, alike, data.real)

    def check() -> None:  # a network that cannot take the images should not fail after hours of generating
        networks.check_network(job, data.real.classes)

    chosen_by = identity.selection_seed(settings)
    synthetic = build.screened_images(source, settings, data.real, data.store)

    def build_arm(counts: Mapping[str, Counts] | None = None) -> build.Arm:
        debug = settings["debug"]
        arm = build.build(data, settings["mix"], chosen_by, synthetic, siblings, check, debug, counts, announce)
        return replace(arm, adapted=adapted)

    if settings["feedback"] is None or not Mix.of(settings["mix"]).has_synthetic:
        return build_arm()
    counts = build.mix_counts(data.real, settings["mix"], settings["debug"])
    images = sum(count.synthetic for count in counts.values())
    limits = synthetic.available(dict.fromkeys(counts, images))
    return feedback_rounds.play(job, counts, limits, build_arm)


class _ImageAnnouncer:
    """Tells the command which of the other runs of a sweep have all their images.

    Args:
        job: the run that makes them.
        siblings: that share the images.
        real: the dataset.
    """

    def __init__(self, job: Job, siblings: Sequence[Job], real: RealImages) -> None:
        self._siblings = [sibling for sibling in siblings if sibling is not job]
        self._real, self._debug = real, job.settings["debug"]

    @functools.cached_property
    def _needs(self) -> list[dict[str, int]]:
        return build.synthetic_counts(self._real, (sibling.settings["mix"] for sibling in self._siblings), self._debug)

    def __call__(self, at_hand: Mapping[str, int]) -> None:
        ready = {
            sibling.folder
            for sibling, needed in zip(self._siblings, self._needs, strict=True)
            if all(count <= at_hand[name] for name, count in needed.items())
        }
        progress_bar.report(Step("images", 0, 1, ready=frozenset(ready)))


def prepare_dataset(session: Session, job: Job) -> build.RealData | None:
    """Write, list and decode a dataset once for all its runs; None where it cannot be had, which they will say.

    Args:
        session: of the command.
        job: one of the dataset's runs.
    """
    try:
        data = datasets.read_real(session, job)
    except Exception:
        log.debug("%s: its runs report this error", job.key.dataset, exc_info=True)
        return None
    if not (job.study / job.key.dataset / layout.GROUPS).is_file():
        record_groups.record_groups(job, data.real)
    _announce_power(session, job, len(data.real.test))
    return data


def _announce_power(session: Session, job: Job, n_test: int) -> None:
    """Log once per dataset, before anything is trained on it, which difference its arms can show."""
    name = job.key.dataset
    keys = [planned.key for planned in session.jobs.values() if planned.key.dataset == name]
    if name in session.announced or job.fold or len({key.arm for key in keys}) < 2 or not is_first_process():
        return
    session.announced.add(name)
    from synthaug.analysis.inference import power_analysis
    from synthaug.analysis.text import power_text

    seeds, margin = len({key.seed for key in keys}), job.settings["margin"] / 100
    expected = power_analysis.expect(n_test, seeds, margin)
    lines = f"{name}: {power_text.announcement(expected)}".splitlines()
    folded = [line if line.startswith("python ") else textwrap.fill(line, 80) for line in lines]
    log.log(logging.INFO if expected.shows else logging.WARNING, "%s", "\n".join(folded))


def record_failure(job: Job, error: Exception, is_first: bool = True) -> None:
    """Log what happened, and write it into the run's folder, where the report looks for it.

    Args:
        job: the run.
        error: that ended it.
        is_first: whether it is told in full; False for further runs that it ended.
    """
    message = explain(error, OUTPUT_DIR)
    log.error("%s failed: %s", job.label, message if is_first else "likewise")
    if is_first and not isinstance(error, UserError) and not is_environmental(error):
        log.error("%s", "".join(traceback.format_exception(error)))
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        if not isinstance(error, RefusedError) and not (job.folder / layout.RESULT).is_file():
            job.folder.mkdir(parents=True, exist_ok=True)
            failure = {"error": hidden(message), "type": type(error).__name__, "when": when}
            write_json(job.folder / layout.FAILED, failure)
    except OSError as second:  # the disk is full, most likely: the screen has it
        log.error("%s: the failure could not be written down (%s)", job.label, second)
